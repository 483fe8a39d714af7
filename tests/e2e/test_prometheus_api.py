"""The parts of Prometheus' HTTP API that look at the language and at the server, not at data."""
import pytest

PROM = "prom"


def data(a):
    assert a.status == 200 and a.json["status"] == "success", a
    return a.json["data"]


def parse(node, query):
    return data(node.get(PROM, "/api/v1/parse_query", params={"query": query}))


def test_parse_query(node):
    selector = {"type": "vectorSelector", "name": "up", "offset": 0, "offsetExpr": None, "timestamp": None, "startOrEnd": None, "anchored": False, "smoothed": False,
                "matchers": [{"name": "job", "value": "a|b", "type": "=~"}, {"name": "__name__", "value": "up", "type": "="}]}
    assert parse(node, 'up{job=~"a|b"}') == selector
    assert parse(node, 'up{job=~"a|b"} offset -5m @ 12.5') == {**selector, "offset": -300000, "timestamp": 12500}
    tree = parse(node, 'sum without (a, b) (rate(up{job=~"a|b"}[90s] @ end())) > bool -(2e3)')
    assert (tree["type"], tree["op"], tree["bool"]) == ("binaryExpr", ">", True)
    assert tree["matching"] is None
    agg = tree["lhs"]
    assert (agg["type"], agg["op"], agg["grouping"], agg["without"], agg["param"]) == ("aggregation", "sum", ["a", "b"], True, None)
    call = agg["expr"]
    assert call["func"] == {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}
    assert call["args"] == [{**selector, "type": "matrixSelector", "range": 90000, "rangeExpr": None, "startOrEnd": "end"}]
    step = parse(node, "a[2 * step()]")["rangeExpr"]
    assert step == {"type": "durationExpr", "op": "*", "lhs": {"type": "numberLiteral", "val": "2", "duration": False},
                    "rhs": {"type": "durationExpr", "op": "step", "lhs": None, "rhs": None, "wrapped": False}, "wrapped": False}
    assert tree["rhs"] == {"type": "unaryExpr", "op": "-", "expr": {"type": "parenExpr", "expr": {"type": "numberLiteral", "val": "2000"}}}


def test_parse_query_forms(node):
    joined = parse(node, "a * on (x) group_left (y) b")
    assert joined["matching"] == {"card": "many-to-one", "labels": ["x"], "on": True, "include": ["y"], "fillValues": {"lhs": None, "rhs": None}}
    assert parse(node, "a + fill_left(2) b")["matching"]["fillValues"] == {"lhs": 2, "rhs": None}
    assert parse(node, "1 + a")["matching"] is None
    sub = parse(node, "max_over_time(a[1h:5m] offset 1m)")["args"][0]
    assert {k: sub[k] for k in ("type", "range", "step", "offset", "startOrEnd")} == {
        "type": "subquery", "range": 3600000, "step": 300000, "offset": 60000, "startOrEnd": None}
    assert parse(node, "topk(3, a)")["param"] == {"type": "numberLiteral", "val": "3"}
    assert parse(node, '"x\\n"') == {"type": "stringLiteral", "val": "x\n"}
    assert parse(node, "Inf")["val"] == "+Inf"
    a = node.get(PROM, "/api/v1/parse_query", params={"query": "sum(a"})
    assert a.status == 400 and a.json["error"].startswith('invalid parameter "query": 1:6: parse error: unclosed left parenthesis'), a
    assert data(node.get(PROM, "/api/v1/format_query", params={"query": "a   +  b"})) == "a + b"


def test_status(node):
    assert data(node.get(PROM, "/api/v1/status/buildinfo"))["version"].startswith("3.")
    assert node.get(PROM, "/version").json["version"].startswith("3.")
    info = data(node.get(PROM, "/api/v1/status/runtimeinfo"))
    assert info["GOMAXPROCS"] >= 1 and info["startTime"] <= info["serverTime"] and info["hostname"]
    flags = data(node.get(PROM, "/api/v1/status/flags"))
    assert all(isinstance(v, str) for v in flags.values()) and flags["web.enable-admin-api"] in ("true", "false")
    assert data(node.get(PROM, "/api/v1/status/walreplay")) == {"min": 0, "max": 0, "current": 0}


@pytest.mark.parametrize("path,key", [("rules", "groups"), ("alerts", "alerts"), ("alertmanagers", "activeAlertmanagers"), ("targets", "activeTargets"),
                                      ("scrape_pools", "scrapePools"), ("status/tsdb/blocks", "blocks"), ("targets/metadata", None), ("notifications", None)])
def test_what_there_is_none_of(node, path, key):
    got = data(node.get(PROM, "/api/v1/" + path))
    assert (got[key] if key else got) == []
    assert node.get(PROM, "/api/v1/" + path + "/nothing").status == 404
