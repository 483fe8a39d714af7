"""Port 3000: the pages of the UI, and every API that they read under its prefix."""
import time

import pytest

import otlp

BUCKETS = {"size": 0, "query": {"match_all": {}},
           "aggs": {"t": {"date_histogram": {"field": "timestamp", "fixed_interval": "60s"}}}}
# Of the same request through the API's own port and through the prefix: (prefix, door, method, path, body)
SAME = [
    ("/prometheus", "prom", "GET", "/api/v1/query?query=orders&time=@NOW", None),
    ("/prometheus", "prom", "GET", "/api/v1/query_range?query=orders&start=@START&end=@NOW&step=15", None),
    ("/prometheus", "prom", "POST", "/api/v1/query", b"query=sum(orders)&time=@NOW"),
    ("/prometheus", "prom", "GET", "/api/v1/label/__name__/values", None),
    ("/prometheus", "prom", "GET", "/api/v1/labels?match[]=orders", None),
    ("/prometheus", "prom", "GET", "/api/v1/metadata", None),
    ("/prometheus", "prom", "GET", "/api/v1/query?query=sum(", None),
    ("/prometheus", "prom", "GET", "/-/ready", None),
    ("/tempo", "tempo", "GET", "/api/search?q=%7B%7D&start=@START&end=@NOW", None),
    ("/tempo", "tempo", "GET", "/api/search?q=%7B", None),
    ("/tempo", "tempo", "GET", "/api/traces/00000000000000000000000000000007", None),
    ("/tempo", "tempo", "GET", "/api/v2/traces/00000000000000000000000000000099", None),
    ("/tempo", "tempo", "GET", "/api/v2/search/tag/resource.service.name/values", None),
    ("/quickwit", "quickwit", "GET", "/api/v1/otel-logs-v0_9/search?query=*&max_hits=3", None),
    ("/quickwit", "quickwit", "GET", "/api/v1/otel-logs-v0_9/search?query=a:(", None),
    ("/quickwit", "quickwit", "GET", "/api/v1/_elastic/nothing-here/_count", None),
    ("/quickwit", "quickwit", "POST", "/api/v1/_elastic/otel-logs-v0_9/_search", BUCKETS),
    ("/quickwit", "quickwit", "GET", "/api/v1/indexes/otel-logs-v0_9", None),
    ("/quickwit", "quickwit", "GET", "/api/v1/_elastic/no/such/route", None),
]
FLEETING = {"elapsed_time_micros", "took", "inspectedBytes", "inspectedTraces", "totalBlocks", "totalJobs", "completedJobs"}


def settled(value):
    """An answer without what differs between two calls of the same."""
    if isinstance(value, dict):
        return {k: settled(v) for k, v in value.items() if k not in FLEETING}
    return [settled(v) for v in value] if isinstance(value, list) else value


def content(answer):
    try:
        return settled(answer.json)
    except ValueError:
        return answer.body


@pytest.fixture
def filled(node):
    for path, rq in [("/v1/metrics", otlp.gauge("shop", "orders", {1: 2.5, 2: 4})), ("/v1/traces", otlp.traces("shop", range(1, 9))),
                     ("/v1/logs", otlp.logs("shop", range(5)))]:
        a = node.post("otlp", path, rq.SerializeToString(), otlp.PROTO)
        assert a.status == 200, a
    return node


def test_prefixes_answer_as_the_ports_do(filled):
    now = int(time.time())

    def at_now(text):
        return text.replace("@NOW", str(now + 1)).replace("@START", str(now - 300))
    for prefix, door, method, path, body in SAME:
        path = at_now(path)
        if isinstance(body, bytes):
            body = at_now(body.decode()).encode()
        kind = "application/x-www-form-urlencoded" if isinstance(body, bytes) else "application/json"

        def ask(d, p):
            return filled.post(d, p, body, kind) if method == "POST" else filled.get(d, p)
        there, here = ask(door, path), ask("ui", prefix + path)
        assert (here.status, here.headers["content-type"]) == (there.status, there.headers["content-type"]), (path, here, there)
        assert content(here) == content(there), path
        assert here.headers["x-content-type-options"] == "nosniff"
        assert here.headers["referrer-policy"] == "same-origin"


def test_what_lies_outside_of_the_prefixes_is_not_there(filled):
    for path in ["/api/v1/query?query=1", "/api/search", "/prometheus", "/prometheus/", "/prometheus/tempo/api/search",
                 "/tempo/prometheus/api/v1/query", "/prometheusapi/v1/query", "/prometheus%2Fapi/v1/labels", "/quickwit/../metrics"]:
        assert filled.get("ui", path).status == 404, path
    # Each in its API's form.
    assert filled.get("ui", "/prometheus/api/v1/nope").json["status"] == "error"
    assert filled.get("ui", "/quickwit/api/v1/_elastic/no/such").json == {"message": "Route not found"}
    assert filled.get("ui", "/tempo/api/nope").headers["content-type"].startswith("text/plain")
    # Remote write belongs to its own port.
    assert filled.post("ui", "/prometheus/api/v1/write", b"").status in (404, 405)
