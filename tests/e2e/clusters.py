"""What the tests of clusters share: requests that go to the nodes in turn, questions to every API, and traffic that goes on
while something happens to a node."""
import http.client
import json
import os
import sys
import threading
import time

import otlp
import prompb
import test_fragments as fragments
from node import PORTS, ROOT, eventually

sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
import shop

BASE = time.time_ns()


class InTurn:
    """Looks like a node to those that send: each request goes to the next of the nodes."""

    def __init__(self, *nodes):
        self.nodes, self.n = nodes, 0

    def post(self, door, path, body, *args, **kw):
        self.n += 1
        answer = self.nodes[self.n % len(self.nodes)].post(door, path, body, *args, **kw)
        assert answer.status in (200, 204), (path, answer)
        return answer


def remote_write(series, at_ms):
    """Remote write 1.0: {name: {labels: value}}, with metadata of each name."""
    return prompb.write_request([({"__name__": name, **dict(labels)}, [(at_ms, value)]) for name, values in series.items() for labels, value in values.items()],
                                [dict(type=2, metric_family_name=name, help="help of " + name, unit="seconds") for name in series])


def send_all(to, end, halfway=lambda: None):
    """All signals through all kinds of doors; `to` has post() of a node. Returns the id of a trace. halfway: called when a part of
    all has been sent, of many traces and series too."""
    source = shop.Shop(5, end - 240, 4, 1.0, False)
    requests = [(path, payload) for t in range(end - 210, end + 1, 30) for path, payload in source.run(t)]
    half = len(requests) // 2
    for spans, records, numbers, some in ((range(1, 20), range(30), range(12), requests[:half]), (range(20, 40), range(30, 60), range(12, 24), requests[half:])):
        for path, payload in some:
            to.post("otlp", path, json.dumps(payload))
        fragments.send_odd(to, (end - 60) * 10**9, spans, records)
        for i in numbers:
            series = {f"written_{k}": {(("i", str(n)), ("job", "rw")): (i + 1) * n + k / 3 for n in range(7)} for k in range(3)}
            series["resets_total"] = {(("i", str(n)), ("job", "rw")): i % (n + 2) for n in range(40)}
            to.post("prom", "/api/v1/write", remote_write(series, (end - 120 + i * 5) * 1000), otlp.PROTO, headers={"content-encoding": "snappy"})
        if spans[0] == 1:
            fragments.send_documents(to, (end - 60) * 10**9)
            halfway()
    return source.summary.checkouts[0]


PROMQL = ["written_0", "sum by (i) (rate(written_1[1m]))", "topk(3, written_2)", "count({__name__=~\".+\"})", "written_1 / on(i, job) written_2",
          "quantile(0.9, written_0)", "sum by (job) (rate({__name__=~\".*count.*\"}[2m]))", "absent(nothing_here)",
          "histogram_quantile(0.9, sum by (le) (rate({__name__=~\".*_bucket\"}[2m])))", "max_over_time(written_0[1m:10s])",
          "rate(resets_total[1m])", "increase(resets_total[90s])", "sum(rate(resets_total[1m]))", "topk(2, changes(resets_total[2m]))",
          "avg_over_time(resets_total[1m]) > 2", "resets_total offset 20s", "count_over_time(resets_total[2m:5s])", "timestamp(resets_total)",
          "label_replace(written_0, \"j\", \"$1\", \"i\", \"(.)\")", "sort_desc(written_2)", "count_values(\"v\", written_0)"]


def ask_metrics(node, out, window):
    span = {"start": window["start"], "end": window["end"]}
    for q in PROMQL:
        fragments.ask(node, out, "prom", "/api/v1/query", query=q, time=window["end"] - 60)
        fragments.ask(node, out, "prom", "/api/v1/query_range", query=q, step=7, **span)
    for match in ("{__name__=~\"written.*\"}", "{job=\"orders\"}", "{job=\"nobody\"}"):
        fragments.ask(node, out, "prom", "/api/v1/series", **{"match[]": match}, **span)
        fragments.ask(node, out, "prom", "/api/v1/labels", **{"match[]": match}, **span)
        fragments.ask(node, out, "prom", "/api/v1/label/__name__/values", **{"match[]": match}, **span)
    fragments.ask(node, out, "prom", "/api/v1/labels", **span)
    fragments.ask(node, out, "prom", "/api/v1/label/i/values")
    fragments.ask(node, out, "prom", "/api/v1/metadata")
    fragments.ask(node, out, "prom", "/api/v1/query_exemplars", query="{__name__=~\".+\"}", **span)


def answers(node, end, trace):
    window = {"start": end - 300, "end": end + 60}
    out = fragments.answers(node, window, trace)
    ask_metrics(node, out, window)
    return out


FREE = {"exemplars", "inspectedTraces", "inspectedSpans", "inspectedBytes"}


def settled(x):
    """What must be the same wherever rows lie: not the choice of examples, not what was looked at on the way, not the last bits of
    sums. Order is."""
    if isinstance(x, float):
        return float(f"{x:.12g}")
    if isinstance(x, str) and "." in x and x.replace(".", "", 1).replace("-", "", 1).isdigit():
        return f"{float(x):.12g}"  # a sample's value
    if isinstance(x, dict):
        return {k: settled(v) for k, v in x.items() if k not in FREE}
    return [settled(v) for v in x] if isinstance(x, list) else x


def first_difference(want, got):
    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
    return f"{want[max(0, at - 150):at + 250]}\n  {got[max(0, at - 150):at + 250]}"


def differences(want, got, bytes_too=True):
    """In words; "" when there are none. bytes_too: byte for byte, else what is settled."""
    assert want.keys() == got.keys()
    different = [k for k, v in want.items() if got[k] != v and (bytes_too or settled(json.loads(got[k])) != settled(json.loads(v)))]
    def text(v):
        return v if bytes_too else json.dumps(settled(json.loads(v)))
    return "\n".join(f"{k}\n  {first_difference(text(want[k]), text(got[k]))}" for k in different)


# -- whole or not, as each API says it ---------------------------------------------------------------------------------
def partial(node):
    """What each API says is missing."""
    get = node.get
    now = int(time.time())
    es = node.post("quickwit", "/api/v1/_elastic/otel-logs-v0_9/_search", {"query": {"match_all": {}}}).json
    return {
        "query": get("prom", "/api/v1/query", params={"query": "count({__name__=~'.+'})"}).json.get("warnings"),
        "range": get("prom", "/api/v1/query_range", params={"query": "up", "start": now - 60, "end": now, "step": 15}).json.get("warnings"),
        "labels": get("prom", "/api/v1/labels").json.get("warnings"),
        "series": get("prom", "/api/v1/series", params={"match[]": "{__name__=~'.+'}"}).json.get("warnings"),
        "search": get("tempo", "/api/search", params={"q": "{}"}).json.get("message"),
        "trace": get("tempo", "/api/v2/traces/" + "0" * 31 + "1").json.get("message"),
        "trace_metrics": get("tempo", "/api/metrics/query", params={"q": "{} | rate()", "since": "1h"}).json.get("message"),
        "quickwit": get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "*"}).json["errors"],
        "elastic": es["_shards"].get("failures"),
        "services": get("ui", "/api/services", params={"start": now - 3600, "end": now + 60}).json.get("warnings"),
        "correlate": get("ui", "/api/correlate", params={"service": "one", "start": now - 3600, "end": now + 60}).json.get("warnings"),
    }


def write(node, service, numbers):
    """Log records; the same bytes for the same numbers."""
    return node.post("otlp", "/v1/logs", otlp.logs(service, numbers, at_ns=BASE).SerializeToString(), otlp.PROTO)


# -- traffic -------------------------------------------------------------------------------------------------------------
class Traffic(threading.Thread):
    """Writes records with numbers of their own to one node after the other and asks others for them at once. A number whose
    request was not acknowledged is sent again, to another node, until it is."""

    def __init__(self, nodes, service="traffic", pause_s=0.005, first=0):
        super().__init__(daemon=True)
        self.nodes, self.service, self.pause_s = list(nodes), service, pause_s
        self.avoid = None  # the node that clients leave alone
        self.rounds = 0
        self.done, self.next, self.wrong = threading.Event(), first, []
        self.acked, self.retried, self.slowest_write, self.slowest_read = 0, 0, 0.0, 0.0
        self.connections, self.base = {}, time.time_ns()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.join(60)
        assert kind or not self.is_alive()

    def leave(self, node):
        """Until no request to that node is under way."""
        self.avoid, rounds = node, self.rounds
        eventually(lambda: self.rounds >= rounds + 2)

    def others(self):
        return [n for n in self.nodes if n is not self.avoid]

    def call(self, node, door, method, path, body=None, headers=None):
        key = node.offset, door
        c = self.connections.pop(key, None) or http.client.HTTPConnection("127.0.0.1", PORTS[door] + node.offset, timeout=30)
        c.request(method, path, body, headers or {})
        answer = c.getresponse()
        text = answer.read()
        if not answer.will_close:
            self.connections[key] = c
        return answer, text

    def write(self, node, n):
        """True: acknowledged. Only what tells a client to try again is right beside it."""
        began = time.monotonic()
        try:
            answer, text = self.call(node, "otlp", "POST", "/v1/logs", otlp.logs(self.service, [n], at_ns=self.base).SerializeToString(),
                                     {"content-type": otlp.PROTO})
        except (OSError, http.client.HTTPException):
            return False  # it is gone, or went
        self.slowest_write = max(self.slowest_write, time.monotonic() - began)
        if answer.status != 200 and not (answer.status in (429, 503) and answer.getheader("retry-after")):
            self.wrong.append(("write", node.data, answer.status, text[:300]))
        return answer.status == 200

    def read(self, node, n):
        began = time.monotonic()
        try:
            answer, text = self.call(node, "quickwit", "GET",
                                     f"/api/v1/otel-logs-v0_9/search?max_hits=2&query=service_name:{self.service}%20AND%20attributes.n:{n}")
        except (OSError, http.client.HTTPException):
            return
        took = time.monotonic() - began
        self.slowest_read = max(self.slowest_read, took)
        got = json.loads(text) if answer.status == 200 else {}
        if answer.status != 200 or got["errors"] or got["num_hits"] != 1:
            self.wrong.append(("read", node.data, n, answer.status, text[:300]))

    def run(self):
        while not self.done.is_set():
            self.rounds += 1
            nodes = self.others()
            n, tries = self.next, 0
            while not self.write(nodes[(n + tries) % len(nodes)], n):
                tries += 1
                self.retried += 1
                if self.done.is_set():
                    return  # unknown, and not counted
                time.sleep(0.01)
                nodes = self.others()
            self.next = n + 1
            self.acked += 1
            self.read(nodes[(n + 1) % len(nodes)], n)
            time.sleep(self.pause_s)


def stored(node, service):
    """How often each number of a service is stored, and nothing may be missing."""
    body = {"size": 0, "query": {"term": {"service_name": service}}, "aggs": {"n": {"terms": {"field": "attributes.n", "size": 60000}}}}
    a = node.post("quickwit", "/api/v1/_elastic/otel-logs-v0_9/_search", body)
    assert a.status == 200 and not a.json["_shards"].get("failures"), a
    return {int(b["key"]): b["doc_count"] for b in a.json["aggregations"]["n"]["buckets"]}


def check_stored(node, service, acked):
    """Each number below `acked` once. The one after them, which nobody was told of, at most once."""
    got = stored(node, service)
    lost = [n for n in range(acked) if n not in got]
    more = {n: k for n, k in got.items() if k != 1 or n > acked}
    assert not lost and not more, (len(lost), lost[:5], more)
