"""/api/services against a plain count over random traces: requests, errors, durations and edges, whatever the order of
arrival, in memtables and in segments."""
import collections
import dataclasses
import math
import os
import random
import sys
import time

import pytest
from node import ROOT, eventually
import otlp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
import shop

S = 10**9
SLACK = 300 * S
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
ERROR = 0.0109  # of quantiles
SERVICES = ["web", "cart", "pay", 'a "quoted" näme', "batch", ""]
PEERS = [
    ({"db.system.name": "postgresql", "db.namespace": "shop"}, ("database", "postgresql/shop")),
    ({"db.system": "redis"}, ("database", "redis")),
    ({"db.system": "mysql", "db.name": "old", "server.address": "db-1"}, ("database", "mysql/old")),
    ({"messaging.system": "kafka", "server.address": "broker-1"}, ("messaging", "kafka")),
    ({"peer.service": "mailer", "server.address": "10.0.0.1"}, ("external", "mailer")),
    ({"server.address": "api.example.com"}, ("external", "api.example.com")),
    ({"net.peer.name": "old.example.com"}, ("external", "old.example.com")),
    ({"server.address": "x" * 300}, ("external", "x" * 256)),
    ({"http.route": "/nobody"}, None),
]


@dataclasses.dataclass
class Span:
    trace: int
    id: int
    parent: int  # 0 = none
    service: str
    kind: int
    start: int
    duration: int
    error: bool
    peer: int


def random_trace(r, trace, start, end):
    """Ids are small numbers: the same in every trace. Parents may be missing, be the span itself, form cycles, or come
    later; ids may be there twice."""
    at = r.randint(start - 500 * S, end + 500 * S) if r.random() < 0.2 else r.randint(start, end - 1)
    spans = []
    for i in range(1, r.choice([1, 2, 3, 5, 8, 20]) + 1):
        parent = 0 if i == 1 and r.random() < 0.9 else r.randint(1, i) if r.random() < 0.8 else r.randint(1, 25)
        spans.append(Span(trace, i if r.random() < 0.95 else r.randint(1, 5), parent, r.choice(SERVICES),
                          r.choice([0, INTERNAL, SERVER, SERVER, CLIENT, CLIENT, PRODUCER, CONSUMER]),
                          at + r.randint(-20 * S, 20 * S), int(10 ** r.uniform(3, 10)) if r.random() < 0.95 else 0,
                          r.random() < 0.2, r.randrange(len(PEERS))))
    return spans


def payload(spans):
    rq = ExportTraceServiceRequest()
    scopes = {}
    for s in spans:
        if s.service not in scopes:
            rs = rq.resource_spans.add()
            if s.service:
                rs.resource.attributes.append(otlp.kv("service.name", s.service))
                rs.resource.attributes.append(otlp.kv("telemetry.sdk.language", "python" if s.service != "pay" else "rust"))
            scopes[s.service] = rs.scope_spans.add()
        x = scopes[s.service].spans.add(trace_id=s.trace.to_bytes(16, "big"), span_id=s.id.to_bytes(8, "big"), name=f"op {s.kind}",
                                        kind=s.kind, start_time_unix_nano=s.start, end_time_unix_nano=s.start + s.duration,
                                        parent_span_id=s.parent.to_bytes(8, "big") if s.parent else b"")
        x.status.code = 2 if s.error else 0
        x.attributes.extend(otlp.kv(k, v) for k, v in PEERS[s.peer][0].items())
    return rq.SerializeToString()


def called(s):
    return s.kind in (SERVER, CONSUMER)


def model_red(spans, start, end, steps):
    step = -(-(end - start) // steps)
    red = {}
    for s in spans:
        if not start <= s.start < end:
            continue
        x = red.setdefault(s.service, {"spans": 0, "last": 0, "steps": [[] for _ in range(steps)]})
        x["spans"] += 1
        x["last"] = max(x["last"], s.start)
        if called(s) or not s.parent:
            x["steps"][(s.start - start) // step].append(s)
    return step, red


def model_edges(spans, start, end):
    near = [s for s in spans if start - SLACK <= s.start < end + SLACK]
    by_id = collections.defaultdict(list)
    children = collections.defaultdict(list)
    for s in near:
        by_id[s.trace, s.id].append(s)
        if called(s) and s.parent:
            children[s.trace, s.parent].append(s)
    edges = collections.defaultdict(list)
    for s in near:
        if not start <= s.start < end:
            continue
        if called(s) and s.parent:
            others = {p.service for p in by_id[s.trace, s.parent]} - {s.service}
            # Of several the smallest name, among the two smallest of all claims.
            claims = sorted({p.service for p in by_id[s.trace, s.parent]}, key=str.encode)[:2]
            if others:
                edges[[c for c in claims if c != s.service][0], "service", s.service].append(s)
        if s.kind in (CLIENT, PRODUCER) and not any(c.service != s.service for c in children[s.trace, s.id]) and PEERS[s.peer][1]:
            edges[(s.service, *PEERS[s.peer][1])].append(s)
    return edges


def near_quantile(got_ms, spans, q):
    if not spans:
        return got_ms is None
    want = sorted(s.duration for s in spans)[math.floor(q * (len(spans) - 1))] / 1e6
    return abs(got_ms - want) <= ERROR * want + want * 1e-5


def seconds(ns):
    return f"{ns // S}.{ns % S:09d}"


def check(node, spans, start, end, steps):
    a = node.get("ui", "/api/services", params={"start": seconds(start), "end": seconds(end), "steps": steps})
    assert a.status == 200, a
    got = a.json
    step, red = model_red(spans, start, end, steps)
    assert not got["partial"] and "warnings" not in got
    assert abs(got["step"] - step / S) < 1e-8
    names = [s["name"] for s in got["services"] if s["spans"]]
    assert names == sorted(red, key=str.encode)
    for s in got["services"]:
        if not s["spans"]:
            continue
        want = red[s["name"]]
        requests = [x for c in want["steps"] for x in c]
        assert (s["spans"], s["requests"], s["errors"]) == (want["spans"], len(requests), sum(x.error for x in requests))
        assert abs(s["last_seen"] - want["last"] / S) < 1e-6
        assert s["language"] == ({"pay": "rust", "": ""}.get(s["name"], "python"))
        for key, q in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
            assert near_quantile(s[key], requests, q), (s["name"], key)
        assert len(s["rate"]) == len(s["error_rate"]) == len(s["p95"]) == steps
        for i, c in enumerate(want["steps"]):
            length = (min(start + (i + 1) * step, end) - (start + i * step)) / S
            assert abs(s["rate"][i] - (len(c) / length if length > 0 else 0)) <= 1e-5 * (1 + len(c) / max(length, 1e-9))
            assert s["error_rate"][i] is None if not c else abs(s["error_rate"][i] - sum(x.error for x in c) / len(c)) < 1e-5
            assert near_quantile(s["p95"][i], c, 0.95)
    edges = model_edges(spans, start, end)
    have = {(e["from"], e["to_kind"], e["to"]): e for e in got["edges"]}
    assert len(have) == len(got["edges"]) and set(have) == set(edges)
    for key, calls in edges.items():
        e = have[key]
        assert (e["requests"], e["errors"]) == (len(calls), sum(c.error for c in calls)), key
        assert near_quantile(e["p50_ms"], calls, 0.5) and near_quantile(e["p95_ms"], calls, 0.95)
    known = {s["name"] for s in got["services"]}
    assert all(e["from"] in known and (e["to_kind"] != "service" or e["to"] in known) for e in got["edges"])
    assert [e["requests"] for e in got["edges"]] == sorted((e["requests"] for e in got["edges"]), reverse=True)


def sealed(node):
    text = node.get("prom", "/metrics").body.decode()
    return "\ntercet_memtable_bytes 0\n" in text and "\ntercet_seals_total 0\n" not in text


@pytest.mark.parametrize("seed", [1, 2])
def test_random_traces(make_node, seed):
    r = random.Random(seed)
    args = ["--set", "node.cores=2", "--set", "storage.seal_age=400ms"]
    node = make_node(args=args).start()
    end = time.time_ns() - 600 * S
    start = end - 1800 * S
    spans = [s for t in range(1, 900) for s in random_trace(r, t, start, end)]
    r.shuffle(spans)
    for part in (spans[: len(spans) // 2], spans[len(spans) // 2:]):
        for i in range(0, len(part), 700):
            assert node.post("otlp", "/v1/traces", payload(part[i:i + 700]), otlp.PROTO).status == 200
        assert eventually(lambda: sealed(node))
    late = [s for t in range(900, 1000) for s in random_trace(r, t, start, end)]
    assert node.post("otlp", "/v1/traces", payload(late), otlp.PROTO).status == 200
    windows = [(start, end, 60), (start + 7 * S, start + 400 * S, 7), (end - 60 * S, end, 1), (start, start + 5, 60),
               (start - 3600 * S, end + 3600 * S, 1000)]
    for window in windows:
        check(node, spans + late, *window)
    # Everything in segments, read by one core.
    assert eventually(lambda: sealed(node))
    node.stop()
    node.args = ["--set", "node.cores=1"]
    node.start()
    for window in windows:
        check(node, spans + late, *window)


def test_nothing_stored_and_tenants(node):
    a = node.get("ui", "/api/services").json
    assert a["services"] == [] and a["edges"] == [] and a["partial"] is False and abs(a["end"] - a["start"] - 900) < 1e-6
    node.post("otlp", "/v1/traces", otlp.traces("mine", [1]).SerializeToString(), otlp.PROTO, headers={"x-scope-orgid": "t1"})
    assert node.get("ui", "/api/services").json["services"] == []
    assert [s["name"] for s in node.get("ui", "/api/services", tenant="t1").json["services"]] == ["mine"]


@pytest.mark.parametrize("params,why", [
    ({"start": 1}, "end is missing"), ({"end": 1}, "start is missing"), ({"start": 5, "end": 5}, "end must be after start"),
    ({"start": 6, "end": 5}, "end must be after start"), ({"start": "x", "end": 5}, "start is neither"),
    ({"start": "1e30", "end": "2e30"}, "out of range"), ({"start": "nan", "end": 5}, "out of range"),
    ({"start": -9e9, "end": 9e9}, "out of range"), ({"start": "-4600000000", "end": 5}, "out of range"),
    ({"start": 5, "end": "2261-01-01T00:00:00Z"}, "out of range"), ({"start": 5, "end": "99999999999999999999"}, "out of range"),
    ({"start": "1.", "end": 5}, ""), ({"steps": 0}, "steps"), ({"steps": 1001}, "steps"), ({"steps": "-1"}, "steps"),
    ({"step": 5}, "unknown parameter: 'step'"), ({"steps": [1, 2]}, "twice"),
])
def test_bad_requests(node, params, why):
    a = node.get("ui", "/api/services", params=params)
    if why:
        assert a.status == 400 and why in a.json["error"], a
    else:
        assert a.status in (200, 400)


def test_forms_of_time(node):
    answers = [node.get("ui", "/api/services", params={"start": s, "end": e}).json for s, e in
               (("1700000000.5", "1700000060.5"), ("2023-11-14T22:13:20.5Z", "2023-11-14T23:14:20.5+01:00"), ("17000000005e-1", "17000000605e-1"))]
    assert answers[0] == answers[1] == answers[2] and answers[0]["start"] == 1700000000.5 and answers[0]["step"] == 1


def test_shop(node):
    end = int(time.time())
    sent = shop.send(node.url("otlp"), minutes=10, seed=3, end=end)
    got = node.get("ui", "/api/services", params={"start": end - 700, "end": end + 60}).json
    assert sum(s["spans"] for s in got["services"]) == sent.spans and not got["partial"]
    edges = {(e["from"], e["to"]) for e in got["edges"]}
    assert {("storefront-web", "storefront"), ("storefront", "orders"), ("orders", "catalogue"), ("orders", "payments")} <= edges
    assert {"catalogue", "payments"} <= {e["from"] for e in got["edges"] if e["to_kind"] == "database"}
    for s in got["services"]:
        errors = node.search(f'{{ resource.service.name = "{s["name"]}" && kind = server && status = error }}',
                             start=end - 700, end=end + 60, limit=20000)
        assert (s["errors"] > 0) == (len(errors) > 0) or s["name"] == "storefront-web"
