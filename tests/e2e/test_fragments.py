"""Parts of queries that go through the bytes which other nodes would get (query.encode_fragments) give the same answers, byte
for byte: traces, logs, documents, tags, metrics of traces, service graphs and correlations, over attributes of every type."""
import json
import os
import sys
import time

from node import ROOT
import otlp
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
import shop

LOGS, SPANS = "otel-logs-v0_9", "otel-traces-v0_9"
ODD = (0xF0).to_bytes(16, "big")
TIMES = {"took", "elapsed_time_micros", "elapsedTimeMicros"}  # are of the clock


def odd_attributes():
    """Every type, empty and large ones, nested ones."""
    inner = AnyValue(kvlist_value=KeyValueList(values=[otlp.kv("deep", 2.5), KeyValue(key="list", value=AnyValue(
        array_value=ArrayValue(values=[AnyValue(int_value=-1), AnyValue(string_value="é\n\"")])))]))
    return [otlp.kv("i", -2**63), otlp.kv("f", 5e-324), otlp.kv("g", -0.0), otlp.kv("h", 1.7976931348623157e308), otlp.kv("t", True), otlp.kv("u", False),
            otlp.kv("empty", ""), otlp.kv("long", "y" * 5000), KeyValue(key="raw", value=AnyValue(bytes_value=bytes(range(256)))),
            KeyValue(key="map", value=inner), KeyValue(key="arr", value=AnyValue(array_value=ArrayValue(values=[inner, AnyValue(bool_value=True)]))),
            KeyValue(key="none", value=AnyValue())]


def send_odd(node, base, spans=range(1, 40), records=range(60)):
    rq = ExportTraceServiceRequest()
    for service in ("one", "two"):
        rs = rq.resource_spans.add(schema_url="https://example.com/r")
        rs.resource.attributes.extend([otlp.kv("service.name", service), *odd_attributes()])
        rs.resource.dropped_attributes_count = 3
        scope = rs.scope_spans.add(schema_url="https://example.com/s")
        scope.scope.name, scope.scope.version = "lib", "1.2"
        scope.scope.attributes.extend(odd_attributes())
        for n in spans:
            s = scope.spans.add(trace_id=ODD, span_id=(n + 100 * (service == "two")).to_bytes(8, "big"), name=f"odd {n % 3}", kind=n % 6,
                                trace_state="a=b", flags=257, start_time_unix_nano=base + n, end_time_unix_nano=base + n + 10**6 * n,
                                parent_span_id=(n // 2).to_bytes(8, "big") if n > 1 else b"", dropped_attributes_count=n)
            s.attributes.extend(odd_attributes())
            s.status.code, s.status.message = n % 3, "why" if n % 3 == 2 else ""
            e = s.events.add(time_unix_nano=base + n + 5, name="event", dropped_attributes_count=1)
            e.attributes.extend(odd_attributes())
            link = s.links.add(trace_id=bytes(16 * [n]), span_id=bytes(8 * [n]), trace_state="c=d", flags=1)
            link.attributes.append(otlp.kv("why", n))
    assert node.post("otlp", "/v1/traces", rq.SerializeToString(), otlp.PROTO).status == 200
    rq = ExportLogsServiceRequest()
    rl = rq.resource_logs.add()
    rl.resource.attributes.extend([otlp.kv("service.name", "one"), *odd_attributes()])
    scope = rl.scope_logs.add()
    for n in records:
        r = scope.log_records.add(time_unix_nano=base + n // 2, severity_number=n % 25, trace_id=ODD, span_id=(n % 7 + 1).to_bytes(8, "big"))
        r.body.CopyFrom([AnyValue(string_value=f"odd record {n}"), AnyValue(int_value=n), odd_attributes()[9].value][n % 3])
        r.attributes.extend(odd_attributes() + [otlp.kv("n", n), otlp.kv("half", n / 2)])
    assert node.post("otlp", "/v1/logs", rq.SerializeToString(), otlp.PROTO).status == 200


def send_documents(node, base):
    docs = [{"at": base // 10**9 + n, "n": n, "x": n / 3, "word": f"w{n % 5}", "deep": {"a": [n, str(n), None, {"b": n % 2 == 0}]}, "text": f"alpha beta {n}"}
            for n in range(300)]
    body = "".join(json.dumps(d) + "\n" for d in docs)
    assert node.post("quickwit", "/api/v1/indexes", {"version": "0.9", "index_id": "papers", "doc_mapping": {
        "mode": "dynamic", "timestamp_field": "at", "field_mappings": [
            {"name": "at", "type": "datetime", "input_formats": ["unix_timestamp"], "fast": True},
            {"name": "word", "type": "text", "tokenizer": "raw", "fast": True}, {"name": "text", "type": "text"}]}}).status == 200
    assert node.post("quickwit", "/api/v1/papers/ingest", body, "application/x-ndjson", params={"commit": "force"}).status == 200


TRACEQL = ["{ }", "{ status = error }", "{ name =~ \"odd.*\" && span.i < 0 }", "{ resource.service.name = \"orders\" } >> { kind = client }", "{ .arr = true }",
           "{ span.f > 0 } | by(name) | count() > 2 | select(span.map, span.raw, span.g)", "{ duration > 20ms } | avg(duration) > 10ms",
           "({ kind = server } | count() > 1) && { .long != nil }", "{ event:name = \"event\" && event.t = true }", "{ link:traceID != \"\" }"]
METRICS = ["{ } | rate()", "{ } | rate() by (resource.service.name, name)", "{ } | quantile_over_time(duration, .5, .9, .99) by (name)",
           "{ status = error } | count_over_time() by (span.map, span.raw, span.t)", "{ } | histogram_over_time(duration) by (resource.service.name)",
           "{ } | avg_over_time(duration) by (kind)", "{ } | sum_over_time(span.h)", "{ } | min_over_time(span.f)", "({ } | rate()) / ({ } | count_over_time())",
           "{ kind = server } >> { kind = client } | rate() by (name)", "{ } | compare({ status = error })", "{ kind = server } >> { kind = client } | compare({ duration > 5ms }, 3)",
           "{ } | rate() by (resource.service.name) | topk(2) with (exemplars=50)"]
SELECTIONS = ["*", "body.message:odd", "attributes.n:>=10 AND NOT severity_number:9", "service_name:IN [one orders]", "body.message:ord*", "\"odd record\""]
AGGS = {"by": {"terms": {"field": "service_name", "size": 50}, "aggs": {
            "over": {"date_histogram": {"field": "timestamp_nanos", "fixed_interval": "1m"}, "aggs": {"p": {"percentiles": {"field": "severity_number"}}}},
            "how": {"extended_stats": {"field": "severity_number"}}, "which": {"cardinality": {"field": "trace_id"}}}},
        "parts": {"range": {"field": "severity_number", "ranges": [{"to": 9}, {"from": 9, "to": 17}, {"from": 17}]}, "aggs": {"n": {"value_count": {"field": "trace_id"}}}},
        "some": {"filters": {"filters": {"bad": "severity_number:>=17", "odd": "body.message:odd"}}},
        "pairs": {"composite": {"size": 100, "sources": [{"s": {"terms": {"field": "service_name"}}}, {"l": {"histogram": {"field": "severity_number", "interval": 4}}}]}}}
PAPERS = {"words": {"terms": {"field": "word", "missing": "?"}, "aggs": {"x": {"avg": {"field": "x"}}, "h": {"histogram": {"field": "n", "interval": 7.5}}}},
          "sum": {"sum": {"field": "x"}}, "distinct": {"cardinality": {"field": "n"}}}


def without_times(x):
    if isinstance(x, dict):
        return {k: without_times(v) for k, v in x.items() if k not in TIMES}
    return [without_times(v) for v in x] if isinstance(x, list) else x


def ask(node, out, door, path, body=None, **params):
    a = node.post(door, path, body, params=params) if body is not None else node.get(door, path, params=params)
    key = f"{path} {json.dumps(params)} {json.dumps(body)}"
    assert a.status == 200, (key, a)
    out[key] = json.dumps(without_times(a.json))


def ask_traces(node, out, window, trace):
    for q in TRACEQL:
        ask(node, out, "tempo", "/api/search", q=q, limit=100, spss=5, **window)
    for q in METRICS:
        ask(node, out, "tempo", "/api/metrics/query_range", q=q, step="30s", exemplars=20, **window)
    for id in (trace, ODD.hex()):
        ask(node, out, "tempo", f"/api/traces/{id}")
        ask(node, out, "ui", "/api/correlate", trace_id=id)
    for q in ("", "{ resource.service.name = \"one\" && name =~ \"o.*\" }"):
        ask(node, out, "tempo", "/api/v2/search/tags", q=q, **window)
        for tag in ("span.i", "span.f", ".t", "resource.service.name", "name", "span.long", "duration", "event.map"):
            ask(node, out, "tempo", f"/api/v2/search/tag/{tag}/values", q=q, **window)
    ask(node, out, "ui", "/api/services", **window)
    for service in ("one", "orders", "nobody"):
        ask(node, out, "ui", "/api/correlate", service=service, **window)


def ask_logs(node, out, window):
    for index in (LOGS, SPANS, "papers"):
        ask(node, out, "quickwit", f"/api/v1/_elastic/{index}/_field_caps")
    for q in SELECTIONS:
        ask(node, out, "quickwit", f"/api/v1/{LOGS}/search", query=q, max_hits=30, start_offset=2)
        ask(node, out, "quickwit", f"/api/v1/{LOGS}/search", query=q, max_hits=30, sort_by="severity_number,-timestamp_nanos")
    es = {"size": 25, "query": {"match_all": {}}, "track_total_hits": True}
    ask(node, out, "quickwit", f"/api/v1/_elastic/{LOGS}/_search", {**es, "aggs": AGGS, "sort": [{"service_name": "desc"}, {"timestamp_nanos": "asc"}]})
    ask(node, out, "quickwit", f"/api/v1/_elastic/{LOGS}/_search", {**es, "query": {"regexp": {"service_name": "o.*|st.re.*"}}, "sort": [{"timestamp_nanos": "desc"}]})
    ask(node, out, "quickwit", f"/api/v1/_elastic/{SPANS}/_search", {**es, "query": {"query_string": {"query": "span_status.code:error"}}})
    ask(node, out, "quickwit", "/api/v1/_elastic/papers/_search", {**es, "aggs": PAPERS, "sort": [{"x": "desc"}]})
    ask(node, out, "quickwit", "/api/v1/_elastic/papers/_search", {**es, "query": {"bool": {"must_not": [{"prefix": {"word": "w3"}}], "should": [{"match": {"text": "beta"}}, {
        "wildcard": {"word": "?1"}}, {"range": {"n": {"gt": 100, "lte": 200}}}], "minimum_should_match": 2}}})


def answers(node, window, trace):
    out = {}
    ask_traces(node, out, window, trace)
    ask_logs(node, out, window)
    return out


def test_answers_are_the_same(make_node):
    node = make_node(args=["--set", "node.cores=3"]).start()
    end = int(time.time())
    sent = shop.send(node.url("otlp"), minutes=4, seed=5, end=end)
    send_odd(node, (end - 60) * 10**9)
    send_documents(node, (end - 60) * 10**9)
    node.stop()
    got = []
    for encoded in ("false", "true"):
        node.args = ["--set", "node.cores=3", "--set", f"query.encode_fragments={encoded}"]
        node.start()
        got.append(answers(node, {"start": end - 300, "end": end + 60}, sent.checkouts[0]))
        node.stop()
    assert got[0].keys() == got[1].keys()
    different = [f"{key}\n  {value[:2000]}\n  {got[1][key][:2000]}" for key, value in got[0].items() if got[1][key] != value]
    assert not different, "\n".join(different)
