"""/api/correlate: what it counts is what the queries count that it hands out, from every anchor, in memtables and in
segments; hostile names are only names."""
import os
import random
import sys
import time

import pytest
from node import ROOT, eventually
import otlp
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
import shop

S = 10**9


def correlate(node, status=200, tenant=None, **params):
    a = node.get("ui", "/api/correlate", params=params, tenant=tenant)
    assert a.status == status, a
    return a.json


def check_queries(node, got, start, end, tenant=None):
    """The queries that are handed out show as much as was counted."""
    found = node.search(got["traces"]["query"], tenant=tenant, start=start, end=end, limit=10000)
    assert got["traces"]["total"] == len(found)
    ids = {t["traceID"].rjust(32, "0") for t in found}
    assert {t["trace_id"] for t in got["traces"]["items"]} <= ids
    logs = node.logs(got["logs"]["query"], tenant=tenant, max_hits=0, start_timestamp=start, end_timestamp=end)
    assert got["logs"]["total"] == logs["num_hits"]
    assert sum(got["logs"]["by_severity"].values()) == got["logs"]["total"]
    assert got["logs"]["errors"] == sum(got["logs"]["by_severity"].get(k, 0) for k in ("ERROR", "FATAL"))
    series = {}
    for part in got["metrics"]["query"].split(" or ") if got["metrics"]["query"] else []:
        about = {"match[]": part, "start": got["start"] - 300, "end": got["end"] + 300}
        for s in node.get("prom", "/api/v1/series", params=about, tenant=tenant).json["data"]:
            series[tuple(sorted(s.items()))] = s["__name__"]
    counts = {}
    for name in series.values():
        counts[name] = counts.get(name, 0) + 1
    assert {m["name"]: m["series"] for m in got["metrics"]["names"]} == counts
    assert not got["partial"] and "warnings" not in got
    return ids


def sealed(node):
    text = node.get("prom", "/metrics").body.decode()
    return "\ntercet_memtable_bytes 0\n" in text and "\ntercet_seals_total 0\n" not in text


def spans_of(node, trace):
    batches = node.get("tempo", f"/api/traces/{trace}").json["batches"]
    return [s for b in batches for scope in b["scopeSpans"] for s in scope["spans"]]


def check_shop(node, sent, end):
    start = end - 800
    trace = sent.checkouts[0]
    got = correlate(node, trace_id=trace)
    assert check_queries(node, got, start, end + 60) == {trace}
    item, = got["traces"]["items"]
    spans = spans_of(node, trace)
    assert item["spans"] == len(spans) and set(item["services"]) == {"storefront-web", "storefront", "orders", "catalogue", "payments"}
    assert item["root_service"] == "storefront-web" and item["services"][0] == "storefront-web"
    assert got["start"] <= item["start"] and got["end"] >= item["start"] + item["duration_ms"] / 1000 - 1e-6
    assert sum(got["logs"]["by_span"].values()) == got["logs"]["total"] > 4
    times = [int(x["timestamp_ns"]) for x in got["logs"]["items"]]
    assert times == sorted(times) and len(times) == min(20, got["logs"]["total"])
    names = {m["name"]: m for m in got["metrics"]["names"]}
    assert names["http_server_request_duration_seconds_bucket"]["type"] == "histogram"
    assert names["http_server_request_duration_seconds_count"]["unit"] == "seconds"
    assert names["shop_orders_placed_total"]["type"] == "counter"
    assert len(got["sessions"]) == 1
    for x in got["exemplars"]:
        assert x["trace_id"] == trace and "__name__" not in x["labels"] and x["metric"]

    span = next(k for k in got["logs"]["by_span"])
    one = correlate(node, trace_id=trace, span_id=span)
    assert one["logs"]["total"] == got["logs"]["by_span"][span] == node.logs(one["logs"]["query"], max_hits=0)["num_hits"]
    assert one["anchor"] == {"kind": "trace", "trace_id": trace, "span_id": span}
    assert len({x for x in one["metrics"]["query"].split('"') if x in item["services"]}) == 1

    window = {"start": start, "end": end + 60}
    for service in ("orders", "payments", "storefront-web"):
        got = correlate(node, service=service, **window)
        check_queries(node, got, start, end + 60)
        assert 10 <= len(got["traces"]["items"]) <= 20 and all(service in t["services"] for t in got["traces"]["items"])
        errors = node.search(f'{{ resource.service.name = "{service}" && status = error }}', limit=10000, **window)
        assert got["traces"]["errors"] == len(errors)
        starts = [t["start"] for t in got["traces"]["items"]]
        assert starts == sorted(starts, reverse=True)
        times = [int(x["timestamp_ns"]) for x in got["logs"]["items"]]
        assert times == sorted(times, reverse=True) and {x["service"] for x in got["logs"]["items"]} == {service}
        for x in got["exemplars"]:
            assert x["labels"]["job"] == service and len(x["trace_id"]) == 32
        assert bool(got["exemplars"]) == (service != "storefront-web")
    slow = set(sent.slow)
    assert slow & {t["trace_id"] for t in correlate(node, service="payments", **window)["traces"]["items"]}

    session = sent.sessions[0]
    got = correlate(node, session_id=session, **window)
    ids = check_queries(node, got, start, end + 60)
    assert ids and {t["trace_id"] for t in got["traces"]["items"]} == ids and session in got["sessions"]
    assert any("storefront" in t["services"] for t in got["traces"]["items"])
    assert got["logs"]["total"] > node.logs(f"attributes.session.id:{session}", max_hits=0)["num_hits"]

    # An exemplar leads to its trace, and back.
    x = correlate(node, service="payments", **window)["exemplars"][0]
    back = correlate(node, trace_id=x["trace_id"])
    assert x in back["exemplars"] and back["traces"]["total"] == 1


def test_shop(make_node):
    node = make_node(args=["--set", "node.cores=2", "--set", "storage.seal_age=1h"]).start()
    end = int(time.time())
    sent = shop.send(node.url("otlp"), minutes=10, seed=3, end=end)
    check_shop(node, sent, end)
    node.stop()
    node.args = ["--set", "node.cores=2", "--set", "storage.seal_age=300ms"]
    node.start()
    assert eventually(lambda: sealed(node))
    check_shop(node, sent, end)


HOSTILE = ['a "quoted" one', "back\\slash", "a|b.*(c)[d]{e}+?^$", "line\nbreak", "<script>alert(1)</script>", "naïve ☃", "x" * 1000, "AND", "*",
           "unknown_service", "{", "a' b"]


def send_hostile(node, name, n, now, tenant):
    """One trace of a service of that name, in a session of that name, with a log record, a metric and an exemplar."""
    trace, span = (n + 1).to_bytes(16, "big"), (n + 1).to_bytes(8, "big")
    resource = [otlp.kv("service.name", name), otlp.kv("service.instance.id", name + "-1"), otlp.kv("session.id", name)]
    spans, logs, metrics = ExportTraceServiceRequest(), ExportLogsServiceRequest(), ExportMetricsServiceRequest()
    rs = spans.resource_spans.add()
    rs.resource.attributes.extend(resource)
    s = rs.scope_spans.add().spans.add(trace_id=trace, span_id=span, name=name, kind=2, start_time_unix_nano=now, end_time_unix_nano=now + S)
    s.status.code = 2
    rl = logs.resource_logs.add()
    rl.resource.attributes.extend(resource)
    records = rl.scope_logs.add().log_records
    records.add(time_unix_nano=now, severity_number=17, trace_id=trace, span_id=span).body.string_value = name
    records.add(time_unix_nano=now + 5, severity_text="Warning", trace_id=trace).body.int_value = n
    records.add(time_unix_nano=now + 7)
    rm = metrics.resource_metrics.add()
    rm.resource.attributes.extend(resource)
    m = rm.scope_metrics.add().metrics.add(name="hostile.calls", unit="{call}")
    m.sum.aggregation_temporality, m.sum.is_monotonic = 2, True
    p = m.sum.data_points.add(time_unix_nano=now, as_int=1)
    p.exemplars.add(time_unix_nano=now, as_int=1, trace_id=trace, span_id=span)
    for path, rq in (("traces", spans), ("logs", logs), ("metrics", metrics)):
        a = node.post("otlp", f"/v1/{path}", rq.SerializeToString(), otlp.PROTO, headers={"X-Scope-OrgID": tenant})
        assert a.status == 200, a
    return trace.hex(), span.hex()


def test_hostile_names(node):
    now = time.time_ns() - 60 * S
    start, end = now // S - 60, now // S + 60
    for n, name in enumerate(HOSTILE):
        trace, span = send_hostile(node, name, n, now, "t")
        window = {"start": start, "end": end}
        for anchor in ({"service": name, **window}, {"session_id": name, **window}, {"trace_id": trace}, {"trace_id": trace, "span_id": span}):
            got = correlate(node, tenant="t", **anchor)
            logs = {"service": 3, "session_id": 3, "trace_id": 2}[next(iter(anchor))] if "span_id" not in anchor else 1
            assert (got["traces"]["total"], got["traces"]["errors"], got["logs"]["total"]) == (1, 1, logs), (anchor, got)
            assert [t["trace_id"] for t in got["traces"]["items"]] == [trace] and got["traces"]["items"][0]["services"] == [name]
            assert got["sessions"] == [name] and [(x["trace_id"], x["span_id"]) for x in got["exemplars"]] == [(trace, span)]
            assert {m["name"]: (m["type"], m["series"]) for m in got["metrics"]["names"]}["hostile_calls_total"] == ("counter", 1)
            check_queries(node, got, start, end, "t")
            assert got["logs"]["by_severity"] == {1: {"ERROR": 1}, 2: {"ERROR": 1, "WARN": 1}, 3: {"ERROR": 1, "WARN": 1, "UNSET": 1}}[logs]
        assert correlate(node, service=name, **window)["traces"]["total"] == 0  # another tenant


def test_without_spans(node):
    """Logs alone, exemplars alone, and a metric whose service stands in service_name."""
    now = time.time_ns()
    node.post("otlp", "/v1/logs", otlp.logs("quiet", range(3), now, trace=b"q" * 16).SerializeToString(), otlp.PROTO)
    node.post("otlp", "/v1/metrics", otlp.gauge("quiet", "level", {1: 1.0, 2: 2.0}, now).SerializeToString(), otlp.PROTO)
    got = correlate(node, trace_id=(b"q" * 16).hex())
    assert got["traces"]["total"] == 0 and got["logs"]["total"] == 3 and got["logs"]["by_span"] == {(b"q" * 8).hex(): 3}
    assert {m["name"]: m["series"] for m in got["metrics"]["names"]}["level"] == 2
    got = correlate(node, service="quiet")
    assert got["logs"]["total"] == 3 and got["traces"]["total"] == 0 and got["metrics"]["query"] == '{job="quiet"}'
    got = correlate(node, trace_id="abc")
    assert got["start"] is None and got["end"] is None and got["logs"]["total"] == 0 and got["metrics"]["names"] == [] and not got["partial"]
    labelled = otlp.gauge("other", "named", {1: 1.0}, now)
    labelled.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].attributes.append(otlp.kv("service_name", "quiet"))
    node.post("otlp", "/v1/metrics", labelled.SerializeToString(), otlp.PROTO)
    got = correlate(node, service="quiet")
    assert got["metrics"]["query"] == '{job="quiet"} or {service_name="quiet"}'
    assert {"level": 2, "named": 1}.items() <= {m["name"]: m["series"] for m in got["metrics"]["names"]}.items()


def test_many_traces_of_a_session(node):
    now = time.time_ns() - 100 * S
    rq = ExportTraceServiceRequest()
    scope = rq.resource_spans.add().scope_spans.add()
    for i in range(250):
        s = scope.spans.add(trace_id=random.randbytes(16), span_id=random.randbytes(8), name="fetch", kind=3, start_time_unix_nano=now + i * 1000,
                            end_time_unix_nano=now + i * 1000 + 5)
        s.attributes.append(otlp.kv("session.id", "busy"))
    node.post("otlp", "/v1/traces", rq.SerializeToString(), otlp.PROTO)
    got = correlate(node, session_id="busy")
    assert got["traces"]["total"] == 250 and len(got["traces"]["items"]) == 100 and got["partial"] and "newest 100" in got["warnings"][0]
    assert b"\ntercet_queries_partial_total 1\n" in node.get("ui", "/metrics").body
    assert [t["trace_id"] for t in got["traces"]["items"]] == [s.trace_id.hex() for s in list(scope.spans)[:149:-1]]


def test_hostile_shop(node):
    end = int(time.time())
    sent = shop.send(node.url("otlp"), minutes=2, seed=4, hostile=True, end=end)
    services = node.get("ui", "/api/services", params={"start": "-4599999999.5", "end": 4599999999})  # some clocks are far off
    assert services.status == 200 and sum(s["spans"] for s in services.json["services"]) == sent.spans
    for trace in sent.hostile[:5] + sent.large:
        got = correlate(node, trace_id=trace)
        assert got["traces"]["items"][0]["spans"] == len(spans_of(node, trace)) and not got["partial"]
        assert got["logs"]["total"] == node.logs(got["logs"]["query"], max_hits=0)["num_hits"]
        for service in filter(None, got["traces"]["items"][0]["services"][:2]):
            found = correlate(node, service=service, start=end - 300, end=end + 60)
            window = {"start": end - 300, "end": end + 60, "limit": 10000}
            assert found["traces"]["total"] == len(node.search(found["traces"]["query"], **window))


@pytest.mark.parametrize("params,why", [
    ({}, "one of"), ({"trace_id": "1", "service": "x"}, "one of"), ({"session_id": "1", "service": "x"}, "one of"),
    ({"trace_id": ["1", "2"]}, "twice"), ({"trace_id": "xyz"}, "not hex"), ({"trace_id": "1" * 33}, "at most 32"), ({"trace_id": "0"}, "zero"),
    ({"trace_id": "1", "span_id": "g"}, "not hex"), ({"trace_id": "1", "span_id": "1" * 17}, "at most 16"), ({"span_id": "1"}, "one of"),
    ({"service": "x", "span_id": "1"}, "goes with trace_id"), ({"service": "x", "start": 5, "end": 4}, "end must be after start"),
    ({"service": "x", "start": 5}, "end is missing"), ({"service": "y" * 1025}, "over 1024"), ({"service": ""}, "one of"),
    ({"session": "x"}, "unknown parameter"), ({"trace_id": "1", "limit": 5}, "unknown parameter"), ({"service": b"\xff"}, "UTF-8"),
])
def test_bad_requests(node, params, why):
    assert why in correlate(node, status=400, **params)["error"]
