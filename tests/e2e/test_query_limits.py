"""Limits of PromQL queries: what is over one is stopped and says which limit and by how much; the node goes on."""
import re
import time
import urllib.parse

import pytest

import prompb

SAMPLES, MEMORY = 50_000, "32MiB"
SERIES, EACH, START = 200, 300, 1_700_000_000
END = START + 15 * (EACH - 1)
TOO_MANY = re.compile(r"query processing would load too many samples into memory in query execution: at least (\d+), where query.samples_max is 50000$")


@pytest.fixture
def filled(make_node):
    node = make_node(args=["--set", f"query.samples_max={SAMPLES}", "--set", f"query.memory_one={MEMORY}", "--set", "query.timeout=20s"]).start()
    t = [(START + 15 * i) * 1000 for i in range(EACH)]
    body = prompb.write_request([({"__name__": "m", "n": str(i)}, [(x, float(i)) for x in t]) for i in range(SERIES)])
    assert node.post("prom", "/api/v1/write", body, "application/x-protobuf", headers={"Content-Encoding": "snappy"}).status == 204
    return node


def ask(node, query, **params):
    if "start" in params:
        return node.get("prom", "/api/v1/query_range", params={"query": query, **params})
    return node.get("prom", "/api/v1/query", params={"query": query, "time": END, **params})


def refused(a, text):
    assert a.status == 422 and a.json["status"] == "error" and a.json["errorType"] == "execution", a
    m = re.match(text, a.json["error"])
    assert m, a
    return m


def test_samples(filled):
    range_of = {"start": START, "end": END, "step": 15}
    for query, params in (("m[2h]", {}), ("sum(quantile_over_time(0.5, m[2h]))", {}), ("sum(rate(m[5m]))", range_of), ("m", range_of), ("sum by (n) (m)", range_of),
                          ("m[74m] @ 1700004485", {}), ("quantile_over_time(0.9, sum(m)[74m:15s])", {})):
        over = int(refused(ask(filled, query, **params), TOO_MANY).group(1))
        assert SAMPLES < over <= SERIES * EACH, query
    # A subquery of a month in milliseconds: 2.6 billion evaluations.
    assert int(refused(ask(filled, "max_over_time(m[30d:1ms])"), TOO_MANY).group(1)) == 30 * 86400 * 1000
    # Just below: 160 series in full, and one sample of all.
    a = ask(filled, 'sum(count_over_time(m{n=~"[0-9]|[1-9][0-9]|1[0-5][0-9]"}[2h]))')
    assert a.status == 200 and a.json["data"]["result"][0]["value"][1] == str(160 * EACH), a
    assert ask(filled, "count(m)").json["data"]["result"][0]["value"][1] == str(SERIES)


def test_memory_and_time(filled):
    before = filled.rss_bytes()
    a = ask(filled, 'm{n=~"[0-4]?[0-9]"} + on () group_left vector(1)', start=END, end=END + 10999 * 0.02, step=0.02)
    assert a.status == 200 and len(a.json["data"]["result"]) == 50, a
    began = time.monotonic()
    for query in ("m", "-m", "topk(150, m)"):
        # 200 series at 11,000 steps: 18 MB of values, and as much again for the answer.
        a = ask(filled, f"label_replace({query}, 'a', 'b', '', '') or ({query} + 1)", start=END, end=END + 10999 * 0.02, step=0.02)
        m = refused(a, r"memory budget 'query.memory_one' is exhausted: (\d+) of (\d+) bytes")
        assert int(m.group(2)) == 32 << 20 < int(m.group(1)), a
    assert time.monotonic() - began < 60
    assert filled.rss_bytes() < before + (300 << 20)
    a = ask(filled, "m", timeout="0.000001")
    assert (a.status, a.json["errorType"]) == (503, "timeout") and a.json["error"].startswith("query timed out in "), a
    assert ask(filled, "count(m)").json["data"]["result"][0]["value"][1] == str(SERIES)


def test_remote_read_federation_and_counts(filled):
    rq = prompb.ReadRequest()
    rq.queries.add(start_timestamp_ms=0, end_timestamp_ms=END * 1000).matchers.add(type=0, name="__name__", value="m")
    a = filled.post("prom", "/api/v1/read", prompb.snappy(rq), "application/x-protobuf", headers={"Content-Encoding": "snappy"})
    assert a.status == 422 and b"exceeded sample limit (50000, the setting query.samples_max)" in a.body, a
    a = filled.get("prom", "/api/v1/series", params={"match[]": ["m"] * 257})
    assert a.status == 400 and a.json["error"] == 'invalid parameter "match[]": more than 256 match[] parameters', a
    for deep in ("+".join(["1"] * 5000), "(" * 5000 + "1" + ")" * 5000, "-" * 5000 + "1"):
        a = filled.post("prom", "/api/v1/query", "query=" + urllib.parse.quote(deep), "application/x-www-form-urlencoded")
        assert a.status == 400 and a.json["errorType"] == "bad_data" and "parse error" in a.json["error"], a
