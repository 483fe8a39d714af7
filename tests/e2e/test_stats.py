"""`stats` of a query: how many samples each step looks at. By hand, and as Prometheus counts the same data."""
import json
import shutil
import urllib.parse
import urllib.request

import pytest

import prompb
from node import eventually
from promserver import PromServer

# Times between the samples, which are each 15 s: where a sample falls on the edge of a window, releases of Prometheus differ.
START, STEP, COUNT = 1_700_000_002, 60, 11
END = START + STEP * (COUNT - 1)
FIRST = START - 2 - 1800  # half an hour before
# No subqueries: Debian's release counts their own values, newer ones what their expression looks at.
QUERIES = [
    "m", "m{n='0'}", "sum(m)", "m + m", "m > 3", "rate(m[1m])", "max_over_time(m[5m]) + on (n) group_left m", "absent(nothing)",
    "m offset 5m", "m @ 1700000002", "rate(m[2m] @ end())", "sum(rate(m[90s] offset 1m)) by (n)", "quantile_over_time(0.5, m[30s])", "1", "time()",
    "scalar(sum(m))", "topk(scalar(m{n='1'}), m)", "timestamp(m)",
    "late", "rate(late[1m])", "(m or late)", "-m", "label_replace(m, 'a', '$1', 'n', '(.*)')",
]


@pytest.fixture
def filled(node):
    t = range(FIRST, END + 60, 15)
    series = [({"__name__": "m", "n": str(i)}, [(s * 1000, float(i + s % 7)) for s in t]) for i in range(3)]
    series += [({"__name__": "late"}, [(s * 1000, 1.0) for s in t if s > START + 300])]
    body = prompb.write_request(series)
    assert node.post("prom", "/api/v1/write", body, "application/x-protobuf", headers={"Content-Encoding": "snappy"}).status == 204
    return node, body


def stats(url, query, each=True):
    params = {"query": query, "start": START, "end": END, "step": STEP, "stats": "all" if each else "true"}
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(params)}", timeout=20) as r:
        return json.load(r)["data"]["stats"]


def test_by_hand(filled):
    node, _ = filled
    url = node.url("prom")
    for query, each in (("m", 3), ("rate(m[1m])", 12), ("max_over_time(sum(m)[5m:1m])", 15), ("max_over_time(rate(m[1m])[5m:30s] offset 1m)", 120), ("sum_over_time(count_over_time(m[1m:30s])[2m:1m])", 12), ("rate(m[2m] @ 1700000002)", 24), ("1", 0)):
        got = stats(url, query)
        assert got["samples"]["totalQueryableSamplesPerStep"] == [[START + i * STEP, each] for i in range(COUNT)], (query, got)
        assert got["samples"]["totalQueryableSamples"] == each * COUNT
        assert (got["samples"]["peakSamples"] > 0) == (got["storage"]["samplesRead"] > 0) == (each > 0), got
        assert list(got["timings"]) == ["evalTotalTime", "resultSortTime", "queryPreparationTime", "innerEvalTime", "execQueueTime", "execTotalTime"]
        assert all(v >= 0 for v in got["timings"].values()) and got["timings"]["execTotalTime"] > 0
        assert got["timings"]["execTotalTime"] >= got["timings"]["evalTotalTime"] >= got["timings"]["innerEvalTime"]
        plain = stats(url, query, each=False)
        assert "totalQueryableSamplesPerStep" not in plain["samples"] and plain["samples"]["totalQueryableSamples"] == each * COUNT
    late = stats(url, "late")["samples"]["totalQueryableSamplesPerStep"]
    assert [n for _, n in late] == [0] * 6 + [1] * 5
    ask = {"query": "m[1m]", "time": START, "stats": "all"}
    got = node.get("prom", "/api/v1/query", params=ask).json["data"]["stats"]["samples"]
    assert (got["totalQueryableSamplesPerStep"], got["totalQueryableSamples"]) == ([[START, 12]], 12)
    assert "stats" not in node.get("prom", "/api/v1/query", params={"query": "m", "stats": ""}).json["data"]


def test_as_prometheus_counts(filled, tmp_path):
    node, body = filled
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed: tests/lib/deps test")
    prometheus = PromServer(tmp_path, "global: {{}}\n", "--web.enable-remote-write-receiver", "--enable-feature=promql-per-step-stats")
    try:
        url = f"http://127.0.0.1:{prometheus.port}"
        rq = urllib.request.Request(url + "/api/v1/write", data=body, method="POST", headers={
            "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"})

        def written():
            try:
                return urllib.request.urlopen(rq, timeout=5).status == 204
            except OSError:
                return False
        assert eventually(written), prometheus.log_text()[-2000:]
        for query in QUERIES:
            want, got = stats(url, query)["samples"], stats(node.url("prom"), query)["samples"]
            for key in ("totalQueryableSamplesPerStep", "totalQueryableSamples"):
                assert got[key] == want[key], (query, key, want[key], got[key])
    finally:
        prometheus.stop()
