"""The three signals through every door in and out."""
import base64
import gzip
import json
import time

import pytest
import zstandard

import otlp
from node import eventually
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

TRACE = 0x1234567890abcdef1234567890abcdef


def sdk(node, protocol):
    """The real Python SDK: one request of a service, in the three signals."""
    import logging

    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        target = dict(endpoint=node.url("grpc"), insecure=True)
        exporters = [c(**target) for c in (OTLPSpanExporter, OTLPMetricExporter, OTLPLogExporter)]
    else:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        exporters = [OTLPSpanExporter(endpoint=node.url("otlp", "/v1/traces")),
                     OTLPMetricExporter(endpoint=node.url("otlp", "/v1/metrics")),
                     OTLPLogExporter(endpoint=node.url("otlp", "/v1/logs"))]
    resource = Resource.create({"service.name": f"shop-{protocol}", "service.instance.id": "i-1", "zone": "b"})
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(exporters[0]))
    meters = MeterProvider(resource=resource, metric_readers=[PeriodicExportingMetricReader(exporters[1], 3600_000)])
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(exporters[2]))
    logger = logging.getLogger(f"shop.{protocol}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(LoggingHandler(logger_provider=loggers))
    counter = meters.get_meter("shop").create_counter("orders", unit="1")
    seconds = meters.get_meter("shop").create_histogram("order.duration", unit="s")
    with tracing.get_tracer("shop").start_as_current_span("checkout") as span:
        span.set_attribute("basket.size", 3)
        trace_id = span.get_span_context().trace_id
        counter.add(5, {"kind": "book"})
        seconds.record(0.12)
        logger.warning("card %s refused", "4111", extra={"gateway": "sandbox"})
    for provider in (tracing, meters, loggers):
        provider.force_flush()
        provider.shutdown()
    return f"{trace_id:032x}"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_python_sdk(node, protocol):
    trace_id = sdk(node, protocol)
    service = f"shop-{protocol}"
    orders = node.query(f'orders_total{{job="{service}"}}')
    assert [(r["metric"]["kind"], r["value"][1]) for r in orders] == [("book", "5")]
    assert node.query(f'order_duration_seconds_count{{job="{service}"}}')[0]["value"][1] == "1"
    info = node.query(f'target_info{{job="{service}"}}')
    assert info[0]["metric"]["zone"] == "b" and info[0]["metric"]["instance"] == "i-1"
    found = node.search('{ resource.service.name = "%s" && span.basket.size > 2 }' % service)
    assert [t["traceID"].rjust(32, "0") for t in found] == [trace_id]
    assert found[0]["rootTraceName"] == "checkout"
    hits = node.logs(f"trace_id:{trace_id}")
    assert hits["num_hits"] == 1
    doc = hits["hits"][0]
    assert doc["body"] == {"message": "card 4111 refused"}
    assert doc["severity_text"].startswith("WARN") and doc["attributes"]["gateway"] == "sandbox"
    assert doc["service_name"] == service and doc["resource_attributes"]["zone"] == "b"


def encodings():
    return [("identity", lambda b: b), ("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)]


def test_encodings_and_json(node):
    from google.protobuf.json_format import MessageToDict
    n = 0
    for name, squeeze in encodings():
        n += 1
        body = squeeze(otlp.logs("enc", [n]).SerializeToString())
        a = node.post("otlp", "/v1/logs", body, otlp.PROTO, headers={"content-encoding": name})
        assert a.status == 200 and a.body == b"", (name, a)
    message = MessageToDict(otlp.traces("enc", [TRACE]))
    span = message["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["traceId"], span["spanId"] = f"{TRACE:032X}", f"{TRACE & (2**64 - 1):016x}"  # OTLP JSON ids are hex
    span["kind"] = 2
    a = node.post("otlp", "/v1/traces", json.dumps(message))
    assert a.status == 200 and a.json == {}, a
    assert node.logs("service_name:enc")["num_hits"] == 3
    assert len(node.search('{ resource.service.name = "enc" }')) == 1


def test_trace_by_id_v1_v2(node):
    rq = otlp.traces("byid", [TRACE])
    span = rq.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.append(otlp.kv("text", "ü\n\"quoted\""))
    ev = span.events.add(name="retry", time_unix_nano=span.start_time_unix_nano + 1)
    ev.attributes.append(otlp.kv("attempt", 2))
    span.links.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    span.status.code, span.status.message = 2, "broken"
    arr = span.attributes.add(key="list").value.array_value
    arr.values.add(string_value="a")
    arr.values.add(int_value=7)
    assert node.post("otlp", "/v1/traces", rq.SerializeToString(), otlp.PROTO).status == 200
    v1 = node.get("tempo", f"/api/traces/{TRACE:032x}", headers={"accept": "application/protobuf"})
    assert v1.status == 200 and "protobuf" in v1.headers["content-type"]
    got = TracesData.FromString(v1.body).resource_spans
    assert len(got) == 1
    back = got[0].scope_spans[0].spans[0]
    # Equal but for the order of attributes.
    want = {a.key: a.value for a in span.attributes}
    assert {a.key: a.value for a in back.attributes} == want
    del back.attributes[:], span.attributes[:]
    assert back == span
    v2 = node.get("tempo", f"/api/v2/traces/{TRACE:x}").json["trace"]["resourceSpans"]
    js = v2[0]["scopeSpans"][0]["spans"][0]
    assert base64.b64decode(js["traceId"]).hex() == f"{TRACE:032x}"
    assert js["kind"] == "SPAN_KIND_SERVER" and js["status"] == {"message": "broken", "code": "STATUS_CODE_ERROR"}
    assert node.get("tempo", "/api/traces/77").status == 404
    assert node.get("tempo", "/api/v2/traces/77").json["trace"] == {}
    assert node.get("tempo", "/api/traces/xyz").status == 400


def test_search_filters_and_tags(node):
    now = time.time_ns()
    for i in range(20):
        assert node.post("otlp", "/v1/traces", otlp.traces("svc-%d" % (i % 2), [1000 + i], now + i * 10**9).SerializeToString(),
                         otlp.PROTO).status == 200
    ids = lambda q, **kw: [int(t["traceID"], 16) for t in node.search(q, **kw)]
    assert ids("{ span.n >= 1010 && span.even = true }", limit=50) == [1018, 1016, 1014, 1012, 1010]
    assert ids('{ span.n = 1003 } || { name = "op-0" && span.n < 1010 }', limit=50) == [1008, 1003, 1001]
    assert ids('{ span.n = 1003 } && { span.n = 1004 }') == []
    assert ids("{ }", limit=3) == [1019, 1018, 1017]
    assert len(ids('{ resource.service.name =~ "svc-.*" }', limit=100)) == 20
    start = now // 10**9
    assert set(ids("{ }", limit=100, start=start + 5, end=start + 9)) <= set(range(1004, 1010))
    a = node.get("tempo", "/api/search", params={"q": "{ span.n = }"})
    assert a.status == 400 and b"invalid TraceQL query" in a.body and b"line 1" in a.body
    scopes = {s["name"]: s["tags"] for s in node.get("tempo", "/api/v2/search/tags").json["scopes"]}
    assert scopes["resource"] == ["service.name"] and {"n", "even", "ratio"} <= set(scopes["span"])
    values = node.get("tempo", "/api/v2/search/tag/resource.service.name/values").json["tagValues"]
    assert values == [{"type": "string", "value": "svc-0"}, {"type": "string", "value": "svc-1"}]
    values = node.get("tempo", "/api/v2/search/tag/name/values", params={"q": "{ span.n = 1000 }"}).json["tagValues"]
    assert values == [{"type": "string", "value": "op-6"}]
    assert node.get("tempo", "/api/echo").body == b"echo"


def test_tenants_do_not_mix(node):
    for tenant in ("alpha", "beta"):
        h = {"X-Scope-OrgID": tenant}
        for path, rq in (("/v1/logs", otlp.logs(tenant, [1])), ("/v1/traces", otlp.traces(tenant, [TRACE])),
                         ("/v1/metrics", otlp.gauge(tenant, "level", {1: 2.5}))):
            assert node.post("otlp", path, rq.SerializeToString(), otlp.PROTO, headers=h).status == 200
    for tenant, other in (("alpha", "beta"), ("beta", "alpha")):
        assert [h["service_name"] for h in node.logs("*", tenant=tenant)["hits"]] == [tenant]
        assert [t["rootServiceName"] for t in node.search("{}", tenant=tenant)] == [tenant]
        assert {r["metric"]["job"] for r in node.query("level", tenant=tenant)} == {tenant}
        trace = node.get("tempo", f"/api/traces/{TRACE:032x}", tenant=tenant)
        assert tenant.encode() in trace.body and other.encode() not in trace.body
    assert node.logs("*")["num_hits"] == 0 and node.query("level") == []
    assert node.get("prom", "/api/v1/query", params={"query": "1"}, tenant="no/such").status == 400


def test_browser_preflight(node):
    a = node.request("OPTIONS", "otlp", "/v1/traces", headers={"origin": "http://localhost:3001",
                     "access-control-request-method": "POST", "access-control-request-headers": "content-type"})
    assert a.status in (200, 204)
    assert a.headers["access-control-allow-origin"] in ("*", "http://localhost:3001")
    assert "content-type" in a.headers["access-control-allow-headers"].lower()
    a = node.post("otlp", "/v1/traces", "{}", headers={"origin": "http://localhost:3001"})
    assert a.status == 200 and a.headers["access-control-allow-origin"] in ("*", "http://localhost:3001")


def test_sealed_data_answers_the_same(make_node):
    node = make_node(args=["--set", "storage.seal_age=300ms"]).start()
    now = time.time_ns()
    node.post("otlp", "/v1/traces", otlp.traces("seal", range(1, 2001), now).SerializeToString(), otlp.PROTO)
    node.post("otlp", "/v1/logs", otlp.logs("seal", range(2000), now).SerializeToString(), otlp.PROTO)
    node.post("otlp", "/v1/metrics", otlp.gauge("seal", "level", {i: i / 2 for i in range(500)}, now).SerializeToString(), otlp.PROTO)

    def answers():
        return (node.search("{ span.n > 1990 }", limit=20), node.logs("number AND 1234", max_hits=5)["num_hits"],
                node.logs('body.message:"record number 77 of"')["num_hits"],
                len(node.search("{ span.n > 0 } | count() = 1", limit=5000)), len(node.search("{ } | count() > 1", limit=5)),
                node.query("sum(level)", at=now / 1e9 + 1), node.get("tempo", f"/api/traces/{7:032x}").body)
    before = answers()
    sealed = lambda: "\ntercet_segments 0\n" not in node.get("prom", "/metrics").body.decode() and \
        b"tercet_seals_total 0" not in node.get("prom", "/metrics").body
    assert eventually(sealed), node.get("prom", "/metrics").body
    time.sleep(0.5)
    assert answers() == before
    assert len(before[0]) == 10 and before[1:5] == (1, 1, 2000, 0)
    node.kill()
    node.start()
    assert answers() == before
