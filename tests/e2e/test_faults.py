"""What goes wrong: bad input, kill -9, refused start, refused io_uring, a full disk."""
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import cramjam
import pytest

import otlp
from node import BINARY, Node, PORTS


def test_bad_input_is_named(node):
    good = otlp.traces("bad", [5]).SerializeToString()
    cases = [
        ("truncated", good[:-3], otlp.PROTO, {}, 400),
        ("not protobuf", b"\xff" * 40, otlp.PROTO, {}, 400),
        ("not JSON", b"{\"resourceSpans\": [", "application/json", {}, 400),
        ("wrongly typed", b'{"resourceSpans": 5}', "application/json", {}, 400),
        ("wrong type", good, "text/plain", {}, 415),
        ("not gzip", good, otlp.PROTO, {"content-encoding": "gzip"}, 400),
        ("unknown encoding", good, otlp.PROTO, {"content-encoding": "br"}, 415),
        ("deep JSON", b'{"resourceSpans":' + b"[" * 5000 + b"]" * 5000 + b"}", "application/json", {}, 400),
    ]
    deep = b""
    for _ in range(200):  # AnyValue.array_value.values nested 200 times
        deep = b"\x0a" + varint(len(deep)) + deep
        deep = b"\x2a" + varint(len(deep)) + deep
    kv = b"\x0a\x01k\x12" + varint(len(deep)) + deep
    res = b"\x0a" + varint(len(kv)) + kv
    rs = b"\x0a" + varint(len(res)) + res + bytes(otlp.traces("deep", [9]).resource_spans[0].SerializeToString())[
        len(otlp.traces("deep", []).resource_spans[0].resource.SerializeToString()) + 2:]
    cases.append(("deep protobuf", b"\x0a" + varint(len(rs)) + rs, otlp.PROTO, {}, 400))
    for name, body, ctype, headers, status in cases:
        a = node.post("otlp", "/v1/traces", body, ctype, headers=headers)
        assert a.status == status, (name, a)
        assert len(a.body) > 5, (name, a)
        if ctype == "application/json":
            assert a.json["message"], name
    assert node.get("otlp", "/v1/traces").status == 405
    assert node.post("otlp", "/v1/nothing", b"").status == 404
    # A bomb: 200 MiB of zeros behind 200 KiB of gzip.
    import gzip
    bomb = gzip.compress(b"\0" * (200 << 20), 1)
    assert node.post("otlp", "/v1/logs", bomb, otlp.PROTO, headers={"content-encoding": "gzip"}).status == 413
    # A span whose id is wrong is rejected alone, and said so.
    rq = otlp.traces("bad", [6, 7])
    rq.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
    a = node.post("otlp", "/v1/traces", rq.SerializeToString(), otlp.PROTO)
    said = ExportTraceServiceResponse.FromString(a.body).partial_success
    assert a.status == 200 and said.rejected_spans == 1 and "trace" in said.error_message
    assert [int(t["traceID"], 16) for t in node.search('{ resource.service.name = "bad" }')] == [7]
    a = node.get("prom", "/api/v1/query", params={"query": "sum(("})
    assert a.status == 400 and a.json["errorType"] == "bad_data" and "parse error" in a.json["error"]
    a = node.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "("})
    assert a.status == 400 and a.json["message"]
    assert node.get("quickwit", "/api/v1/no-such-index/search", params={"query": "*"}).status == 404
    broken = bytes(cramjam.snappy.compress_raw(b"\xff\xff\xff"))
    a = node.post("prom", "/api/v1/write", broken, otlp.PROTO, headers={"content-encoding": "snappy"})
    assert a.status == 400, a
    # Nothing else was hurt.
    assert node.post("otlp", "/v1/traces", good, otlp.PROTO).status == 200


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


class Load(threading.Thread):
    """Sends numbered records of one signal in batches; remembers what was acked and what was merely sent."""

    def __init__(self, node, signal_name, first):
        super().__init__(daemon=True)
        self.node, self.signal, self.next = node, signal_name, first
        self.acked, self.sent, self.stop_now = set(), set(), False
        self.at = time.time_ns()

    def payload(self, numbers):
        if self.signal == "traces":
            return otlp.traces("load", numbers, self.at)
        if self.signal == "logs":
            return otlp.logs("load", numbers, self.at)
        return otlp.gauge("load", "load_level", {n: float(n) for n in numbers}, self.at)

    def run(self):
        rng = random.Random(self.next)
        while not self.stop_now:
            numbers = list(range(self.next, self.next + rng.randint(1, 60)))
            self.next = numbers[-1] + 1
            self.sent.update(numbers)
            try:
                a = self.node.post("otlp", "/v1/" + self.signal, self.payload(numbers).SerializeToString(), otlp.PROTO)
            except OSError:
                continue
            if a.status == 200:
                self.acked.update(numbers)


def everything(node, at, highest):
    """Numbers that the node returns, by signal; lists, so that repeats show. Read in pages of 5,000 numbers."""
    spans, logs = [], []
    for low in range(0, highest + 1, 5000):
        high = low + 5000
        query = '{ resource.service.name = "load" && span.n >= %d && span.n < %d }' % (low, high)
        for t in node.search(query, limit=10000, spss=0):
            spans += [int(s["spanID"], 16) for s in t["spanSets"][0]["spans"]]
        hits = node.logs("service_name:load AND attributes.n:[%d TO %d}" % (low, high), max_hits=10000)["hits"]
        logs += [h["attributes"]["n"] for h in hits]
    samples = []
    for r in node.query('count_over_time(load_level[1h])', at=at / 1e9 + 60):
        samples += [int(r["metric"]["n"])] * int(r["value"][1])
    return {"traces": spans, "logs": logs, "metrics": samples}


@pytest.mark.parametrize("cores", [1, 2])
def test_kill_9_loses_nothing_acked(make_node, cores):
    node = make_node(args=["--set", f"node.cores={cores}", "--set", "storage.seal_age=400ms"]).start()
    totals = {s: (set(), set()) for s in ("traces", "logs", "metrics")}
    at = time.time_ns()
    for round_ in range(3):
        loads = [Load(node, s, 1 + (round_ * 2 + i) * 20000) for s in totals for i in range(2)]
        for load in loads:
            load.at = at
            load.start()
        time.sleep(0.5 + 0.3 * round_)
        node.kill()
        for load in loads:
            load.stop_now = True
        for load in loads:
            load.join()
            totals[load.signal][0].update(load.acked)
            totals[load.signal][1].update(load.sent)
        node.start()
    got = everything(node, at, 120000)
    for name, (acked, sent) in totals.items():
        seen = got[name]
        assert len(acked) > 100, name
        assert acked <= set(seen), f"{name}: {len(acked - set(seen))} of {len(acked)} acked are lost"
        assert len(seen) == len(set(seen)), f"{name}: {len(seen) - len(set(seen))} repeats"
        assert set(seen) <= sent, name


def test_repeated_request_is_stored_once(node):
    body = otlp.logs("again", range(5)).SerializeToString()
    for _ in range(3):
        assert node.post("otlp", "/v1/logs", body, otlp.PROTO).status == 200
    assert node.logs("service_name:again")["num_hits"] == 5


def refused(args, data, offset="20"):
    p = subprocess.run([BINARY, "serve", "--data", str(data), "--port-offset", offset] + args, capture_output=True, timeout=30)
    return p.returncode, p.stderr.decode()


def test_refuses_to_start_and_says_why(node, tmp_path):
    code, err = refused(["--set", "storage.memry=1GiB"], tmp_path / "a")
    assert code == 2 and "storage.memry" in err
    code, err = refused(["--set", "storage.memory=lots"], tmp_path / "a")
    assert code == 2 and "lots" in err
    code, err = refused([], tmp_path / "b", str(node.offset))
    assert code != 0 and "in use" in err and any(f":{node.offset + port} " in err for port in PORTS.values()), err
    code, err = refused([], node.data, str(node.offset + 3))
    assert code != 0 and "another tercet" in err
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    code, err = refused([], blocked)
    assert code != 0 and "file" in err


@pytest.mark.parametrize("errno_name", ["EPERM", "ENOSYS"])
def test_without_io_uring(tmp_path, errno_name):
    wrap = [sys.executable, os.path.join(os.path.dirname(__file__), "deny_uring.py"), errno_name]
    node = Node(tmp_path / "n", backend="auto", wrap=wrap).start()
    try:
        log = node.log_text()
        assert "backend=epoll" in log and errno_name in log, log
        assert 'backend="epoll"' in node.get("prom", "/metrics").body.decode()
        assert node.post("otlp", "/v1/logs", otlp.logs("seccomp", range(10)).SerializeToString(), otlp.PROTO).status == 200
        node.kill()
        node.start()
        assert node.logs("service_name:seccomp")["num_hits"] == 10
    finally:
        assert node.stop() == 0
    forced = Node(tmp_path / "m", backend="io_uring", wrap=wrap)
    with pytest.raises(RuntimeError, match=errno_name):
        forced.start()


def test_full_disk_refuses_clearly(make_node, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(small)]).returncode:
        pytest.skip("cannot mount a small file system")
    try:
        node = make_node("small/data", args=["--set", "storage.retention_share=0", "--set", "node.cores=1"])
        node.log_path = str(tmp_path / "node.log")
        node.start()
        acked, refusal = 0, None
        rng = random.Random(1)
        for i in range(800):
            rq = otlp.logs("full", [i])
            rq.resource_logs[0].scope_logs[0].log_records[0].body.string_value = rng.randbytes(400_000).hex()
            a = node.post("otlp", "/v1/logs", rq.SerializeToString(), otlp.PROTO)
            if a.status != 200:
                refusal = a
                break
            acked += 1
        assert refusal is not None and acked > 3
        assert refusal.status in (429, 503, 507) and "retry-after" in refusal.headers, refusal
        assert b"space" in refusal.body or b"disk" in refusal.body, refusal
        assert node.logs("service_name:full")["num_hits"] == acked  # reads go on
        node.kill()
        node.start()
        assert node.logs("service_name:full")["num_hits"] == acked
        assert node.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(small)])


def test_stops_on_sigterm_with_requests_open(node):
    s = socket.create_connection(("127.0.0.1", PORTS["otlp"] + node.offset))
    s.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\nhalf")
    time.sleep(0.1)
    start = time.monotonic()
    assert node.stop(signal.SIGTERM) == 0
    assert time.monotonic() - start < 15
    s.close()


def test_idle_is_small(make_node):
    node = make_node()
    start = time.monotonic()
    node.start()
    ready = time.monotonic() - start
    assert node.rss_bytes() < 64 << 20, node.rss_bytes()
    assert ready < 5, ready  # the figure itself (< 1 s) is bench/run's business: test machines are shared


def test_queries_wait_their_turn(make_node):
    """One permit on one core: many clients at once are served one after another, none is refused or stuck."""
    node = make_node(args=["--set", "query.concurrency=1", "--set", "node.cores=1"]).start()
    node.post("otlp", "/v1/traces", otlp.traces("turn", range(1, 3001)).SerializeToString(), otlp.PROTO)
    answers = []

    def ask(i):
        if i % 2:
            answers.append(len(node.search("{ } | count() = 1", limit=4000)))
        else:
            answers.append(node.get("quickwit", "/api/v1/otel-traces-v0_9/search", params={"query": "*"}).json["num_hits"])
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [3000] * 12
    metrics = node.get("prom", "/metrics").body.decode()
    assert "\ntercet_queries_running 0\n" in metrics and "\ntercet_queries_waiting 0\n" in metrics
