"""What a browser's SDK sends (OTLP/JSON from another origin, events as named log records) and the questions of
demo/frontend/README.md: vitals by route, page loads, sessions, errors; the same from memory and from segments."""
import json
import time

import pytest

from node import eventually

ORIGIN = {"origin": "http://localhost:3001"}
ROUTES = {"/": 400, "/products/[id]": 900, "/checkout": 3000}
SESSIONS = 10
INDEX = "/api/v1/otel-logs-v0_9/search"


def value(v):
    """As the SDK for JavaScript writes it: a whole number is an int, also among doubles."""
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, str):
        return {"stringValue": v}
    if isinstance(v, dict):
        return {"kvlistValue": {"values": attributes(v)}}
    return {"intValue": v} if v == int(v) else {"doubleValue": v}


def attributes(d):
    return [{"key": k, "value": value(v)} for k, v in d.items()]


def event(ns, name, session, route, severity=9, **more):
    at = {"session.id": session, "url.template": route, "url.path": route.replace("[id]", "7"), **more}
    return {"timeUnixNano": str(ns), "observedTimeUnixNano": str(ns), "severityNumber": severity,
            "severityText": {9: "INFO", 17: "ERROR"}[severity], "eventName": name, "attributes": attributes(at), "droppedAttributesCount": 0}


def vitals(now):
    """For each route the values m, m + 0.5, m + 1 ...: every second one is whole. The LCP is a hundred times CLS."""
    out = []
    for route, m in ROUTES.items():
        for n in range(101):
            for name, v in (("lcp", m + n / 2), ("cls", (m + n / 2) / 100)):
                out.append(event(now - n * 10**6, "browser.web_vital", f"s{n % SESSIONS}", route, **{
                    "browser.web_vital.name": name, "browser.web_vital.value": v, "browser.web_vital.rating": "poor" if v > 2500 else "good"}))
    return out


def others(now):
    out = [event(now - 10**9, "session.start", f"s{n}", "/") for n in range(SESSIONS)]
    for n in range(30):
        out.append(event(now, "exception", f"s{n % 3}", "/checkout", severity=17, **{
            "exception.type": "TypeError" if n % 3 else "RangeError", "exception.message": "it is undefined",
            "exception.stacktrace": "TypeError: it is undefined\n    at <anonymous> (http://localhost:3001/x.js:1:2)"}))
        out.append(event(now, "browser.user_action.click", f"s{n % 3}", "/checkout", **{
            "browser.tag_name": "BUTTON", "browser.page.x": n, "browser.element.attributes": {"name": "buy"}}))
    return out


@pytest.fixture
def node(make_node):
    node = make_node(args=["--set", "storage.seal_age=400ms"]).start()
    body = {"resourceLogs": [{"resource": {"attributes": attributes({"service.name": "storefront-web", "browser.mobile": True})},
                              "scopeLogs": [{"scope": {"name": "rum"}, "logRecords": vitals(time.time_ns()) + others(time.time_ns())}]}]}
    asked = {**ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert node.request("OPTIONS", "otlp", "/v1/logs", headers=asked).status in (200, 204)
    sent = node.post("otlp", "/v1/logs", json.dumps(body), headers=ORIGIN)
    assert sent.status == 200 and sent.headers["access-control-allow-origin"] in ("*", ORIGIN["origin"])
    return node


def ask(node, query, **aggs):
    a = node.post("quickwit", INDEX, json.dumps({"query": "service_name:storefront-web AND " + query, "max_hits": 0, "aggs": aggs}))
    assert a.status == 200, a
    return a.json


def buckets(aggregation):
    return {b["key"]: b for b in aggregation["buckets"]}


def terms(field, **aggs):
    return {"terms": {"field": field, "size": 100}, **({"aggs": aggs} if aggs else {})}


def check(node):
    got = ask(node, "event_name:browser.web_vital", vitals=terms("attributes.browser.web_vital.name", routes=terms(
        "attributes.url.template", p75={"percentiles": {"field": "attributes.browser.web_vital.value", "percents": [75]}},
        ratings=terms("attributes.browser.web_vital.rating"))))
    assert got["num_hits"] == len(ROUTES) * 101 * 2
    for name, scale in (("lcp", 1), ("cls", 100)):
        routes = buckets(buckets(got["aggregations"]["vitals"])[name]["routes"])
        assert set(routes) == set(ROUTES)
        for route, m in ROUTES.items():
            assert routes[route]["doc_count"] == 101
            assert routes[route]["p75"]["values"]["75.0"] == pytest.approx((m + 37.5) / scale, rel=0.02)
        assert list(buckets(routes["/checkout"]["ratings"])) == (["poor"] if name == "lcp" else ["good"])
    got = ask(node, "event_name:exception AND severity_text:ERROR", types=terms("attributes.exception.type", messages=terms(
        "attributes.exception.message", sessions={"cardinality": {"field": "attributes.session.id"}})))
    types = buckets(got["aggregations"]["types"])
    assert {k: b["doc_count"] for k, b in types.items()} == {"TypeError": 20, "RangeError": 10}
    assert types["TypeError"]["messages"]["buckets"][0]["key"] == "it is undefined"
    assert types["TypeError"]["messages"]["buckets"][0]["sessions"]["value"] == 2
    got = ask(node, "event_name:*", sessions=terms("attributes.session.id", events=terms("event_name")))
    sessions = buckets(got["aggregations"]["sessions"])
    assert len(sessions) == SESSIONS and all(buckets(s["events"])["session.start"]["doc_count"] == 1 for s in sessions.values())
    hits = node.logs("attributes.session.id:s1 AND event_name:browser.user_action.click", sort_by="-timestamp_nanos")["hits"]
    assert len(hits) == 10 and all(h["attributes"]["browser.element.attributes"] == {"name": "buy"} for h in hits)


def test_questions_of_a_rum_page(node):
    check(node)

    def sealed():
        text = node.get("prom", "/metrics").body.decode()
        return "\ntercet_memtable_bytes 0\n" in text and "\ntercet_seals_total 0\n" not in text
    assert eventually(sealed)
    check(node)
