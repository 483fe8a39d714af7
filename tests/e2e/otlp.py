"""OTLP payloads with countable contents."""
import time

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

PROTO = "application/x-protobuf"


def kv(key, value):
    if isinstance(value, bool):
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    if isinstance(value, float):
        return KeyValue(key=key, value=AnyValue(double_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=value))


def traces(service, numbers, start_ns=None, parent=None):
    """One span a number, each its own trace (id = number) unless parent is given."""
    rq = ExportTraceServiceRequest()
    rs = rq.resource_spans.add()
    rs.resource.attributes.append(kv("service.name", service))
    scope = rs.scope_spans.add()
    scope.scope.name = "e2e"
    now = start_ns or time.time_ns()
    for n in numbers:
        s = scope.spans.add(trace_id=n.to_bytes(16, "big"), span_id=(n & (2**64 - 1)).to_bytes(8, "big"), name=f"op-{n % 7}",
                            kind=2, start_time_unix_nano=now, end_time_unix_nano=now + 5_000_000)
        s.attributes.extend([kv("n", n % 2**62), kv("even", n % 2 == 0), kv("ratio", n / 4)])
    return rq


def logs(service, numbers, at_ns=None, trace=None):
    rq = ExportLogsServiceRequest()
    rl = rq.resource_logs.add()
    rl.resource.attributes.append(kv("service.name", service))
    scope = rl.scope_logs.add()
    now = at_ns or time.time_ns()
    for n in numbers:
        r = scope.log_records.add(time_unix_nano=now + n, severity_number=9, severity_text="INFO")
        r.body.string_value = f"record number {n} of {service}"
        r.attributes.append(kv("n", n))
        if trace is not None:
            r.trace_id = trace
            r.span_id = trace[:8]
    return rq


def gauge(service, name, values, at_ns=None):
    """values: {number: value}; one series a number (attribute n)."""
    rq = ExportMetricsServiceRequest()
    rm = rq.resource_metrics.add()
    rm.resource.attributes.append(kv("service.name", service))
    m = rm.scope_metrics.add().metrics.add(name=name)
    for n, v in values.items():
        p = m.gauge.data_points.add(time_unix_nano=at_ns or time.time_ns(), as_double=v)
        p.attributes.append(kv("n", str(n)))
    return rq
