"""What demo/up --nodes 3 promises: a node killed under the shop's traffic is a banner, no more. The records counted are written here, beside the
shop's: each has an id of its own, so that one that is lost or stored twice is seen. Standard library only."""
import contextlib
import http.client
import json
import os
import subprocess
import threading
import time
import urllib.parse

STEP = 20  # node_step of demo/lib/services
DOORS = {"otlp": 4318, "prom": 9090, "tempo": 3200, "quickwit": 7280, "ui": 3000, "gossip": 7946, "calls": 7947}
SERVICE = "counted"


class Node:
    def __init__(self, offset):
        self.offset = offset

    def call(self, method, door, path, body=None, headers=None, **params):
        """(status, headers, bytes); OSError or HTTPException when it does not answer."""
        c = http.client.HTTPConnection("127.0.0.1", DOORS[door] + self.offset, timeout=30)
        try:
            c.request(method, path + ("?" + urllib.parse.urlencode(params) if params else ""), body, headers or {})
            answer = c.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            c.close()

    def get(self, door, path, **params):
        status, _, body = self.call("GET", door, path, **params)
        assert status == 200, (path, params, status, body[:300])
        return json.loads(body)

    def banners(self):
        return [b["text"] for b in self.get("ui", "/api/ui/status")["banners"]]

    def stored(self):
        """How often each number that was written here is stored."""
        ask = {"size": 0, "query": {"term": {"service_name": SERVICE}}, "aggs": {"n": {"terms": {"field": "attributes.n", "size": 60000}}}}
        status, _, body = self.call("POST", "quickwit", "/api/v1/_elastic/otel-logs-v0_9/_search", json.dumps(ask), {"content-type": "application/json"})
        d = json.loads(body)
        assert status == 200 and not d["_shards"].get("failures"), (status, body[:300])
        return {int(b["key"]): b["doc_count"] for b in d["aggregations"]["n"]["buckets"]}


class Writer(threading.Thread):
    """One record after the other, to the nodes in turn; one that is not acknowledged goes to the next, as a sender's retry does."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.done = nodes, threading.Event()
        self.acked, self.retried, self.wrong, self.at = 0, 0, [], str(time.time_ns())

    def send(self, node, n):
        record = {"timeUnixNano": self.at, "body": {"stringValue": f"record {n}"}, "attributes": [{"key": "n", "value": {"intValue": str(n)}}]}
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": SERVICE}}]}
        body = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
        try:
            status, headers, text = node.call("POST", "otlp", "/v1/logs", json.dumps(body), {"content-type": "application/json"})
        except (OSError, http.client.HTTPException):
            return False
        if status != 200 and not (status in (429, 503) and headers.get("retry-after")):
            self.wrong.append((n, node.offset, status, text[:300]))
        return status == 200

    def run(self):
        turn = 0
        while not self.done.is_set():
            while not self.send(self.nodes[turn % len(self.nodes)], self.acked):
                turn, self.retried = turn + 1, self.retried + 1
                time.sleep(0.02)
            self.acked, turn = self.acked + 1, turn + 1
            time.sleep(0.01)


def asked(node):
    """A question to each API; what it says is missing. An answer that is none raises."""
    now = time.time()
    return {
        "prometheus": node.get("prom", "/api/v1/query", query="sum(rate(http_server_request_duration_seconds_count[1m]))").get("warnings"),
        "tempo": node.get("tempo", "/api/search", q="{ }", limit=5).get("message"),
        "quickwit": node.get("quickwit", "/api/v1/otel-logs-v0_9/search", query="*", max_hits=2)["errors"],
        "services": node.get("ui", "/api/services", start=now - 900, end=now).get("warnings"),
    }


class Asker(threading.Thread):
    """Asks one node for as long as it lasts: an error or an answer that lacks something is wrong."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.done, self.rounds, self.wrong = node, threading.Event(), 0, []

    def run(self):
        while not self.done.is_set():
            try:
                self.wrong += [(self.node.offset, api, text) for api, text in asked(self.node).items() if text]
            except (AssertionError, OSError, http.client.HTTPException, ValueError) as e:
                self.wrong.append((self.node.offset, repr(e)[:400]))
            self.rounds += 1
            time.sleep(0.1)


def ports_of(offset, nodes=3):
    return [port + offset + i * STEP for i in range(nodes) for port in (*DOORS.values(), 4317)]


@contextlib.contextmanager
def shop_is_busy(root, offset):
    """The demo's own traffic, without its visitors, who cost a browser."""
    urls = {f"{name}_URL": f"http://127.0.0.1:{port + offset}" for name, port in
            (("STOREFRONT", 3001), ("CATALOGUE", 8001), ("ORDERS", 8002), ("PAYMENTS", 8003))}
    p = subprocess.Popen([f"{root}/demo/traffic/run"], env=dict(os.environ, **urls), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        p.terminate()
        p.wait(30)


def same_ui(nodes):
    for n in nodes:
        status, _, page = n.call("GET", "ui", "/cluster")
        assert status == 200 and b"<script" in page, (n.offset, status)


def killed_and_back(demo, nodes, eventually):
    """The writer that went on all the time."""
    victim, others = nodes[1], [nodes[0], nodes[2]]
    writer, askers = Writer(others), [Asker(n) for n in others]
    for t in (writer, *askers):
        t.start()
    try:
        assert eventually(60, lambda: writer.acked >= 100)
        rc, text = demo.script("kill-node", "2")
        assert rc == 0 and "killed node2" in text, text
        for n in others:
            assert eventually(30, lambda: any("1 of 3 nodes does not answer" in t for t in n.banners())), n.banners()
        same_ui(others)
        rc, text = demo.script("kill-node", "2")
        assert rc == 1 and "demo/restart node2" in text, text
        assert demo.script("kill-node", "4")[0] == 2
        acked = writer.acked
        assert eventually(60, lambda: writer.acked >= acked + 100)
        rc, text = demo.script("restart", "node2")
        assert rc == 0 and "started node2" in text, text
        for n in nodes:
            assert eventually(60, lambda: n.banners() == []), n.banners()
        assert eventually(60, lambda: asked(victim) and not any(asked(victim).values()))
        acked = writer.acked
        assert eventually(60, lambda: writer.acked >= acked + 50)
    finally:
        for t in (writer, *askers):
            t.done.set()
        for t in (writer, *askers):
            t.join(60)
    for t in (writer, *askers):
        assert not t.wrong, (len(t.wrong), t.wrong[:3])
    assert all(a.rounds > 10 for a in askers), [a.rounds for a in askers]
    return writer


def each_once(nodes, writer):
    for n in nodes:
        got = n.stored()
        lost, twice = [k for k in range(writer.acked) if k not in got], [k for k, times in got.items() if times != 1]
        assert not lost and not twice, (n.offset, len(lost), lost[:5], twice[:5])


def first_is_gone(demo, nodes, eventually):
    """The first one too, without a restart: what the second had missed it has fetched, for it and the third answer for all."""
    assert demo.script("kill-node", "1")[0] == 0
    for n in nodes[1:]:
        assert eventually(30, lambda: any("1 of 3 nodes does not answer" in t for t in n.banners())), n.banners()
        assert not any(asked(n).values()), asked(n)
