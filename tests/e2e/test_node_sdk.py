"""OpenTelemetry's JavaScript SDK: OTLP over JSON, protobuf and gRPC, plain and gzipped."""
import hashlib
import json
import os
import shutil
import subprocess

import pytest

from node import ROOT

HERE = os.path.join(os.path.dirname(__file__), "node-sdk")


@pytest.fixture(scope="module")
def modules():
    """Where the packages of the lock file are installed: in the build folder, once."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node or npm is not installed")
    to = os.path.join(ROOT, "build", "node-sdk")
    with open(os.path.join(HERE, "package-lock.json"), "rb") as f:
        stamp = os.path.join(to, ".done-" + hashlib.sha256(f.read()).hexdigest()[:16])
    if not os.path.exists(stamp):
        shutil.rmtree(to, ignore_errors=True)
        os.makedirs(to)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(HERE, name), to)
        p = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=to, capture_output=True, text=True)
        assert p.returncode == 0, p.stderr
        open(stamp, "w").close()
    return os.path.join(to, "node_modules")


def test_js_sdk(node, modules):
    p = subprocess.run(["node", os.path.join(HERE, "send.js"), node.url("otlp"), node.url("grpc")],
                       env=dict(os.environ, NODE_PATH=modules), capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    assert not p.stderr, p.stderr
    sent = json.loads(p.stdout)
    assert sorted(sent) == sorted(f"js-{protocol}-{squeeze}" for protocol in ("json", "proto", "grpc") for squeeze in ("none", "gzip"))
    for service, ids in sent.items():
        check_traces(node, service, ids)
        check_metrics(node, service)
        check_logs(node, service, ids)


def check_traces(node, service, ids):
    found, = node.search('{ resource.service.name = "%s" && span.cart.items = 3 && span.ratio = 0.5 }' % service)
    assert found["traceID"].rjust(32, "0") == ids["trace"] and found["rootTraceName"] == "checkout"
    failed, = node.search('{ resource.service.name = "%s" } > { status = error && kind = client && event:name = "exception" '
                          '&& event.exception.message = "card refused" && link:spanID = "%s" }' % (service, ids["span"]))
    assert failed["traceID"] == found["traceID"] and failed["spanSet"]["matched"] == 1
    trace = node.get("tempo", f"/api/v2/traces/{ids['trace']}").json["trace"]
    resource, = [r["resource"] for r in trace["resourceSpans"]]
    attrs = {a["key"]: a["value"] for a in resource["attributes"]}
    assert attrs["tags"] == {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}
    scope, = trace["resourceSpans"][0]["scopeSpans"]
    assert scope["scope"] == {"name": "shop", "version": "1.2.3"} and len(scope["spans"]) == 2


def check_metrics(node, service):
    value = lambda q: [r["value"][1] for r in node.query(q % service)]
    assert value('orders_total{job="%s", kind="book"}') == ["5"]
    assert value('queue{job="%s"}') == ["-2"]
    assert value('heap_bytes{job="%s"}') == ["1000000000"]
    assert value('order_duration_seconds_count{job="%s"}') == ["3"]
    assert value('order_duration_seconds_bucket{job="%s", le="+Inf"}') == ["3"]
    assert value('histogram_count(order_exact_seconds{job="%s"})') == ["3"]
    assert value('histogram_sum(order_exact_seconds{job="%s"})') == ["3.21"]


def check_logs(node, service, ids):
    hits = node.logs(f"service_name:{service} AND trace_id:{ids['trace']}")["hits"]
    assert len(hits) == 1
    doc = hits[0]
    assert doc["body"] == {"message": "card refused ünïcode"} and doc["span_id"] == ids["span"]
    assert doc["severity_text"] == "WARN" and doc["severity_number"] == 13
    assert doc["attributes"] == {"gateway": "sandbox", "nested": {"deep": [1, "two", True]}}
    assert node.logs(f'service_name:{service} AND "card refused"')["num_hits"] == 1
