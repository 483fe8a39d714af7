"""Forms of Prometheus' HTTP API that clients look at: status codes, types and texts of errors, parameters at their bounds. Where an
expected answer is in this file, it is what Prometheus answers."""
import gzip
import json
import time
import urllib.parse

import pytest

import prompb
from node import eventually

PROM = "prom"
RANGE = {"query": "1", "start": "1", "end": "10", "step": "1"}
TIME = """invalid parameter "{0}": Invalid time value for '{0}': cannot parse "x" to a valid timestamp"""
ATOI = 'invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax'
NEGATIVE = 'invalid parameter "limit": limit must be non-negative'
EMPTY = "match[] must contain at least one non-empty matcher"
OPEN = "1:4: parse error: unexpected end of input inside braces"

BAD = [
    ("query", {"query": "sum("}, 'invalid parameter "query": 1:5: parse error: unclosed left parenthesis'),
    ("query", {}, 'invalid parameter "query": unknown position: parse error: no expression found in input'),
    ("query", {"query": "1", "time": "x"}, TIME.format("time")),
    ("query", {"query": "1", "timeout": "x"}, 'invalid parameter "timeout": cannot parse "x" to a valid duration'),
    ("query", {"query": "1", "timeout": "-1s"}, 'invalid parameter "timeout": cannot parse "-1s" to a valid duration'),
    ("query", {"query": "1", "limit": "x"}, ATOI),
    ("query", {"query": "1", "limit": "-1"}, NEGATIVE),
    ("query", {"query": "1", "lookback_delta": "x"}, 'error parsing lookback delta duration: cannot parse "x" to a valid duration'),
    ("query_range", {"query": "1"}, 'invalid parameter "start": cannot parse "" to a valid timestamp'),
    ("query_range", {**RANGE, "start": "x"}, 'invalid parameter "start": cannot parse "x" to a valid timestamp'),
    ("query_range", {**RANGE, "end": "0"}, 'invalid parameter "end": end timestamp must not be before start time'),
    ("query_range", {**RANGE, "step": "1x"}, 'invalid parameter "step": cannot parse "1x" to a valid duration'),
    ("query_range", {**RANGE, "step": "1e300"}, 'invalid parameter "step": cannot parse "1e300" to a valid duration. It overflows int64'),
    ("query_range", {**RANGE, "step": ""}, 'invalid parameter "step": cannot parse "" to a valid duration'),
    ("query_range", {**RANGE, "step": "-1"}, 'invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer'),
    ("query_range", {**RANGE, "start": "0", "end": "11001"},
     "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"),
    ("query_range", {**RANGE, "query": "up[5m]"},
     'invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector'),
    ("query_exemplars", {}, "unknown position: parse error: no expression found in input"),
    ("query_exemplars", {"query": "up", "start": "5", "end": "1"}, "end timestamp must not be before start timestamp"),
    ("query_exemplars", {"query": "up", "end": "x"}, TIME.format("end")),
    ("labels", {"start": "x"}, TIME.format("start")),
    ("labels", {"limit": "x"}, ATOI),
    ("labels", {"match[]": "up{"}, OPEN),
    ("labels", {"match[]": '{a=~".*"}'}, EMPTY),
    ("labels", {"match[]": "rate(up[5m])"}, '1:5: parse error: unexpected "("'),
    ("label/a/values", {"end": "x"}, TIME.format("end")),
    ("label/a/values", {"match[]": "up{"}, OPEN),
    ("series", {}, "no match[] parameter provided"),
    ("series", {"match[]": "up{"}, 'invalid parameter "match[]": ' + OPEN),
    ("series", {"match[]": "{}"}, 'invalid parameter "match[]": ' + EMPTY),
    ("series", {"match[]": "up", "start": "x"}, TIME.format("start")),
    ("metadata", {"limit": "x"}, "limit must be a number"),
    ("metadata", {"limit_per_metric": "x"}, "limit_per_metric must be a number"),
    ("targets/metadata", {"limit": "x"}, "limit must be a number"),
    ("rules", {"type": "x"}, 'invalid parameter "type": not supported value "x"'),
    ("status/tsdb", {"limit": "0"}, "limit must be a positive number"),
    ("status/tsdb", {"limit": "10001"}, "limit must not exceed 10000"),
    ("format_query", {"query": "("}, 'invalid parameter "query": 1:2: parse error: unclosed left parenthesis'),
]


def get(node, path, params=None, **kw):
    return node.get(PROM, "/api/v1/" + path, params=params, **kw)


def data(a):
    assert a.status == 200 and a.json["status"] == "success", a
    return a.json["data"]


def write(node, series, **kw):
    body = prompb.write_request(series)
    a = node.post(PROM, "/api/v1/write", body, "application/x-protobuf", headers={"Content-Encoding": "snappy"}, **kw)
    assert a.status == 204, a


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A node for tests that leave nothing behind that another would see."""
    from node import Node
    node = Node(tmp_path_factory.mktemp("forms") / "data").start()
    yield node
    assert node.stop() == 0, node.log_text()[-3000:]


def test_bad_data(one):
    for path, params, error in BAD:
        a = get(one, path, params)
        assert (a.status, a.json) == (400, {"status": "error", "errorType": "bad_data", "error": error}), (path, params, a)
        assert a.headers["content-type"] == "application/json", path


def test_bounds(one):
    write(one, [({"__name__": "m", "n": str(i)}, [(0, 1.0), (60_000, 2.0)]) for i in range(3)], tenant="bounds")
    kw = {"tenant": "bounds"}
    assert len(data(get(one, "query_range", {**RANGE, "start": "0", "end": "11000"}, **kw))["result"][0]["values"]) == 11001
    assert data(get(one, "query_range", {**RANGE, "start": "0", "end": "0"}, **kw))["result"] == [{"metric": {}, "values": [[0, "1"]]}]
    # The limit is of the step as it was asked for, not of whole milliseconds; those are cut off, not rounded.
    for step, n, second in (("0.3272727272727273", 11010, 0.327), ("0.4998", 7215, 0.499)):
        values = data(get(one, "query_range", {**RANGE, "start": "0", "end": "3600", "step": step}, **kw))["result"][0]["values"]
        assert len(values) == n and values[1][0] == second, step
    assert get(one, "query_range", {**RANGE, "start": "0", "end": "3600", "step": "0.32724"}, **kw).status == 400
    assert get(one, "query_exemplars", {"query": "1"}, **kw).status == 204
    assert data(get(one, "labels", {"start": "5", "end": "1"}, **kw)) == []
    assert data(get(one, "series", {"start": "5", "end": "1", "match[]": "m"}, **kw)) == []
    # A look-back of nothing and less is the default; RFC 3339 and fractions are times; durations are seconds or words.
    for back in ("0", "-1", "0s"):
        assert len(data(get(one, "query", {"query": "m", "time": "300", "lookback_delta": back}, **kw))["result"]) == 3, back
    for back, n in (("30s", 0), ("241", 3), ("240", 0), ("1w", 3)):
        assert len(data(get(one, "query", {"query": "m", "time": "300", "lookback_delta": back}, **kw))["result"]) == n, back
    for when in ("60.0004", "60.000", "1970-01-01T00:01:00Z", "1970-01-01T02:01:00.0000+02:00", "6e1"):
        assert data(get(one, "query", {"query": "sum(m)", "time": when}, **kw))["result"] == [{"metric": {}, "value": [60, "6"]}], when
    for limit, n in (("0", 3), ("3", 3), ("2", 2)):
        a = get(one, "query", {"query": "m", "time": "60", "limit": limit}, **kw)
        assert len(data(a)["result"]) == n and a.json.get("warnings") == (["results truncated due to limit"] if n == 2 else None), limit
        a = get(one, "query_range", {**RANGE, "query": "m", "limit": limit}, **kw)
        assert len(data(a)["result"]) == n and bool(a.json.get("warnings")) == (n == 2), limit


def test_timeouts(one):
    for timeout in ("0", "0s", "-3"):
        a = get(one, "query", {"query": "1", "timeout": timeout})
        assert (a.status, a.json["errorType"]) == (503, "timeout") and a.json["error"].startswith("query timed out in "), a
    assert data(get(one, "query", {"query": "1", "timeout": "1h", "time": "7"})) == {"resultType": "scalar", "result": [7, "1"]}


def test_execution_errors(one):
    for query, error in (('label_replace(vector(1), "a", "b", "c", "(")', "invalid regular expression in label_replace(): ("),
                         ('label_replace(vector(1), "", "b", "c", "d")', 'invalid destination label name in label_replace(): ')):
        a = get(one, "query", {"query": query})
        assert (a.status, a.json) == (422, {"status": "error", "errorType": "execution", "error": error}), a


def test_methods_and_texts(one):
    assert one.get(PROM, "/-/healthy").body == b"Prometheus Server is Healthy.\n"
    assert one.get(PROM, "/-/ready").body == b"Prometheus Server is Ready.\n"
    assert one.request("HEAD", PROM, "/-/healthy").status == 200
    for path in ("/-/reload", "/-/quit"):
        a = one.request("POST", PROM, path)
        assert (a.status, a.body) == (403, b"Lifecycle API is not enabled.\n")
        assert one.get(PROM, path).status == 405
    a = one.get(PROM, "/federate", params={"match[]": "up{"})
    assert (a.status, a.body) == (400, OPEN.encode() + b"\n") and a.headers["content-type"].startswith("text/plain")
    assert one.request("PUT", PROM, "/api/v1/query").status == 405
    a = one.request("OPTIONS", PROM, "/api/v1/query", headers={"Origin": "http://a.example", "Access-Control-Request-Method": "POST"})
    assert a.status == 204 and "POST" in a.headers["access-control-allow-methods"], a.headers
    a = get(one, "query", {"query": "1"}, headers={"Origin": "http://a.example"})
    assert a.headers["access-control-allow-origin"] in ("*", "http://a.example")


def test_gzip(one):
    a = get(one, "query_range", {**RANGE, "end": "5000"}, headers={"Accept-Encoding": "gzip"})
    assert a.headers["content-encoding"] == "gzip"
    plain = get(one, "query_range", {**RANGE, "end": "5000"}).json
    assert json.loads(gzip.decompress(a.body)) == plain and len(plain["data"]["result"][0]["values"]) == 5000
    body = gzip.compress(urllib.parse.urlencode({"query": "2", "time": "3"}).encode())
    a = one.post(PROM, "/api/v1/query", body, "application/x-www-form-urlencoded", headers={"Content-Encoding": "gzip"})
    assert data(a) == {"resultType": "scalar", "result": [3, "2"]}


def test_metadata_limits(one):
    meta = [{"type": 2, "metric_family_name": f"f{i}", "help": "h", "unit": ""} for i in range(3)]
    now = int(time.time() * 1000)
    body = prompb.write_request([({"__name__": "f0"}, [(now, 1.0)])], metadata=meta)
    assert one.post(PROM, "/api/v1/write", body, "application/x-protobuf", headers={"Content-Encoding": "snappy"}, tenant="meta").status == 204
    ask = lambda **p: data(get(one, "metadata", p, tenant="meta"))
    assert ask() == {f"f{i}": [{"type": "gauge", "help": "h", "unit": ""}] for i in range(3)}
    assert len(ask(limit=2)) == 2 and ask(limit=0) == {} and len(ask(limit=-1)) == 3
    assert [len(v) for v in ask(limit_per_metric=1).values()] == [1, 1, 1]
    assert list(ask(metric="f1")) == ["f1"] and ask(metric="none") == {}


def test_status(one):
    yaml = data(get(one, "status/config"))["yaml"]
    assert "storage.seal_age" in yaml and one.data in yaml
    flags = data(get(one, "status/flags"))
    assert flags["query.timeout"] == "2m" and flags["web.enable-lifecycle"] == "false" and flags["storage.tsdb.path"] == one.data
    info = data(get(one, "status/runtimeinfo"))
    assert info["CWD"] and info["storageRetention"] and info["reloadConfigSuccess"] is True


def test_features(one):
    got = data(get(one, "features"))
    assert sum(got["promql_functions"].values()) == 90 and got["promql_functions"]["info"] is True
    assert all(got["promql_operators"][op] for op in ("+", "=~", "unless", "limit_ratio", "</", "@")), got["promql_operators"]
    assert got["api"]["admin"] is True and got["api"]["lifecycle"] is False and got["service_discovery_providers"] == {}
    assert "features" not in data(get(one, "status/buildinfo"))


def tops(d, key):
    return [(x["name"], x["value"]) for x in d[key]]


@pytest.mark.parametrize("seal_age", ["1h", "200ms"])
def test_cardinality(make_node, seal_age):
    """Of one tenant, in memtables or in segments, in the words of Prometheus' page."""
    node = make_node(args=["--set", f"storage.seal_age={seal_age}"]).start()
    none = data(get(node, "status/tsdb", tenant="t"))
    assert none["headStats"] == {"numSeries": 0, "numLabelPairs": 0, "chunkCount": 0, "minTime": 2**63 - 1, "maxTime": -2**63}
    assert all(none[k] == [] for k in none if k != "headStats")
    write(node, [({"__name__": "a", "n": str(i), "job": "x"}, [(1_000_000 + i, 1.0), (2_000_000 + i, 2.0)]) for i in range(20)], tenant="t")
    write(node, [({"__name__": "bb", "job": "longer"}, [(-5, 1.0), (500_000, 2.0)])], tenant="t")
    write(node, [({"__name__": "other"}, [(1, 1.0), (9_000_000, 2.0)])], tenant="u")

    def check(last):
        d = data(get(node, "status/tsdb", {"limit": "3"}, tenant="t"))
        chunks = d["headStats"].pop("chunkCount")
        assert d["headStats"] == {"numSeries": 21, "numLabelPairs": 24, "minTime": -5, "maxTime": last} and chunks >= 21, d
        assert tops(d, "seriesCountByMetricName") == [("a", 20), ("bb", 1)]
        assert tops(d, "labelValueCountByLabelName") == [("n", 20), ("__name__", 2), ("job", 2)]
        assert tops(d, "memoryInBytesByLabelName") == [("n", 30), ("job", 26), ("__name__", 22)]
        assert tops(d, "seriesCountByLabelValuePair") == [("__name__=a", 20), ("job=x", 20), ("__name__=bb", 1)]
        assert data(get(node, "status/tsdb", tenant="u"))["headStats"]["maxTime"] == 9_000_000
        assert len(data(get(node, "status/tsdb", tenant="t"))["seriesCountByLabelValuePair"]) == 10
    check(2_000_019)
    if seal_age != "1h":
        assert eventually(lambda: b"\ntercet_memtable_bytes 0\n" in node.get(PROM, "/metrics").body)
        check(2_000_019)
    assert node.post(PROM, "/api/v1/admin/tsdb/delete_series?match[]=a&start=2000", b"", tenant="t").status == 204
    check(1_000_019)
