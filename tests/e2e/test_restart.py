"""Clients that keep sending while a node starts: they see what they retry (503, no connection), never a refusal for good."""
import gzip
import http.client
import json
import socket
import subprocess
import threading
import time

import zstandard
from google.protobuf.json_format import MessageToDict

import otlp
import prompb
from node import BINARY, PORTS


def remote_write(n):
    """Remote write 1.0 of one sample of the series sent{n="..."}, as Prometheus sends it."""
    return prompb.write_request([({"__name__": "sent", "n": str(n)}, [(time.time_ns() // 10**6, n)])])


def json_logs(n):
    return json.dumps(MessageToDict(otlp.logs("json", [n]))).encode()


SENDERS = {  # name: (door, path, headers, body of request n)
    "write": ("prom", "/api/v1/write", {"content-type": otlp.PROTO, "content-encoding": "snappy"}, remote_write),
    "zstd": ("otlp", "/v1/logs", {"content-type": otlp.PROTO, "content-encoding": "zstd"},
             lambda n: zstandard.ZstdCompressor().compress(otlp.logs("zstd", [n]).SerializeToString())),
    "gzip": ("otlp", "/v1/traces", {"content-type": otlp.PROTO, "content-encoding": "gzip"},
             lambda n: gzip.compress(otlp.traces("gzip", [n + 1]).SerializeToString())),
    "json": ("otlp", "/v1/logs", {"content-type": "application/json"}, json_logs),
    "docs": ("quickwit", "/api/v1/kept/ingest", {"content-type": "application/x-ndjson"}, lambda n: b'{"n":%d}\n' % n),
}


class Sender(threading.Thread):
    """Sends 0, 1, 2 ... over kept connections, each until it is answered by 2xx."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.door, self.path, self.headers, self.body = SENDERS[name]
        self.port = PORTS[self.door] + node.offset
        self.done, self.n, self.refused, self.retried, self.wrong = threading.Event(), 0, 0, 0, []

    def run(self):
        connection = None
        while not self.done.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request("POST", self.path, self.body(self.n), self.headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                connection = None
                self.retried += 1
                time.sleep(0.002)
                continue
            if answer.status in (200, 204):
                self.n += 1
            elif answer.status == 503 and answer.getheader("retry-after"):
                self.refused += 1
                time.sleep(0.002)
            else:
                self.wrong.append((answer.status, text[:300]))
                return
        if connection:
            connection.close()


def test_senders_over_restarts(node):
    a = node.post("quickwit", "/api/v1/indexes", {"version": "0.9", "index_id": "kept", "doc_mapping": {"mode": "dynamic"}})
    assert a.status == 200, a
    for i in range(20):  # enough that replay takes a moment
        body = otlp.logs("ballast", range(i * 2000, i * 2000 + 2000)).SerializeToString()
        assert node.post("otlp", "/v1/logs", body, otlp.PROTO).status == 200
    senders = {name: Sender(node, name) for name in SENDERS}
    for s in senders.values():
        s.start()
    for how in ("kill", "stop"):
        time.sleep(0.3)
        if how == "kill":
            node.kill()
        else:
            assert node.stop() == 0
        time.sleep(0.1)
        node.start()
    time.sleep(0.3)
    for s in senders.values():
        s.done.set()
    for name, s in senders.items():
        s.join(20)
        assert not s.is_alive() and not s.wrong, (name, s.wrong)
        assert s.n > 10 and s.retried, (name, s.n, s.retried)
    # All that was acknowledged is there: equal samples and spans once, documents at least once.
    sent = node.query("sent")
    assert {float(r["metric"]["n"]) for r in sent} >= set(range(senders["write"].n))
    assert all(r["value"][1] == r["metric"]["n"] for r in sent)
    assert len(node.search('{ resource.service.name = "gzip" }', limit=100000)) >= senders["gzip"].n
    for service in ("zstd", "json"):
        hits = node.logs(f"service_name:{service}", max_hits=10000)["hits"]
        assert {h["attributes"]["n"] for h in hits} >= set(range(senders[service].n)), service
    docs = node.get("quickwit", "/api/v1/kept/search", params={"query": "*", "max_hits": 10000}).json["hits"]
    assert {d["n"] for d in docs} >= set(range(senders["docs"].n))
    assert node.logs("service_name:ballast", max_hits=0)["num_hits"] == 40000


def test_health_verb(make_node):
    """`tercet health`, which containers ask: 0 for a node that is ready, 1 for one that is not there or still starts."""
    node = make_node()

    def health(*args):
        p = subprocess.run([BINARY, "health", *args], capture_output=True, text=True, timeout=20)
        return p.returncode, p.stdout + p.stderr
    here = ["--port-offset", str(node.offset)]
    assert health(*here)[0] == 1 and "no node answers" in health(*here)[1]
    node.start()
    for bind in ([], ["--bind", "0.0.0.0"]):
        assert health(*here, *bind) == (0, '{"ready":true,"refusing_ingest":false}\n'), health(*here, *bind)
    assert health(*here, "--bind", "nonsense")[0] == 1 and health("--no-such-option")[0] == 2
    node.stop()
    assert health(*here)[0] == 1
    with socket.socket() as other:  # something that is not a node
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", PORTS["prom"] + node.offset))
        other.listen()
        other.settimeout(20)

        def answer():  # reads the request first: closing with bytes unread would reset the connection
            with other.accept()[0] as c:
                c.recv(65536)
                c.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\nlater")
        stranger = threading.Thread(target=answer)
        stranger.start()
        code, text = health(*here)
        stranger.join()
    assert code == 1 and "not ready: later" in text
