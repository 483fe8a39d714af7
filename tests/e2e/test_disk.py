"""The disk fills up, for real, on a small file system; stored files go bad. Nothing acknowledged is lost, the node never stops,
and answers say what they lack."""
import contextlib
import errno
import json
import os
import random
import shutil
import subprocess
import time

import otlp
from node import BINARY, eventually
import pytest

MIB = 1 << 20


@contextlib.contextmanager
def small_disk(tmp_path, mib):
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(small)],
                                           capture_output=True).returncode:
        pytest.skip("cannot mount a small file system (needs root)")
    try:
        yield small
    finally:
        subprocess.run(["umount", "-l", str(small)])


def fill(small, share=1.0):
    """Takes blocks until so much of the file system is used; what is left to take when it is 1, of which the node may be
    taking some at the same time."""
    path = small / "filler"
    for _ in range(50):
        st = os.statvfs(small)
        want = int(st.f_blocks * share) - (st.f_blocks - st.f_bavail)
        have = path.stat().st_blocks * 512 if path.exists() else 0
        try:
            with open(path, "ab") as f:
                os.posix_fallocate(f.fileno(), have, max(want, 1) * st.f_frsize)
            return
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise


def send(node, n, size=0, service="disk"):
    rq = otlp.logs(service, [n])
    rq.resource_logs[0].scope_logs[0].log_records[0].body.string_value = random.Random(n).randbytes(size // 2).hex() or "x"
    return node.post("otlp", "/v1/logs", rq.SerializeToString(), otlp.PROTO)


def metric(node, name):
    for line in node.get("prom", "/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(name)


def count(node, service="disk"):
    return node.logs(f"service_name:{service}", max_hits=0)["num_hits"]


def test_watermarks(make_node, tmp_path):
    with small_disk(tmp_path, 400) as small:
        node = make_node("small/data", args=["--set", "storage.memory=64MiB", "--set", "node.cores=1"])
        node.log_path = str(tmp_path / "node.log")
        node.start()

        def level():
            return int(metric(node, "tercet_disk_level"))
        ballast = small / "data/ballast"
        assert eventually(lambda: ballast.exists() and ballast.stat().st_blocks * 512 >= 4 * MIB - 65536)
        assert level() == 0 and send(node, 0).status == 200
        fill(small, 0.87)
        assert eventually(lambda: level() == 1) and send(node, 1).status == 200
        fill(small, 0.92)
        assert eventually(lambda: level() == 2)
        a = send(node, 2)
        assert a.status == 503 and a.headers["retry-after"] and b"full" in a.body and b"free space" in a.body, a
        ready = node.get("prom", "/readyz")
        assert ready.status == 200 and ready.json["refusing_ingest"] and "read_only" not in ready.json
        index = {"version": "0.9", "index_id": "one", "doc_mapping": {"mode": "dynamic"}}
        assert node.post("quickwit", "/api/v1/indexes", index).status == 200
        fill(small, 0.965)
        assert eventually(lambda: level() == 3)
        assert node.get("prom", "/readyz").json["read_only"]
        a = node.post("quickwit", "/api/v1/indexes", dict(index, index_id="two"))
        assert a.status in (503, 507) and b"nothing is written but deletions" in a.body, a
        assert any("nothing is written" in b["text"] for b in node.get("ui", "/api/ui/status").json["banners"])
        assert node.request("DELETE", "quickwit", "/api/v1/indexes/one").status == 200
        assert count(node) == 2  # reads go on
        (small / "filler").unlink()
        assert eventually(lambda: level() == 0) and send(node, 2).status == 200 and count(node) == 3


@pytest.mark.parametrize("kill", [False, True])
def test_no_room_at_all(make_node, tmp_path, kill):
    """Watermarks off, so that every write meets ENOSPC itself: the log, segments, the catalog, the start."""
    with small_disk(tmp_path, 1000) as small:
        args = ["--set", "storage.memory=8MiB", "--set", "node.cores=1", "--set", "storage.seal_age=1s", "--set", "storage.retention_share=0"]
        for share in ("pause", "refuse", "read_only"):
            args += ["--set", f"storage.{share}_share=0"]
        node = make_node("small/data", args=args)
        node.log_path = str(tmp_path / "node.log")
        node.start()
        ballast = small / "data/ballast"
        assert eventually(ballast.exists)
        acked = 0
        for i in range(10):
            acked += send(node, acked, 400_000).status == 200
        assert acked == 10
        fill(small)
        refused = 0
        for i in range(200):
            a = send(node, acked, 400_000)
            acked += a.status == 200
            if a.status != 200:
                assert a.status in (429, 503) and "retry-after" in a.headers, a
                refused += 1
                time.sleep(0.02)
        assert refused > 0
        # The ballast went, and what was in memory found its way into segments.
        assert eventually(lambda: not ballast.exists())
        assert eventually(lambda: metric(node, "tercet_seals_total") > 0)
        assert count(node) == acked
        if kill:
            node.kill()
            node.start()
            assert count(node) == acked
        (small / "filler").unlink()

        def taken():
            return send(node, acked, 400_000).status == 200
        seals = metric(node, "tercet_seals_total")
        assert eventually(taken)
        acked += 1
        assert eventually(lambda: metric(node, "tercet_seals_total") > seals)  # the catalog writes again
        assert eventually(ballast.exists)
        assert count(node) == acked
        node.kill()
        node.start()
        assert count(node) == acked


def test_starts_on_a_full_disk_without_ballast(make_node, tmp_path):
    with small_disk(tmp_path, 100) as small:
        node = make_node("small/data", args=["--set", "storage.ballast=0", "--set", "node.cores=1"])
        node.log_path = str(tmp_path / "node.log")
        node.start()
        assert send(node, 0).status == 200
        node.kill()
        fill(small)
        with pytest.raises(RuntimeError, match="is full: free some MB on it and start again"):
            node.start()
        (small / "filler").unlink()
        node.start()
        assert count(node) == 1


def test_read_only_directory(make_node, tmp_path):
    with small_disk(tmp_path, 100) as small:
        node = make_node("small/data", args=["--set", "node.cores=1"])
        node.log_path = str(tmp_path / "node.log")
        node.start()
        node.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        with pytest.raises(RuntimeError, match="cannot be written .Read-only file system.: mount it read-write"):
            node.start()


def segments(node):
    return sorted(os.path.join(node.data, "seg", f) for f in os.listdir(os.path.join(node.data, "seg")))


def test_a_lost_segment_is_told(make_node, tmp_path):
    node = make_node(args=["--set", "storage.seal_age=200ms", "--set", "node.cores=1"])
    node.start()
    assert node.post("otlp", "/v1/logs", otlp.logs("lost", [1]).SerializeToString(), otlp.PROTO).status == 200
    assert node.post("otlp", "/v1/traces", otlp.traces("lost", [1]).SerializeToString(), otlp.PROTO).status == 200
    assert node.post("otlp", "/v1/metrics", otlp.gauge("lost", "lost_gauge", {1: 1.0}).SerializeToString(), otlp.PROTO).status == 200
    assert eventually(lambda: metric(node, "tercet_memtable_bytes") < 1000 and len(segments(node)) > 0)

    def answers():
        now = int(time.time())
        es = node.post("quickwit", "/api/v1/_elastic/otel-logs-v0_9/_search", {"query": {"match_all": {}}}).json
        return {
            "prom": node.get("prom", "/api/v1/query", params={"query": "count({__name__=~'.+'})"}).json.get("warnings"),
            "prom_series": node.get("prom", "/api/v1/labels").json.get("warnings"),
            "quickwit": node.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "*"}).json["errors"],
            "elastic": es["_shards"].get("failures"),
            "tempo": node.get("tempo", "/api/search", params={"q": "{}"}).json.get("message"),
            "tempo_trace": node.get("tempo", "/api/v2/traces/" + "0" * 31 + "1").json.get("message"),
            "tempo_metrics": node.get("tempo", "/api/metrics/query", params={"q": "{} | rate()", "since": "1h"}).json.get("message"),
            "services": node.get("ui", "/api/services", params={"start": now - 3600, "end": now + 60}).json.get("warnings"),
            "ui": [b for b in node.get("ui", "/api/ui/status").json["banners"] if "incomplete" in b["text"]],
            "readyz": node.get("prom", "/readyz").json.get("lost"),
        }
    assert not any(answers().values()), answers()
    node.stop()
    aside = []
    for path in segments(node):
        shutil.move(path, tmp_path)
        aside.append(os.path.join(tmp_path, os.path.basename(path)))
    node.start()  # the rest works
    told = answers()
    assert all(told.values()), told
    name = os.path.basename(aside[0])
    assert all("cannot be read" in str(v) and (name in str(v) or len(aside) > 1) for v in told.values()), told
    log = node.log_text()
    assert "segment.lost" in log and name in log and "put the file back" in log
    # Another time is not touched by the loss.
    old = node.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "*", "start_timestamp": 1000, "end_timestamp": 2000})
    assert old.json["errors"] == []
    assert node.post("otlp", "/v1/logs", otlp.logs("new", [2]).SerializeToString(), otlp.PROTO).status == 200
    assert count(node, "new") == 1 and count(node, "lost") == 0
    for path in aside:
        shutil.move(path, os.path.join(node.data, "seg"))
    assert eventually(lambda: not any(answers().values()), 90)
    assert count(node, "lost") == 1


def tercet(*args):
    p = subprocess.run([BINARY, "segment", *args], capture_output=True, text=True, timeout=60)
    assert p.returncode in (0, 1, 2), (args, p)  # never a signal
    return p


@pytest.fixture
def sealed(make_node):
    """A node's data directory after it stopped, with segments of all signals."""
    node = make_node(args=["--set", "storage.seal_age=200ms", "--set", "node.cores=1"]).start()
    for i in range(4):
        n = range(i * 500, i * 500 + 500)
        for path, rq in (("logs", otlp.logs("logger", n)), ("traces", otlp.traces("tracer", [k + 1 for k in n])),
                         ("metrics", otlp.gauge("meter", f"gauge_{i % 2}", {k % 50: k / 4 for k in n}))):
            assert node.post("otlp", f"/v1/{path}", rq.SerializeToString(), otlp.PROTO).status == 200
    assert eventually(lambda: metric(node, "tercet_seals_total") > 0 and metric(node, "tercet_memtable_bytes") < 1000)
    node.stop()
    return node


def test_segment_inspect(sealed):
    rows, signals = {}, set()
    for path in segments(sealed):
        d = json.loads(tercet("inspect", "--json", path).stdout)
        sets = d["sets"]
        assert d["bytes"] == os.path.getsize(path) == (d["id_index_bytes"] + d["word_index_bytes"] + d["footer_bytes"] + d["header_trailer_bytes"] + d["padding_bytes"]
                                                       + d["unknown_bytes"] + sum(s["bytes"] for s in sets))
        assert d["unknown_bytes"] == 0
        for s in sets:
            signals.add(s["signal"])
            rows[s["signal"]] = rows.get(s["signal"], 0) + s.get("rows", s.get("samples", 0))
            if s["signal"] == "metrics":
                assert s["bytes"] == s["sample_bytes"] + s["series_bytes"] + s["family_bytes"] + sum(x["bytes"] for x in s["labels"])
                assert 0 <= s["sample_bytes"] - s["value_bytes"] - s["time_bytes"] - s["start_time_bytes"] <= 8 and s["blocks"] > 0
                assert {x["name"] for x in s["labels"]} >= {"__name__", "n"} and s["codecs"]
                continue
            assert s["bytes"] == sum(c["bytes"] + c["filter_bytes"] for c in s["columns"]) + sum(s["link_bytes"].values())
            columns = {(c["relation"], c["name"]): c for c in s["columns"]}
            number = columns["rows", "n"]
            assert number["type"] == "int" and number["attribute"] and number["values"] == s["rows"] and number["nulls"] == 0
            assert 0 <= number["least"] <= number["greatest"] <= 2000 and number["codecs"]
            assert columns["resource", "service.name"]["distinct_max"] == 1
            assert columns["resource", "service.name"]["least"] in ("logger", "tracer")
        text = tercet("inspect", path)
        assert text.returncode == 0 and path in text.stdout
        last = [line.split() for line in text.stdout.splitlines() if "together" in line][-1]
        assert int(last[1]) == d["bytes"]
    assert signals >= {"logs", "spans", "metrics"} and rows["logs"] == rows["spans"] == 2000
    assert tercet("inspect").returncode == 2 and tercet("nonsense").returncode == 2 and "usage" in tercet("--help").stdout


def test_segment_verify_finds_every_flip(sealed, tmp_path):
    path = segments(sealed)[0]
    with open(path, "rb") as f:
        sound = f.read()
    assert tercet("verify", path).returncode == 0
    bad = tmp_path / "bad.seg"
    rng = random.Random(3)
    for i in range(60):
        at = rng.randrange(16, len(sound))
        while sound[at] == 0:  # padding is no data
            at = rng.randrange(16, len(sound))
        bad.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << rng.randrange(8)]) + sound[at + 1:])
        p = tercet("verify", str(bad))
        assert p.returncode == 1 and "bad.seg" in p.stderr, (at, p)
        if i < 20:
            tercet("inspect", str(bad))  # no flip ends it by a signal
    for size in (0, 10, 56, len(sound) // 2, len(sound) - 1):
        bad.write_bytes(sound[:size])
        for verb in ("verify", "inspect"):
            p = tercet(verb, str(bad))
            assert p.returncode == 1 and "bad.seg" in p.stderr, (size, p)
    p = tercet("verify", str(tmp_path / "none.seg"), path)  # the others are looked at all the same
    assert p.returncode == 1 and "no such file" in p.stderr and "all as they were written" in p.stdout
