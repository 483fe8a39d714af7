"""What Grafana's Prometheus source sends, with its peculiar parameters, and what it needs to find in the answers."""
import gzip
import json
import time
import urllib.parse

import pytest

import otlp


def ok(answer):
    assert answer.status == 200 and answer.json["status"] == "success", answer
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json["data"]


def form(node, path, params, **kw):
    """As Grafana sends a query: POST, form-encoded."""
    return node.post("prom", path, urllib.parse.urlencode(params, doseq=True), "application/x-www-form-urlencoded", **kw)


def push(node, name="http_requests_seconds"):
    rq = otlp.gauge("shop", name, {1: 0.5, 2: 1.5})
    assert node.post("otlp", "/v1/metrics", rq.SerializeToString(), otlp.PROTO).status == 200


def test_grafana_health_and_probes(node):
    # "Save & test", on an empty server: 1+1 at time 4, then the build without `features`.
    data = ok(form(node, "/api/v1/query", {"query": "1+1", "time": "4"}))
    assert data == {"resultType": "scalar", "result": [4, "2"]}
    build = ok(node.get("prom", "/api/v1/status/buildinfo"))
    assert "features" not in build and int(build["version"].split(".")[0]) >= 3
    # Start-up probe: milliseconds where seconds are meant (the year 55,000 and more).
    now = int(time.time() * 1000)
    probe = {"query": "test", "start": str(now - 3600_000), "end": str(now)}
    assert ok(form(node, "/api/v1/query_exemplars", probe)) == []
    assert ok(node.get("prom", "/api/v1/query_exemplars", params=probe)) == []
    assert ok(node.get("prom", "/api/v1/rules")) == {"groups": []}
    assert ok(node.get("prom", "/api/v1/alerts")) == {"alerts": []}
    assert ok(node.get("prom", "/api/v1/metadata")) == {}
    assert ok(node.get("prom", "/api/v1/label/__name__/values")) == []


def test_grafana_queries(node):
    push(node)
    now = time.time()
    step = 15.5
    start = (now - 3600) // step * step
    params = {"query": 'max by (n) (http_requests_seconds{job="shop"})', "start": f"{start:.3f}", "end": f"{now + 1:.3f}", "step": str(step)}
    assert ok(form(node, "/api/v1/query_range", params))["resultType"] == "matrix"
    last = {**params, "start": f"{now:.3f}", "end": f"{now + 60:.3f}"}
    got = ok(form(node, "/api/v1/query_range", last))["result"]
    assert [r["metric"] for r in got] == [{"n": "1"}, {"n": "2"}] and len(got[0]["values"]) >= 3
    instant = ok(form(node, "/api/v1/query", {"query": "http_requests_seconds", "time": f"{now + 1:.3f}"}))
    assert instant["resultType"] == "vector" and sorted(r["value"][1] for r in instant["result"]) == ["0.5", "1.5"]
    # The query in the URL and the form: both are read.
    a = node.post("prom", "/api/v1/query?query=1", "time=10", "application/x-www-form-urlencoded")
    assert ok(a) == {"resultType": "scalar", "result": [10, "1"]}
    for bad, status in (({"query": "sum(", "time": "4"}, 400), ({"query": "1", "time": "yesterday"}, 400), ({"query": ""}, 400)):
        a = form(node, "/api/v1/query", bad)
        assert a.status == status and a.json["status"] == "error" and a.json["errorType"] == "bad_data" and a.json["error"], a
    for when in ("-1e300", "1e300", "9223372036854775.807", "-292273086-05-16T16:47:06Z"):
        assert ok(form(node, "/api/v1/query", {"query": "sum(http_requests_seconds) + rate(http_requests_seconds[5m] offset 1y)",
                                               "time": when}))["result"] == [], when
    a = form(node, "/api/v1/query_range", {**params, "start": "-1e300", "end": "1e300", "step": "1e9"})
    assert a.status == 400 and "11,000" in a.json["error"]
    a = form(node, "/api/v1/query_range", {**params, "step": "0.1"})
    assert a.status == 400 and "11,000" in a.json["error"]


def test_grafana_browses(node):
    push(node)
    push(node, "http.other.name")
    end = int(time.time()) + 60
    window = {"start": str(end - 3600), "end": str(end)}
    names = ["http_other_name", "http_requests_seconds"]
    for params in ({}, {"limit": 40000}, {"limit": 40000, "match[]": '{job="shop"}'}, {"match[]": ['{__name__=~"http.*"}']}):
        assert ok(node.get("prom", "/api/v1/label/__name__/values", params={**window, **params})) == names, params
    assert ok(node.get("prom", "/api/v1/label/n/values", params={**window, "limit": 40000, "match[]": '{__name__!=""}'})) == ["1", "2"]
    assert ok(node.get("prom", "/api/v1/label/n/values", params={**window, "match[]": 'http_other_name{n="2"}'})) == ["2"]
    assert ok(node.get("prom", "/api/v1/label/U__http_2e_x/values", params=window)) == []
    a = node.get("prom", "/api/v1/label/n/values", params={**window, "limit": 1})
    assert a.json["data"] == ["1"] and a.json["warnings"]
    for call in (lambda p: node.get("prom", "/api/v1/labels", params=p), lambda p: form(node, "/api/v1/labels", p)):
        assert ok(call(window)) == ["__name__", "job", "n"]
        assert ok(call({**window, "limit": 40000, "match[]": ["http_other_name", "nothing"]})) == ["__name__", "job", "n"]
        assert ok(call({**window, "match[]": "nothing"})) == []
    for call in (lambda p: node.get("prom", "/api/v1/series", params=p), lambda p: form(node, "/api/v1/series", p)):
        got = ok(call({**window, "match[]": '{__name__!=""}', "limit": 40000}))
        assert len(got) == 4 and {"__name__": "http_other_name", "job": "shop", "n": "1"} in got
        assert len(ok(call({**window, "match[]": ['http_other_name{n="1"}', "http_requests_seconds"]}))) == 3
        for start, end_ in (("-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z"),  # all time, as Go clients spell it
                            ("-9223372036854775.808", "9223372036854775.807"), ("0", "1e300")):
            assert len(ok(call({"match[]": '{__name__!=""}', "start": start, "end": end_}))) == 4, start
        a = call(window)
        assert a.status == 400 and a.json["errorType"] == "bad_data"
    meta = ok(node.get("prom", "/api/v1/metadata", params={"limit": 40000}))
    assert sorted(meta) == names and meta["http_other_name"][0]["type"] == "gauge"


def test_exemplars_lead_to_traces(node):
    rq = otlp.gauge("shop", "x", {})
    m = rq.resource_metrics[0].scope_metrics[0].metrics.add(name="latency", unit="s")
    m.histogram.aggregation_temporality = 2
    now = time.time_ns()
    p = m.histogram.data_points.add(start_time_unix_nano=now - 10**9, time_unix_nano=now, count=2, sum=0.7,
                                    explicit_bounds=[0.1, 0.5], bucket_counts=[0, 1, 1])
    p.exemplars.add(time_unix_nano=now, as_double=0.6, trace_id=b"\x0a" * 16, span_id=b"\x0b" * 8)
    assert node.post("otlp", "/v1/metrics", rq.SerializeToString(), otlp.PROTO).status == 200
    window = {"start": now / 1e9 - 60, "end": now / 1e9 + 60}
    got = ok(form(node, "/api/v1/query_exemplars", {
        "query": "histogram_quantile(0.95, sum(rate(latency_seconds_bucket[5m])) by (le))", **window}))
    assert len(got) == 1 and got[0]["seriesLabels"]["__name__"] == "latency_seconds_bucket"
    e = got[0]["exemplars"][0]
    assert e["labels"]["trace_id"] == "0a" * 16 and e["value"] == "0.6" and abs(e["timestamp"] - now / 1e9) < 0.01


HEADERS = {"User-Agent": "Grafana/12.3.0", "Accept-Encoding": "gzip", "X-Grafana-Org-Id": "1", "X-Datasource-Uid": "abc", "X-Panel-Id": "2",
           "X-Dashboard-Uid": "def", "X-Query-Group-Id": "g"}
STEP, NOW = 15, 1_700_000_003
LAST = NOW // STEP * STEP           # ends of ranges are multiples of the step
SPAN = {"start": str(LAST - 3600), "end": str(LAST)}
NAMES = ["app.latency/seconds", "http_requests_total", "up"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A node with an hour of three metrics of one tenant, as Grafana's tests want them: fixed times, a name that needs escaping."""
    from node import Node

    import prompb
    node = Node(tmp_path_factory.mktemp("grafana") / "data").start()
    times = [(LAST - 3600 + s) * 1000 for s in range(0, 3601, 15)]
    series = [({"__name__": "up", "job": j, "instance": f"{j}:{i}"}, [(t, 1.0) for t in times]) for j in ("api", "web") for i in range(2)]
    series += [({"__name__": "http_requests_total", "job": "api", "instance": "api:0", "code": c}, [(t, (t / 1000 - LAST + 3600) * n) for t in times])
               for c, n in (("200", 2.0), ("500", 1.0))]
    series += [({"__name__": "app.latency/seconds", "job": "api", "service.name": "shop"}, [(t, 0.25) for t in times])]
    meta = [{"type": 1, "metric_family_name": "http_requests_total", "help": "Requests", "unit": ""}]
    a = node.post("prom", "/api/v1/write", prompb.write_request(series, metadata=meta), "application/x-protobuf",
                  headers={"Content-Encoding": "snappy"}, tenant="shop")
    assert a.status == 204, a
    yield node
    assert node.stop() == 0, node.log_text()[-3000:]


def points(result, key=None):
    return {r["metric"].get(key, "") if key else "": r["values"] for r in result["result"]}


def range_of(values, start=LAST - 3600, end=LAST):
    """As long as a range with both ends in it, every value a number in a string."""
    return len(values) == (end - start) // STEP + 1 and all(isinstance(v, str) and float(v) is not None for _, v in values)


# (methods, path, parameters, what holds for `data`)
REQUESTS = [
    # A panel: range with both ends, step in float seconds; the interval variables are replaced before it is sent.
    ("P", "query_range", {"query": 'up{job="api"}', "step": "15", **SPAN}, lambda d: len(d["result"]) == 2 and all(range_of(r["values"]) for r in d["result"])),
    ("PG", "query_range", {"query": "sum by (code) (rate(http_requests_total[1m0s]))", "step": "15.000", **SPAN},
     lambda d: [round(float(points(d, "code")[c][-1][1]), 9) for c in ("200", "500")] == [2, 1]),
    ("P", "query_range", {"query": "count(up)", "step": "3600", **SPAN}, lambda d: points(d)[""] == [[LAST - 3600, "4"], [LAST, "4"]]),
    ("P", "query_range", {"query": "up == 0", "step": "15", **SPAN}, lambda d: d == {"resultType": "matrix", "result": []}),
    # The least step that Grafana sends for a range: range / 11000.
    ("P", "query_range", {"query": "vector(1)", "step": "0.3272727272727273", **SPAN}, lambda d: len(d["result"][0]["values"]) == 11010),
    # Instant: the time is the end of the range; a table panel and Explore.
    ("PG", "query", {"query": "up", "time": str(LAST)}, lambda d: d["resultType"] == "vector" and [r["value"] for r in d["result"]] == [[LAST, "1"]] * 4),
    ("P", "query", {"query": "topk(1, http_requests_total)", "time": f"{LAST}.000"}, lambda d: d["result"][0]["metric"]["code"] == "200"),
    ("P", "query", {"query": '"text"', "time": str(LAST)}, lambda d: d == {"resultType": "string", "result": [LAST, "text"]}),
    # query_result() of a variable, and a query whose text needs encoding.
    ("PG", "query", {"query": 'count by (job) (up{instance=~"api:0|web:.+"})', "time": str(LAST)}, lambda d: sorted(r["value"][1] for r in d["result"]) == ["1", "2"]),
    ("P", "query", {"query": '{"app.latency/seconds", "service.name"="shop"}', "time": str(LAST)}, lambda d: d["result"][0]["value"] == [LAST, "0.25"]),
    # Exemplars beside every panel that asks for them: the panel's own query and its range.
    ("PG", "query_exemplars", {"query": "histogram_quantile(0.9, sum by (le) (rate(http_requests_total[1m])))", **SPAN}, lambda d: d == []),
    # The browser, autocompletion and variables: metrics(), label_names(), label_values(), with and without selectors.
    ("G", "label/__name__/values", {**SPAN, "limit": "40000"}, lambda d: d == NAMES),
    ("G", "label/__name__/values", {**SPAN, "match[]": '{job="web"}', "limit": "40000"}, lambda d: d == ["up"]),
    ("G", "label/job/values", {**SPAN, "match[]": "up", "limit": "40000"}, lambda d: d == ["api", "web"]),
    ("G", "label/instance/values", {**SPAN, "match[]": '{__name__="up",job=~"api|none"}'}, lambda d: d == ["api:0", "api:1"]),
    ("G", "label/U__service_2e_name/values", {**SPAN, "match[]": '{"app.latency/seconds"}'}, lambda d: d == ["shop"]),
    ("G", "label/job/values", {"start": str(LAST + 7200), "end": str(LAST + 10800)}, lambda d: d == []),
    ("PG", "labels", {**SPAN, "match[]": '{__name__="http_requests_total"}', "limit": "40000"}, lambda d: d == ["__name__", "code", "instance", "job"]),
    ("PG", "labels", SPAN, lambda d: d == ["__name__", "code", "instance", "job", "service.name"]),
    ("PG", "series", {**SPAN, "match[]": '{__name__!=""}', "limit": "40000"}, lambda d: len(d) == 7),
    ("PG", "series", {**SPAN, "match[]": ['up{job="web"}', "http_requests_total"]}, lambda d: len(d) == 4),
    ("G", "metadata", {}, lambda d: d == {"http_requests_total": [{"type": "counter", "help": "Requests", "unit": ""}]}),
    ("G", "metadata", {"limit": "40000", "metric": "http_requests_total"}, lambda d: len(d) == 1),
    # Recording rules to expand in queries; the alerting pages.
    ("G", "rules", {}, lambda d: d == {"groups": []}),
    ("G", "rules", {"type": "alert", "exclude_alerts": "true", "group_limit": "100"}, lambda d: d["groups"] == []),
    ("G", "rules", {"type": "record", "rule_name[]": "a", "rule_group[]": ["b", "c"], "file[]": "d"}, lambda d: d["groups"] == []),
    ("G", "alerts", {}, lambda d: d == {"alerts": []}),
    ("G", "status/buildinfo", {}, lambda d: "features" not in d and d["version"].startswith("3.")),
    ("PG", "format_query", {"query": "sum(rate(up[1m]))by(job)"}, lambda d: d == "sum by (job) (rate(up[1m]))"),
    ("PG", "parse_query", {"query": "up"}, lambda d: d["type"] == "vectorSelector"),
]


def test_grafana_requests(shop):
    """Each of them as it is sent: under the tenant's header, gzip accepted, as a form or in the URL."""
    for methods, path, params, holds in REQUESTS:
        for method in methods:
            send = form if method == "P" else lambda node, path, params, **kw: node.get("prom", path, params=params, **kw)
            a = send(shop, "/api/v1/" + path, params, headers=HEADERS, tenant="shop")
            assert a.status == 200, (method, path, params, a)
            body = json.loads(gzip.decompress(a.body) if a.headers.get("content-encoding") == "gzip" else a.body)
            assert body["status"] == "success" and holds(body["data"]), (method, path, params, body)
            other = send(shop, "/api/v1/" + path, params, tenant="nobody")
            assert other.status == 200 and "http_requests_total" not in str(other.json.get("data")), (path, other)


def test_grafana_ui_prefix(shop):
    """The UI's port serves the API under /prometheus: a data source may be pointed there."""
    a = shop.get("ui", "/prometheus/api/v1/query", params={"query": "count(up)", "time": str(LAST)}, tenant="shop")
    assert ok(a)["result"] == [{"metric": {}, "value": [LAST, "4"]}]


def test_grafana_does_not_take_it_for_mimir(shop):
    """Its ruler API is what a `features` map would turn on; without it these must not be there."""
    for path in ("/config/v1/rules", "/api/v1/rules/namespace", "/prometheus/config/v1/rules", "/alertmanager/api/v2/status"):
        assert shop.get("prom", path).status == 404, path
