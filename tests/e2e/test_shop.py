"""The synthetic shop of tests/lib: what it says it sent is what the node has; hostile data is only data."""
import os
import sys
import time

from node import ROOT

sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
import shop

WEB = "storefront-web"


def spans_of(node, trace):
    a = node.get("tempo", f"/api/traces/{trace}")
    assert a.status == 200, a
    return [(next(x["value"]["stringValue"] for x in b["resource"]["attributes"] if x["key"] == "service.name"), s)
            for b in a.json["batches"] for scope in b["scopeSpans"] for s in scope["spans"]]


def test_same_seed_same_bytes():
    def made(seed):
        s = shop.Shop(seed, 1_700_000_000.0, 5, 1.0, True)
        return s.run(1_700_000_300.0)
    assert made(7) == made(7) and made(7) != made(8)


def test_shop(node):
    end = int(time.time())
    sent = shop.send(node.url("otlp"), minutes=10, seed=3, end=end)
    assert sent.spans > 5000 and sent.logs > 3000 and sent.points > 2000
    names = {"storefront", "orders", "catalogue", "payments"}
    assert {n for n, _ in spans_of(node, sent.checkouts[0])} == names | {WEB}
    ids = {s["spanId"] for _, s in spans_of(node, sent.checkouts[0])}
    assert {s.get("parentSpanId", "") for _, s in spans_of(node, sent.checkouts[0])} - ids == {""}
    assert node.logs("*", max_hits=0)["num_hits"] == sent.logs
    for service in names:
        assert node.logs(f"service_name:{service} AND trace_id:{sent.checkouts[0]}", max_hits=0)["num_hits"] > 0, service
    window = {"start": end - 700, "end": end + 60, "limit": 20000}
    assert len(node.search("{}", **window)) == sent.traces
    slow = {t["traceID"].rjust(32, "0") for t in node.search('{ resource.service.name = "payments" && name =~ "SELECT.*" && duration > 1s }', **window)}
    assert slow >= set(sent.slow) and sent.slow
    count = node.query("sum by (job) (http_server_request_duration_seconds_count)", at=end)
    assert {r["metric"]["job"] for r in count} == names
    exemplars = node.get("prom", "/api/v1/query_exemplars", params={
        "query": 'http_server_request_duration_seconds_bucket{job="payments"}', "start": end - 600, "end": end}).json["data"]
    trace = exemplars[0]["exemplars"][0]["labels"]["trace_id"]
    assert "payments" in {n for n, _ in spans_of(node, trace)}
    vitals = node.logs("event_name:browser.web_vital AND attributes.session.id:" + sent.sessions[0])
    assert vitals["num_hits"] >= 5 and {h["service_name"] for h in vitals["hits"]} == {WEB}


def test_hostile(node):
    end = time.time()
    sent = shop.send(node.url("otlp"), minutes=2, seed=4, hostile=True, end=end)
    assert node.logs("*", max_hits=0)["num_hits"] == sent.logs
    for trace in sent.hostile:
        assert len(spans_of(node, trace)) == 2
    assert sorted(len(spans_of(node, t)) for t in sent.large) == [200, 2000, 2000]
    import shop_hostile
    hits = node.logs(f"service_name:'{shop_hostile.SERVICE}'", max_hits=1000)["hits"]
    texts = {h.get("body", {}).get("message") for h in hits}
    assert texts >= set(shop_hostile.MARKUP) and {"control \x01\x02\x07\x08\x1b[31mred\x1b[0m \x7f"} <= texts
