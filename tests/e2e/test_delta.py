"""Delta temporality: what clients sent since they last sent. rate and increase add it up, whichever node took it, in whatever order, and across
kills. A real SDK with that preference, too."""
import random
import time

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

import otlp

STEP_NS = 10_000_000_000
BOUNDS = [1.0, 2.0, 4.0]


def request(at_ns, count, values):
    """One interval's deltas: a counter, an explicit and an exponential histogram of values."""
    rq = ExportMetricsServiceRequest()
    rm = rq.resource_metrics.add()
    rm.resource.attributes.append(otlp.kv("service.name", "shop"))
    metrics = rm.scope_metrics.add().metrics
    times = dict(start_time_unix_nano=at_ns - STEP_NS, time_unix_nano=at_ns)
    m = metrics.add(name="sold").sum
    m.aggregation_temporality, m.is_monotonic = 1, True
    m.data_points.add(as_int=count, **times)
    m = metrics.add(name="size").histogram
    m.aggregation_temporality = 1
    buckets = [sum(1 for v in values if lo < v <= hi) for lo, hi in zip([0, *BOUNDS], [*BOUNDS, 1e9])]
    m.data_points.add(count=len(values), sum=sum(values), bucket_counts=buckets, explicit_bounds=BOUNDS, **times)
    m = metrics.add(name="weight").exponential_histogram
    m.aggregation_temporality = 1
    p = m.data_points.add(count=len(values), sum=sum(values), scale=0, **times)
    p.positive.bucket_counts.extend(sum(1 for v in values if 2 ** (i - 1) < v <= 2**i) for i in range(4))
    p.positive.offset = -1
    return rq.SerializeToString()


def value(node, promql, at_ns):
    got = node.query(promql, at_ns / 1e9)
    assert len(got) == 1, (promql, got)
    return float(got[0]["value"][1])


def test_intervals_add_up(three):
    rnd, start = random.Random(5), int(time.time()) // 10 * 10 * 10**9 - 40 * STEP_NS
    sent = [(start + i * STEP_NS, rnd.randrange(100), [rnd.choice([0.5, 1.5, 3.0, 6.0]) for _ in range(rnd.randrange(1, 6))]) for i in range(1, 31)]
    order = sent[:]
    rnd.shuffle(order)
    for i, (at, count, values) in enumerate(order):
        if i == 15:
            three[0].kill()
            three[0].restart()
        a = three[i % 3].post("otlp", "/v1/metrics", request(at, count, values), otlp.PROTO)
        assert a.status == 200 and not a.body, a
    end = sent[-1][0]
    for node in three.nodes:
        # From the beginning to the last point nothing is extrapolated: the sums are exact.
        assert value(node, "increase(sold_total[10m])", end) == sum(c for _, c, _ in sent)
        assert value(node, "increase(size_count[10m])", end) == sum(len(v) for _, _, v in sent)
        assert abs(value(node, "increase(size_sum[10m])", end) - sum(sum(v) for _, _, v in sent)) < 1e-9
        assert value(node, 'increase(size_bucket{le="2"}[10m])', end) == sum(sum(1 for x in v if x <= 2) for _, _, v in sent)
        assert value(node, "histogram_count(increase(weight[10m]))", end) == sum(len(v) for _, _, v in sent)
        # Ranges that begin and end at points hold their intervals, and those alone.
        some = sent[10:20]
        assert abs(value(node, "increase(sold_total[100s])", some[-1][0]) - sum(c for _, c, _ in some)) < 1e-9
        assert abs(value(node, "rate(sold_total[100s])", some[-1][0]) - sum(c for _, c, _ in some) / 100) < 1e-9


def test_sdk(node):
    delta = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(node.url("otlp", "/v1/metrics"), preferred_temporality=delta), 3600_000)
    provider = MeterProvider([reader], Resource.create({"service.name": "sdk"}))
    counter, histogram = (getattr(provider.get_meter("m"), f"create_{kind}")(kind) for kind in ("counter", "histogram"))
    total = 0
    for i in range(5):
        counter.add(i * 7 + 1)
        histogram.record(i)
        total += i * 7 + 1
        time.sleep(0.05)
        assert provider.force_flush()
    provider.shutdown()
    last = max(float(x["value"][1]) for x in node.query("timestamp(counter_total)"))
    assert value(node, "sum(increase(counter_total[1m]))", last * 1e9) == total
    assert value(node, "sum(increase(histogram_count[1m]))", last * 1e9) == 5
    assert node.get("prom", "/api/v1/metadata", params={"metric": "counter_total"}).json["data"]["counter_total"][0]["type"] == "counter"
