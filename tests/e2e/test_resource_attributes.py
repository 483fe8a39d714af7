"""Attributes of resources that no setting made labels are labels of any query that asks for them: info(), joins with target_info, browsing."""
import time

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

import otlp


def send(node, instance, attributes, since_s, at_s, total):
    """A counter and a gauge of one instance of the shop's service."""
    rq = ExportMetricsServiceRequest()
    rm = rq.resource_metrics.add()
    rm.resource.attributes.extend(otlp.kv(k, v) for k, v in {"service.namespace": "shop", "service.name": "cart", **attributes}.items())
    if instance:
        rm.resource.attributes.append(otlp.kv("service.instance.id", instance))
    scope = rm.scope_metrics.add()
    m = scope.metrics.add(name="requests")
    m.sum.aggregation_temporality, m.sum.is_monotonic = 2, True
    m.sum.data_points.add(start_time_unix_nano=since_s * 10**9, time_unix_nano=at_s * 10**9, as_int=total)
    scope.metrics.add(name="depth").gauge.data_points.add(time_unix_nano=at_s * 10**9, as_double=total / 10)
    assert node.post("otlp", "/v1/metrics", rq.SerializeToString(), otlp.PROTO).status == 200


def ask(node, query, at):
    a = node.get("prom", "/api/v1/query", params={"query": query, "time": at})
    assert a.status == 200 and not a.json.get("warnings"), (query, a)
    return {tuple(sorted(r["metric"].items())): float(r["value"][1]) for r in a.json["data"]["result"]}


def by(node, query, at):
    """Values by the one label that is left."""
    return {labels[0][1] if labels else "": v for labels, v in ask(node, query, at).items()}


def fill(nodes, start):
    for i, at in enumerate(range(start, start + 601, 60)):
        node = nodes[i % len(nodes)]
        send(node, "a", {"k8s.pod.name": "pod-a", "deployment.environment": "prod", "service.version": "1" if i < 6 else "2"}, start - 60, at, 60 * i)
        send(node, "b", {"k8s.pod.name": "pod-b", "deployment.environment": "test", "service.version": "1"}, start - 60, at, 120 * i)


def check(node, start):
    end = start + 600
    base = {"__name__": "depth", "instance": "a", "job": "shop/cart"}
    data = {"deployment_environment": "prod", "k8s_pod_name": "pod-a", "service_version": "2"}
    assert ask(node, 'depth{instance="a"}', end) == {tuple(sorted(base.items())): 60}
    assert ask(node, 'info(depth{instance="a"})', end) == {tuple(sorted({**base, **data}.items())): 60}
    # Promoted by name, chosen by value, aggregated by.
    assert ask(node, 'info(depth, {k8s_pod_name=~"pod-a"})', end) == {tuple(sorted({**base, "k8s_pod_name": "pod-a"}.items())): 60}
    assert by(node, 'sum by (k8s_pod_name) (info(rate(requests_total[5m])))', end) == {"pod-a": 1, "pod-b": 2}
    assert by(node, 'sum by (deployment_environment) (info(depth, {deployment_environment!=""}))', end) == {"prod": 60, "test": 120}
    joined = "sum by (k8s_pod_name) (rate(requests_total[5m]) * on (job, instance) group_left (k8s_pod_name) target_info)"
    assert by(node, joined, end) == {"pod-a": 1, "pod-b": 2}
    # What an attribute was then, not what it is now.
    assert by(node, 'count by (service_version) (info(depth))', start + 300) == {"1": 2}
    assert by(node, 'count by (service_version) (info(depth))', end) == {"1": 1, "2": 1}
    browse = {"start": start, "end": end}
    for label, values in (("k8s_pod_name", ["pod-a", "pod-b"]), ("service_version", ["1", "2"]), ("job", ["shop/cart"])):
        assert node.get("prom", f"/api/v1/label/{label}/values", params=browse).json["data"] == values
    series = node.get("prom", "/api/v1/series", params={**browse, "match[]": 'target_info{service_version="2"}'}).json["data"]
    assert series == [{"__name__": "target_info", "instance": "a", "job": "shop/cart", **data}]


@pytest.fixture
def start():
    return int(time.time()) // 60 * 60 - 900


def test_promoted_by_the_query(make_node, start):
    node = make_node().start()
    fill([node], start)
    check(node, start)
    node.kill()
    node.start()
    check(node, start)


def test_without_an_instance(node, start):
    """A service that says no instance: job alone tells whose attributes they are."""
    for at in (start, start + 60):
        send(node, None, {"k8s.pod.name": "only"}, start - 60, at, 5)
    assert by(node, "sum by (k8s_pod_name) (info(depth))", start + 60) == {"only": 0.5}


def test_on_three_nodes(three, start):
    fill(list(three), start)
    for node in three:
        check(node, start)
