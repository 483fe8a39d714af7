"""What Grafana's Tempo source asks for: traces by id, strict search answers, tags; and TraceQL over whole traces."""
import time
import urllib.parse

import pytest

import otlp
from node import eventually
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

MS = 10**6
PROTOBUF = {"accept": "application/protobuf"}


def span_id(n):
    return n.to_bytes(8, "big")


def send(node, trace, spans, base):
    """spans: {service: [(number, parent number or 0, name, kind, start ms, duration ms, attributes, failed)]}"""
    rq = ExportTraceServiceRequest()
    for service, rows in spans.items():
        rs = rq.resource_spans.add()
        rs.resource.attributes.extend([otlp.kv("service.name", service), otlp.kv("zone", "b")])
        scope = rs.scope_spans.add()
        scope.scope.name = "e2e"
        for n, parent, name, kind, start, ms, attrs, failed in rows:
            s = scope.spans.add(trace_id=trace.to_bytes(16, "big"), span_id=span_id(n), name=name, kind=kind,
                                start_time_unix_nano=base + start * MS, end_time_unix_nano=base + (start + ms) * MS)
            if parent:
                s.parent_span_id = span_id(parent)
            s.attributes.extend([otlp.kv(k, v) for k, v in attrs.items()])
            if failed:
                s.status.code, s.status.message = 2, "broken"
    a = node.post("otlp", "/v1/traces", rq.SerializeToString(), otlp.PROTO)
    assert a.status == 200, a
    return rq


SHOP = {  # 1 checkout > (2 cart, 3 charge > 4 POST /pay > (5 SELECT, 6 UPDATE))
    "shop": [(1, 0, "checkout", 2, 0, 100, {"http.status_code": 500, "cart": "big"}, True),
             (2, 1, "cart", 1, 1, 10, {"items": 3}, False),
             (3, 1, "charge", 3, 20, 70, {}, False)],
    "pay": [(4, 3, "POST /pay", 2, 25, 60, {"http.status_code": 502}, True),
            (5, 4, "SELECT", 3, 30, 5, {"db.rows": 7}, False),
            (6, 4, "UPDATE", 3, 40, 30, {"db.rows": 1}, False)]}
QUIET = {"shop": [(11, 0, "checkout", 2, 0, 4, {"http.status_code": 200}, False), (12, 11, "cart", 1, 1, 2, {"items": 1}, False)]}


@pytest.fixture
def filled(node):
    """Trace 0xA1 (SHOP), and 0xB2 (QUIET), ten seconds younger."""
    base = (time.time_ns() // 10**9 - 60) * 10**9
    send(node, 0xA1, SHOP, base)
    send(node, 0xB2, QUIET, base + 10 * 10**9)
    return node, base


def field(message, number):
    """The bytes of one length-delimited field of a message with such fields only."""
    found, at = [], 0
    while at < len(message):
        tag, at = varint(message, at)
        size, at = varint(message, at)
        assert tag & 7 == 2
        if tag >> 3 == number:
            found.append(message[at:at + size])
        at += size
    assert at == len(message)
    return found


def varint(b, at):
    value = shift = 0
    while True:
        value |= (b[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if b[at - 1] < 128:
            return value, at


# The messages of SearchResponse by their JSON names: Grafana decodes strictly, an unknown name breaks its panel.
NUMBER, BIG, TEXT = int, "int64 as text", str
ANY = {"stringValue": TEXT, "boolValue": bool, "intValue": BIG, "doubleValue": float, "bytesValue": TEXT}
ANY["arrayValue"] = {"values": [ANY]}
ANY["kvlistValue"] = {"values": [{"key": TEXT, "value": ANY}]}
ATTRS = [{"key": TEXT, "value": ANY}]
SET = {"spans": [{"spanID": TEXT, "name": TEXT, "startTimeUnixNano": BIG, "durationNanos": BIG, "attributes": ATTRS}],
       "matched": NUMBER, "attributes": ATTRS}
SEARCH = {"traces": [{"traceID": TEXT, "rootServiceName": TEXT, "rootTraceName": TEXT, "startTimeUnixNano": BIG, "durationMs": NUMBER,
                      "spanSet": SET, "spanSets": [SET], "serviceStats": {"*": {"spanCount": NUMBER, "errorCount": NUMBER}}}],
          "metrics": {"inspectedTraces": NUMBER, "inspectedBytes": BIG, "totalBlocks": NUMBER, "completedJobs": NUMBER,
                      "totalJobs": NUMBER, "totalBlockBytes": BIG, "inspectedSpans": BIG}}


def strict(value, shape, path="$"):
    if isinstance(shape, list):
        assert isinstance(value, list), path
        for i, v in enumerate(value):
            strict(v, shape[0], f"{path}[{i}]")
    elif isinstance(shape, dict):
        assert isinstance(value, dict), path
        for k, v in value.items():
            assert k in shape or "*" in shape, f"{path}.{k} is unknown"
            strict(v, shape.get(k, shape.get("*")), f"{path}.{k}")
    elif shape == BIG:
        assert isinstance(value, str) and str(int(value)) == value, (path, value)
    elif shape is float:
        assert isinstance(value, (int, float)), (path, value)
    else:
        assert type(value) is shape, (path, value)


def search(node, q, **params):
    a = node.get("tempo", "/api/search", params={"q": q, "limit": 20, "spss": 50, **params})
    assert a.status == 200, (q, a)
    strict(a.json, SEARCH)
    return a.json["traces"]


def spans_of(node, q, trace="a1"):
    """The numbers of the spans that q selects in one trace."""
    for t in search(node, q):
        if t["traceID"] == trace:
            assert t["spanSet"] == t["spanSets"][0]
            got = [int(s["spanID"], 16) for set_ in t["spanSets"] for s in set_["spans"]]
            assert sum(s["matched"] for s in t["spanSets"]) == len(got)
            return sorted(got)
    return []


def test_health_and_trace_by_id(filled):
    node, base = filled
    a = node.get("tempo", "/api/echo")
    assert a.status == 200 and a.body == b"echo"
    a = node.get("tempo", f"/api/v2/traces/{0xA1:032x}", headers=PROTOBUF)
    assert a.status == 200 and a.headers["content-type"] == "application/protobuf"
    trace, = field(a.body, 1)
    got = TracesData.FromString(trace).resource_spans
    assert sorted(r.resource.attributes[0].value.string_value for r in got) == ["pay", "shop"]
    spans = {s.span_id: s for r in got for sc in r.scope_spans for s in sc.spans}
    assert sorted(spans) == [span_id(n) for n in range(1, 7)]
    pay = spans[span_id(4)]
    assert pay.parent_span_id == span_id(3) and pay.kind == Span.SPAN_KIND_SERVER and pay.status.message == "broken"
    assert pay.start_time_unix_nano == base + 25 * MS and pay.end_time_unix_nano == base + 85 * MS
    assert {a.key: a.value.int_value for a in pay.attributes} == {"http.status_code": 502}
    s = base // 10**9
    for path in ("/api/v2/traces/a1", "/api/traces/a1"):
        assert b"POST /pay" in node.get("tempo", path, headers=PROTOBUF, params={"start": s - 5, "end": s + 5}).body
    # A trace that is not there: v2 says so with an empty trace, v1 with 404; Grafana falls back from one to the other.
    a = node.get("tempo", "/api/v2/traces/dead", headers=PROTOBUF)
    assert a.status == 200 and field(a.body, 1) in ([], [b""])
    assert node.get("tempo", "/api/traces/dead", headers=PROTOBUF).status == 404
    for bad in ("xyz", "1" * 33):
        for path in ("/api/v2/traces/", "/api/traces/"):
            a = node.get("tempo", path + bad, headers=PROTOBUF)
            assert a.status == 400 and b"trace IDs can" in a.body and a.headers["content-type"].startswith("text/plain")


def test_search_is_strict(filled):
    node, base = filled
    found = search(node, "{ }")
    assert [t["traceID"] for t in found] == ["b2", "a1"]
    assert [(t["rootServiceName"], t["rootTraceName"], t["durationMs"], t["startTimeUnixNano"]) for t in found] == [
        ("shop", "checkout", 4, str(base + 10**10)), ("shop", "checkout", 100, str(base))]
    assert found[1]["serviceStats"] == {"shop": {"spanCount": 3, "errorCount": 1}, "pay": {"spanCount": 3, "errorCount": 1}}
    assert found[1]["spanSets"][0]["matched"] == 6
    one, = search(node, '{ span.http.status_code >= 500 && resource.service.name = "pay" } | select(name, kind, span:duration, resource.zone)')
    span, = one["spanSets"][0]["spans"]
    assert span["spanID"] == f"{4:016x}" and span["durationNanos"] == str(60 * MS) and span["name"] == "POST /pay"
    attrs = {a["key"]: a["value"] for a in span["attributes"]}
    assert attrs["http.status_code"] == {"intValue": "502"} and attrs["service.name"] == {"stringValue": "pay"}
    assert attrs["zone"] == {"stringValue": "b"} and attrs["kind"] == {"stringValue": "server"}
    few, = search(node, '{ rootName = "checkout" && trace:duration > 50ms }', spss=2)
    assert few["spanSet"]["matched"] == 6 and len(few["spanSet"]["spans"]) == 2
    assert len(search(node, "{ }", limit=1)) == 1
    s = base // 10**9
    assert [t["traceID"] for t in search(node, "{ }", start=s + 5, end=s + 30)] == ["b2"]
    assert search(node, "{ }", start=s + 100, end=s + 200) == []
    for how in ({"minDuration": "50ms"}, {"tags": "cart=big"}, {"tags": 'service.name="pay" error=true'}):
        a = node.get("tempo", "/api/search", params={**how, "limit": 5})
        assert a.status == 200 and [t["traceID"] for t in a.json["traces"]] == ["a1"], (how, a)
        strict(a.json, SEARCH)


def test_tags_and_values(filled):
    node, base = filled
    scopes = lambda **p: {s["name"]: s["tags"] for s in node.get("tempo", "/api/v2/search/tags", params={"limit": 5000, **p}).json["scopes"]}
    every = scopes()
    assert every["resource"] == ["service.name", "zone"]
    assert every["span"] == ["cart", "db.rows", "http.status_code", "items"]
    assert {"name", "status", "duration", "kind", "rootName", "span:name", "trace:duration"} <= set(every["intrinsic"])
    assert set(scopes(scope="span")) == {"span"} and set(scopes(scope="intrinsic")) == {"intrinsic"}
    assert scopes(scope="resource", limit=1)["resource"] == ["service.name"]
    assert scopes(scope="span", q='{ name = "cart" }')["span"] == ["items"]
    s = base // 10**9
    assert scopes(scope="span", start=s + 100, end=s + 200).get("span", []) == []

    def values(tag, **p):
        a = node.get("tempo", f"/api/v2/search/tag/{tag}/values", params={"limit": 5000, **p})
        assert a.status == 200, a
        return [(v["type"], v["value"]) for v in a.json["tagValues"]]
    assert values("resource.service.name") == [("string", "pay"), ("string", "shop")]
    assert values("span.http.status_code") == [("int", "200"), ("int", "500"), ("int", "502")]
    assert values(".http.status_code", q='{ resource.service.name = "pay" }') == [("int", "502")]
    assert values("name", q="{ status = error }") == [("string", "POST /pay"), ("string", "checkout")]
    assert set(values("status")) == {("keyword", k) for k in ("ok", "error", "unset")}
    assert ("keyword", "server") in values("kind")
    assert values("rootServiceName") and values("span.nothing") == []
    assert values("name", limit=1) == [("string", "POST /pay")]
    assert values("span.items", q="{ span.items = ") == [("int", "1"), ("int", "3")]  # still being typed
    assert node.get("tempo", "/api/v2/search/tag/no%20such{/values").status == 400
    assert "service.name" in node.get("tempo", "/api/search/tags").json["tagNames"]
    assert node.get("tempo", "/api/search/tag/service.name/values").json["tagValues"] == ["pay", "shop"]


def test_tag_names_with_quotes(node):
    """A name may hold anything: quotes and backslashes are part of it."""
    names = {'a"b': "one", "back\\slash": "two", 'both\\"': "three", "plain space": "four"}
    send(node, 0xC3, {"shop": [(21, 0, "x", 2, 0, 1, names, False)]}, time.time_ns())
    for name, value in names.items():
        a = node.get("tempo", "/api/search/tag/" + urllib.parse.quote(name, safe="") + "/values")
        assert a.status == 200 and a.json["tagValues"] == [value], (name, a)


def test_error_texts(node):
    for q in ("{ span.n = }", "{ duration }", "{", "{} | rate(", "foo", '{ name =~ "(" }', '{ status = 2 }', "{ } | count() > "):
        a = node.get("tempo", "/api/search", params={"q": q})
        assert a.status == 400 and a.body.startswith(b"invalid TraceQL query: "), (q, a)
        assert a.headers["content-type"].startswith("text/plain")
    for params in ({"limit": 0}, {"limit": "x"}, {"start": 10, "end": 10}, {"start": 5}, {"q": "{}", "tags": "a=b"},
                   {"minDuration": "2s", "maxDuration": "1s"}, {"minDuration": "fast"}):
        a = node.get("tempo", "/api/search", params=params)
        assert a.status == 400 and len(a.body) > 10, (params, a)
    assert node.get("tempo", "/api/v2/search/tags", params={"scope": "planet"}).status == 400
    assert node.get("tempo", "/api/nothing").status == 404


QUERIES = [
    ('{ name = "cart" } && { name = "SELECT" }', [2, 5]),
    ('{ name = "cart" } && { name = "nothing" }', []),
    ('{ name = "cart" } || { name = "nothing" }', [2]),
    ('{ name = "cart" && span.items > 2 }', [2]),
    ('{ resource.service.name = "shop" } > { resource.service.name = "pay" }', [4]),
    ('{ name = "checkout" } >> { kind = client }', [3, 5, 6]),
    ('{ name = "checkout" } > { kind = client }', [3]),
    ('{ name = "SELECT" } < { true }', [4]),
    ('{ name = "SELECT" } << { true }', [1, 3, 4]),
    ('{ name = "SELECT" } ~ { true }', [6]),
    ('{ name = "cart" } ~ { kind = client }', [3]),
    ('{ status = error } !> { kind = client }', []),
    ('{ status != error } !> { kind = client }', [3, 5, 6]),
    ('{ name = "charge" } !>> { true }', [1, 2, 3]),
    ('{ name = "nothing" } !> { kind = server }', [1, 4]),
    ('{ name = "charge" } &> { status = error }', [3, 4]),
    ('{ name = "checkout" } &>> { span.db.rows = 7 }', [1, 5]),
    ('{ name = "SELECT" } &~ { name = "UPDATE" }', [5, 6]),
    ('{ status = error } | count() = 2', [1, 4]),
    ('{ status = error } | count() > 2', []),
    ('{ kind = client } | avg(duration) > 30ms', [3, 5, 6]),
    ('{ } | sum(span.db.rows) = 8', [1, 2, 3, 4, 5, 6]),
    ('{ } | by(resource.service.name) | max(duration) < 90ms', [4, 5, 6]),
    ('{ } | by(resource.service.name) | count() = 3 | coalesce()', [1, 2, 3, 4, 5, 6]),
    ('{ status = error } | { duration > 80ms }', [1]),
    ('({ name = "cart" } | count() = 1) && ({ kind = client } | min(duration) < 6ms)', [2, 3, 5, 6]),
    ('{ nestedSetParent < 0 }', [1]),
    ('{ span:childCount = 2 }', [1, 4]),
    ('{ trace:rootService = "shop" && parent = nil }', None),
    ('{ span.items != nil }', [2]),
    ('{ span.items = nil && kind = server }', [1, 4]),
    ('{ span.http.status_code != 500 }', [4]),
    ('{ span.items != "3" }', []),  # a number is neither equal to a string nor different from it
    ('{ !(span.items != "3") && name = "cart" }', [2]),
    ('{ !(.nothing = 1) && name = "cart" }', [2]),
    ('{ .zone != "b" }', []),
    ('{ nestedSetParent >= 0 && kind = client }', [3, 5, 6]),
    ('{ nestedSetParent != -1 && name = "cart" }', [2]),
    ('{ statusMessage = "broken" && name =~ "POST.*" }', [4]),
    ('{ .zone = "b" && duration >= 60ms && duration < 1m }', [1, 3, 4]),
    ('{ trace:id = "%032x" && span:id = "%016x" }' % (0xA1, 5), [5]),
    ('{ span:parentID = "%016x" }' % 4, [5, 6]),
    ('({ nestedSetParent < 0 } &>> { status = error }) || ({ nestedSetParent < 0 }) | '
     'select(status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight)', [1, 4]),
]


def check_queries(node):
    for q, want in QUERIES:
        if want is None:
            assert node.get("tempo", "/api/search", params={"q": q}).status == 400, q
        else:
            assert spans_of(node, q) == want, q


def test_traceql(filled):
    check_queries(filled[0])
    groups = search(filled[0], '{ } | by(resource.service.name) | count() = 3')[0]["spanSets"]
    by = {s["attributes"][0]["value"]["stringValue"]: len(s["spans"]) for s in groups}
    assert by == {"shop": 3, "pay": 3} and groups[0]["attributes"][0]["key"] == "by(resource.service.name)"


def test_late_spans_join_after_a_seal(make_node):
    """Spans of one trace in two segments and in memory: one trace to every question."""
    node = make_node(args=["--set", "storage.seal_age=300ms"]).start()
    base = (time.time_ns() // 10**9 - 60) * 10**9

    def seals():
        text = node.get("prom", "/metrics").body.decode()
        return int(float(text.split("\ntercet_seals_total ")[1].split("\n")[0])), "\ntercet_memtable_bytes 0\n" in text
    parts = [{"pay": SHOP["pay"][1:]}, {"shop": SHOP["shop"][1:], "pay": SHOP["pay"][:1]}, {"shop": SHOP["shop"][:1]}]
    for i, part in enumerate(parts):
        before = seals()[0]
        send(node, 0xA1, part, base)
        if i < 2:
            found, = search(node, "{ }")
            assert found["rootTraceName"] == "<root span not yet received>" == found["rootServiceName"]
            assert eventually(lambda: seals()[0] > before)
    found, = search(node, "{ }")
    assert found["rootTraceName"] == "checkout" and found["durationMs"] == 100 and found["spanSet"]["matched"] == 6
    check_queries(node)
    trace, = field(node.get("tempo", "/api/v2/traces/a1", headers=PROTOBUF).body, 1)
    assert sum(len(sc.spans) for r in TracesData.FromString(trace).resource_spans for sc in r.scope_spans) == 6
    # The same again after everything is sealed, and after a crash.
    before = seals()[0]
    send(node, 0xB2, QUIET, base + 10**10)
    assert eventually(lambda: seals()[0] > before)
    check_queries(node)
    node.kill()
    node.start()
    check_queries(node)
    # Sent twice (a retry after a lost answer): each span once.
    send(node, 0xA1, SHOP, base)
    check_queries(node)


def test_a_search_for_few_gives_the_newest_of_many_segments(make_node):
    """The walk from new to old ends early: nothing newer hides behind it, in whatever order traces came."""
    node = make_node(args=["--set", "node.cores=2", "--set", "storage.seal_age=150ms", "--set", "storage.merge=false"]).start()
    base = (time.time_ns() // 10**9 - 3000) * 10**9
    started = {}
    for r in [5, 9, 0, 7, 2, 11, 4, 1, 10, 3, 8, 6]:
        for i in range(40):
            n, rare = 1 + r * 40 + i, i % 10 == 3
            at = base + r * 100 * 10**9 + (i * 37 % 40) * 10**9
            send(node, n, {"many": [(n, 0, "root", 2, 0, 5, {"rare": "yes" if rare else "no"}, False)]}, at)
            started[n] = (at, rare)
        time.sleep(0.3)
    window = {"start": base // 10**9 - 10, "end": base // 10**9 + 3000}

    def found(q, limit):
        return [int(t["traceID"], 16) for t in node.search(q, limit=limit, spss=1, **window)]

    def wanted(limit, rare_only):
        return sorted((n for n, (_, rare) in started.items() if rare or not rare_only), key=lambda n: -started[n][0])[:limit]

    for limit in (1, 4, 20, 100, 500):
        assert found('{ span.rare = "yes" }', limit) == wanted(limit, True), limit
        assert found("{ }", limit) == wanted(limit, False), limit
    for n in (3, 170, 333):  # late spans of old traces
        send(node, n, {"late": [(100000 + n, n, "late", 2, 2000 * 1000 + n, 5, {"late": "yes"}, False)]}, base)
    assert sorted(found('{ span.late = "yes" }', 3)) == [3, 170, 333]
    assert sorted(found('{ span.late = "yes" } && { resource.service.name = "many" }', 100)) == [3, 170, 333]
    assert sorted(found('{ span.late = "yes" } && { span.rare = "yes" }', 100)) == [n for n in (3, 170, 333) if started[n][1]]
