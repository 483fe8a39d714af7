"""TraceQL metrics against a model: spans of the real Python SDK, on two reactors, sealed, in memory and late."""
import math
import random
import time
import urllib.parse

import pytest

import otlp
from node import eventually

S, MS = 10**9, 10**6
STEP = 30
SERVICES = ["shop", "pay", "stock"]
KINDS = ["internal", "server", "client", "producer", "consumer"]


class Made:
    """One span as it was sent."""

    def __init__(self, **kw):
        self.__dict__.update(kw)


def make_traces(rng, base, n):
    """Traces of 1 to 6 spans over ten minutes. Some starts lie on the edges of steps to the nanosecond."""
    out = []
    for _ in range(n):
        at = base + rng.randrange(600) * S + rng.choice([0, 0, rng.randrange(S)])
        spans = []
        for k in range(rng.randrange(1, 7)):
            parent = rng.choice(spans) if spans else None
            failed = rng.random() < 0.2
            attrs = {"http.status_code": 500 if failed else rng.choice([200, 201, 404])}
            if rng.random() < 0.5:
                attrs["tier"] = rng.choice(["gold", "iron"])
            if rng.random() < 0.6:
                attrs["rows"] = rng.choice([0, 1, 2, 3, 64, 1000])
            if rng.random() < 0.3:
                attrs["load"] = rng.random() * 4
            start = at if k == 0 else parent.start + rng.randrange(2 * S)
            spans.append(Made(service=rng.choice(SERVICES), name=rng.choice(["GET /", "charge", "SELECT"]), parent=parent, attrs=attrs,
                              kind=rng.choice(KINDS), failed=failed, start=start, duration=int(10**rng.uniform(5, 10)), late=rng.random() < 0.1))
        for s in spans:
            s.trace = spans
        out.append(spans)
    return out


def send(node, traces, pick):
    """Through the SDK, one provider a service. Parents come first, whether they are sent now or not."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind, Status, StatusCode
    tracers, providers = {}, []
    for service in SERVICES:
        p = TracerProvider(resource=Resource.create({"service.name": service, "tier": "res-" + service}))
        p.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=node.url("otlp", "/v1/traces")), max_queue_size=100000))
        tracers[service] = p.get_tracer("e2e")
        providers.append(p)
    for spans in traces:
        for s in spans:
            if hasattr(s, "sdk") or not pick(s):
                continue
            if s.parent is not None and not hasattr(s.parent, "context"):
                raise AssertionError("a parent's ids are not known yet")
            ctx = trace.set_span_in_context(trace.NonRecordingSpan(s.parent.context)) if s.parent else trace.Context()
            s.sdk = tracers[s.service].start_span(s.name, context=ctx, kind=getattr(SpanKind, s.kind.upper()), attributes=s.attrs,
                                                  start_time=s.start)
            s.context = s.sdk.get_span_context()
            if s.failed:
                s.sdk.set_status(Status(StatusCode.ERROR, "broken"))
            s.sdk.end(end_time=s.start + s.duration)
    for p in providers:
        p.shutdown()


class World:
    def __init__(self, node, traces, base):
        self.node, self.traces, self.base = node, traces, base
        self.start, self.end = base // S + 7, base // S + 597  # neither on a step's edge
        self.spans = [s for t in traces for s in t]

    def ask(self, q, path="query_range", status=200, **params):
        a = self.node.get("tempo", "/api/metrics/" + path, params={"q": q, "start": self.start, "end": self.end, "step": STEP, **params})
        assert a.status == status, (q, a)
        return a.json if status == 200 else a.body.decode()

    def stamps(self):
        """Right edges, in seconds: from start down to end up, one step each."""
        return range(self.start // STEP * STEP, -(-self.end // STEP) * STEP + 1, STEP)

    def step_of(self, s):
        stamp = -(-s.start // (STEP * S)) * STEP
        return stamp if stamp in self.stamps() else None


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Early spans sealed on two reactors, the rest in the memtable."""
    import os
    from node import Node
    made = []

    def make(seed, backend="auto"):
        node = Node(tmp_path_factory.mktemp("m") / "data", backend=backend,
                    args=["--set", "node.cores=2", "--set", "storage.seal_age=400ms"]).start()
        made.append(node)
        base = (time.time_ns() // S - 1200) // 600 * 600 * S
        rng = random.Random(seed)
        traces = make_traces(rng, base, 500)

        def chain(s):
            return s is None or (not s.late and chain(s.parent))
        send(node, traces, chain)
        seals = lambda: int(float(node.get("prom", "/metrics").body.decode().split("\ntercet_seals_total ")[1].split("\n")[0]))
        assert eventually(lambda: seals() > 0 and b"\ntercet_memtable_bytes 0\n" in node.get("prom", "/metrics").body)
        node.stop()  # what comes now stays in the memtable
        node.args = ["--set", "node.cores=2", "--set", "storage.seal_age=1h"]
        node.start()
        send(node, traces, lambda s: True)
        return World(node, traces, base)
    yield make
    for node in made:
        if node.process and node.process.poll() is None:
            assert node.stop() == 0, os.path.basename(node.data)


@pytest.fixture(scope="module")
def world(worlds):
    return worlds(7)


# -- the model -----------------------------------------------------------------------------------------------
def label(value):
    """A label's value as it is told in JSON."""
    kind, v = next(iter(value.items()))
    return int(v) if kind == "intValue" else v


def by_labels(answer):
    """{((key, value), ...): {stamp in s: value}}"""
    out = {}
    for s in answer["series"]:
        key = tuple((l["key"], label(l["value"])) for l in s["labels"])
        assert key not in out
        out[key] = {int(p["timestampMs"]) / 1000: p["value"] for p in s["samples"]}
        assert list(out[key]) == sorted(out[key])
    return out


def model(world, keep, keys, cell, empty=None):
    """cell(spans of a group and step) -> value. empty: what a step without spans holds; None = no sample."""
    groups = {}
    for s in world.spans:
        step = world.step_of(s)
        if step is None or not keep(s):
            continue
        key = keys(s)
        if key is None:
            continue
        groups.setdefault(key, {}).setdefault(step, []).append(s)
    return {key: {t: cell(steps[t]) if t in steps else empty for t in world.stamps() if t in steps or empty is not None}
            for key, steps in groups.items()}


def same(got, want, q, tolerance=1e-12):
    assert set(got) == set(want), (q, sorted(set(got) ^ set(want), key=str)[:4])
    for key in want:
        assert set(got[key]) == set(want[key]), (q, key)
        for t, v in want[key].items():
            assert math.isclose(got[key][t], v, rel_tol=tolerance), (q, key, t, got[key][t], v)


def ancestors(s):
    while s.parent is not None:
        s = s.parent
        yield s


def grouped(*pairs):
    """Labels in their order, missing ones left out, a nil when all are missing."""
    def keys(s):
        got = tuple((k, f(s)) for k, f in pairs if f(s) is not None)
        return got or ((pairs[0][0], "nil"),)
    return keys


EVERY = lambda s: True
NAMED = lambda name: lambda s: (("__name__", name),)
SERVICE = ("resource.service.name", lambda s: s.service)
TIER = (".tier", lambda s: s.attrs.get("tier", "res-" + s.service))
STATUS = ("status", lambda s: "error" if s.failed else "unset")
CODE = ("span.http.status_code", lambda s: s.attrs["http.status_code"])
SPAN_TIER = ("span.tier", lambda s: s.attrs.get("tier"))
ROOT = ("rootServiceName", lambda s: s.trace[0].service)

COUNTS = [
    ("{ }", EVERY, "", NAMED("{}")),
    ("{ status = error }", lambda s: s.failed, "", NAMED("{}")),
    ('{ resource.service.name = "nothing" }', lambda s: False, " by (name)", grouped()),
    ("{ }", EVERY, " by (resource.service.name)", grouped(SERVICE)),
    ("{ kind = server }", lambda s: s.kind == "server", " by (.tier)", grouped(TIER)),
    ("{ }", EVERY, " by (span.tier)", grouped(SPAN_TIER)),
    ("{ }", EVERY, " by (span.tier, status, span.http.status_code)", grouped(SPAN_TIER, STATUS, CODE)),
    ("{ }", EVERY, " by (name, kind, resource.service.name, status, span.rows)",
     grouped(("name", lambda s: s.name), ("kind", lambda s: s.kind), SERVICE, STATUS, ("span.rows", lambda s: s.attrs.get("rows")))),
    ('{ .tier = "res-pay" || span.rows > 2 }', lambda s: TIER[1](s) == "res-pay" or s.attrs.get("rows", 0) > 2, " by (resource.service.name)",
     grouped(SERVICE)),
    ('{ .tier != "gold" && !(span.rows = 0) }', lambda s: TIER[1](s) != "gold" and s.attrs.get("rows") != 0, "", NAMED("{}")),
    ('{ status = error } || { name = "SELECT" } | { duration > 100ms }', lambda s: (s.failed or s.name == "SELECT") and s.duration > 100 * MS, "",
     NAMED("{}")),
    ("{ nestedSetParent < 0 }", lambda s: s.parent is None, " by (resource.service.name)", grouped(SERVICE)),
    # whole traces
    ("{ status = error } >> { kind = client }", lambda s: s.kind == "client" and any(p.failed for p in ancestors(s)), " by (resource.service.name)",
     grouped(SERVICE)),
    ('{ name = "charge" } > { }', lambda s: s.parent is not None and s.parent.name == "charge", "", NAMED("{}")),
    ('{ name = "charge" } && { status = error }',
     lambda s: (s.name == "charge" or s.failed) and any(t.name == "charge" for t in s.trace) and any(t.failed for t in s.trace), " by (status)",
     grouped(STATUS)),
    ("{ } | count() > 3", lambda s: len(s.trace) > 3, "", NAMED("{}")),
    ('{ rootServiceName = "pay" }', lambda s: s.trace[0].service == "pay", " by (span.tier)", grouped(SPAN_TIER)),
    ("{ kind = server }", lambda s: s.kind == "server", " by (rootServiceName)", grouped(ROOT)),
]


def test_counts_and_rates(world):
    for spans, keep, by, keys in COUNTS:
        for fn, scale in (("count_over_time", 1), ("rate", STEP)):
            q = f"{spans} | {fn}(){by}"
            name = lambda s: tuple((k, fn if v == "{}" else v) for k, v in keys(s))
            got = by_labels(world.ask(q))
            same(got, model(world, keep, name, lambda spans: len(spans) / scale, 0), q)


def test_a_count_is_what_search_finds(world):
    """Over a window that holds everything: spans counted = spans matched in all traces found."""
    wide = {"start": world.base // S - 60, "end": world.base // S + 900}
    for spans, keep, _, _ in COUNTS:
        total = sum(v for series in by_labels(world.ask(spans + " | count_over_time()", **wide)).values() for v in series.values())
        found = world.node.search(spans, limit=10000, spss=1)
        assert total == sum(s["matched"] for t in found for s in t["spanSets"]) == sum(map(keep, world.spans)), spans
    instant = world.ask("{ } | count_over_time()", "query", **wide)
    assert instant["series"] == [{"labels": [{"key": "__name__", "value": {"stringValue": "count_over_time"}}], "value": len(world.spans)}]


VALUES = {"duration": lambda s: s.duration / S, "span.rows": lambda s: s.attrs.get("rows"), ".load": lambda s: s.attrs.get("load")}


def test_measured_values(world):
    def avg(v):
        return math.fsum(v) / len(v)
    for field, value in VALUES.items():
        for fn, cell in (("min", min), ("max", max), ("sum", math.fsum), ("avg", avg)):
            for by, keys in (("", NAMED(fn + "_over_time")), (" by (resource.service.name)", grouped(SERVICE)), (" by (rootServiceName)", grouped(ROOT))):
                q = f"{{ }} | {fn}_over_time({field}){by}"
                want = model(world, lambda s: value(s) is not None, keys, lambda spans: cell([value(s) for s in spans]))
                same(by_labels(world.ask(q)), want, q)


def test_quantiles(world):
    """Exact up to 32 spans in a step, within 0.8 % beyond."""
    qs = [0, 0.5, 0.95, 1]
    for step, by, keys in ((STEP, "", lambda s: ()), (STEP, " by (resource.service.name)", grouped(SERVICE)), (600, "", lambda s: ())):
        q = f"{{ }} | quantile_over_time(duration, {', '.join(map(str, qs))}){by}"
        got = by_labels(world.ask(q, step=step))
        sizes = set()
        for p in qs:
            def cell(spans):
                v = sorted(s.duration / S for s in spans)
                sizes.add(len(v) > 32)
                return v[max(1, math.ceil(p * len(v))) - 1]
            old, globals()["STEP"] = STEP, step
            want = model(world, EVERY, lambda s: keys(s) + (("p", p),), cell)
            globals()["STEP"] = old
            same({k: v for k, v in got.items() if k[-1] == ("p", p)}, want, (q, p), 1e-12 if sizes == {False} or p in (0, 1) else 1 / 128)
        assert len(got) == len(qs) * len({k[:-1] for k in got})


def test_histograms(world):
    for field, value, unit in (("duration", lambda s: s.duration, S), ("span.rows", lambda s: s.attrs.get("rows"), 1)):
        def bucket(s):
            v = value(s)
            return None if v is None else 0 if v <= 0 else 2**math.ceil(math.log2(v)) / unit
        q = f"{{ }} | histogram_over_time({field}) by (resource.service.name)"
        want = model(world, EVERY, lambda s: None if bucket(s) is None else ((SERVICE[0], s.service), ("__bucket", bucket(s))), len, 0)
        same(by_labels(world.ask(q)), want, q)


def test_second_stages_and_arithmetic(world):
    rates = by_labels(world.ask("{ } | rate() by (name, span.http.status_code)"))
    for fn, sign in (("topk", -1), ("bottomk", 1)):
        got = by_labels(world.ask(f"{{ }} | rate() by (name, span.http.status_code) | {fn}(2)"))
        for t in world.stamps():
            here = sorted(sign * series[t] for series in rates.values())[:2]
            assert sorted(sign * series[t] for series in got.values() if t in series) == here, (fn, t)
    got = by_labels(world.ask("{ } | rate() by (name) > 0.5"))
    want = {k: {t: v for t, v in s.items() if v > 0.5} for k, s in by_labels(world.ask("{ } | rate() by (name)")).items()}
    assert got == {k: s for k, s in want.items() if s}
    failed, every = (by_labels(world.ask(q + " | rate() by (resource.service.name)")) for q in ("{ status = error }", "{ }"))
    share = by_labels(world.ask("({ status = error } | rate() by (resource.service.name)) / ({ } | rate() by (resource.service.name))"))
    assert share == {k: {t: failed[k][t] / v for t, v in s.items() if v} for k, s in every.items()} and len(share) == 3
    percent, = by_labels(world.ask("({ status = error } | count_over_time()) / ({ } | count_over_time()) * 100 >= 0")).values()
    assert percent and all(0 <= v <= 100 for v in percent.values())
    none, = by_labels(world.ask('({ name = "nothing" } | rate()) / ({ } | rate())')).values()
    assert set(none.values()) == {0}


def test_compare(world):
    for spans, keep in (("{ }", EVERY), ('{ name = "charge" } > { }', COUNTS[13][1])):
        got = by_labels(world.ask(spans + " | compare({ status = error }, 2)"))
        mine = [s for s in world.spans if keep(s) and world.step_of(s) is not None]
        totals = {side: sum(s.failed == (side == "selection") for s in mine) for side in ("baseline", "selection")}
        for side, failed in (("baseline", False), ("selection", True)):
            tiers = {}
            for s in mine:
                if s.failed == failed and "tier" in s.attrs:
                    tiers[s.attrs["tier"]] = tiers.get(s.attrs["tier"], 0) + 1
            for tier, n in tiers.items():
                assert sum(got[(("__meta_type", side), ("span.tier", tier))].values()) == n
            assert sum(got[(("__meta_type", side + "_total"), ("span.tier", "nil"))].values()) == sum(tiers.values())
            assert sum(got[(("__meta_type", side + "_total"), ("resource.service.name", "nil"))].values()) == totals[side]
            assert sum(1 for k in got if k[0] == ("__meta_type", side) and k[1][0] == "resource.service.name") == 2  # topN
        assert not any(k[1][0] == "duration" for k in got)
    t = world.base + 300 * S
    got = by_labels(world.ask(f"{{ }} | compare({{ status = error }}, 10, {world.base}, {t})"))
    assert sum(got[(("__meta_type", "selection"), ("status", "error"))].values()) == sum(
        s.failed and world.base <= s.start < t and world.step_of(s) is not None for s in world.spans)


def test_exemplars(world):
    spans = {(f"{s.context.trace_id:032x}", f"{s.context.span_id:016x}"): s for s in world.spans}
    for q, n, value in (("{ } | rate() by (resource.service.name)", 100, lambda s: s.duration / S), ("{ } | rate()", 20, lambda s: s.duration / S),
                        ("{ } | quantile_over_time(duration, .5, .99)", 50, lambda s: s.duration / S),
                        ("{ } | max_over_time(span.rows)", 10, lambda s: s.attrs["rows"]),
                        ('{ name = "charge" } >> { } | count_over_time()', 10, lambda s: s.duration / S)):
        answer = world.ask(q, exemplars=n)
        found = [(series, e) for series in answer["series"] for e in series.get("exemplars", [])]
        assert n // 2 <= len(found) <= n, (q, len(found))
        for series, e in found:
            ids = {l["key"]: l["value"]["stringValue"] for l in e["labels"]}
            s = spans[(ids["trace:id"], ids["span:id"])]
            assert int(e["timestampMs"]) == s.start // MS and math.isclose(e["value"], value(s)), q
            if series["labels"][0]["key"] == "resource.service.name":
                assert series["labels"][0]["value"]["stringValue"] == s.service
        traces = [label(e["labels"][0]["value"]) for _, e in found]
        assert len(set(traces)) == len(traces), q
        stamps = [int(e["timestampMs"]) for _, e in found]
        assert max(stamps) - min(stamps) > 300000, q  # spread over the window
    assert all("exemplars" not in s for s in world.ask("{ } | rate()", exemplars=0)["series"])
    assert all("exemplars" not in s for s in world.ask("{ } | rate() with (exemplars=false, sample=true)")["series"])
    assert 0 < len(world.ask("{ } | rate() with (exemplars=5)")["series"][0]["exemplars"]) <= 5


def test_shapes_and_windows(world):
    node, q = world.node, "{ } | rate() by (resource.service.name)"
    a = world.ask(q)
    assert [s["promLabels"] for s in a["series"]] == [f'{{resource.service.name="{n}"}}' for n in sorted(SERVICES)]
    assert set(a) == {"series", "metrics"} and int(a["metrics"]["inspectedSpans"]) >= len(world.spans)
    form = urllib.parse.urlencode({"q": q, "start": world.start, "end": world.end, "step": "30s"})
    b = node.post("tempo", "/api/metrics/query_range", form, "application/x-www-form-urlencoded")
    assert b.status == 200 and b.json["series"] == a["series"]
    iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(world.start))
    assert world.ask(q, start=iso, end=world.end * S, step="0.5m")["series"] == a["series"]
    one = world.ask("{ } | count_over_time()", "query")
    inside = sum(world.start * S <= s.start <= world.end * S for s in world.spans)
    assert one["series"][0]["value"] == inside and set(one) == {"series", "metrics"} and set(one["series"][0]) == {"labels", "value"}
    rate = world.ask("{ } | rate()", "query")["series"][0]["value"]
    assert math.isclose(rate, inside / (world.end - world.start))
    # The window's edges belong to the step that they close.
    edge = world.spans[0].start // S * S
    for lo, hi in ((edge - S, edge), (edge, edge + S)):
        n = sum(lo < s.start <= hi for s in world.spans)
        got, = by_labels(world.ask("{ } | count_over_time()", start=lo / S, end=hi / S, step=1)).values()
        assert got[hi / S] == n and len(got) == 2
    recent = world.ask("{ } | count_over_time()", start="", end="", since="1h", step="1m")
    assert sum(float(p["value"]) for p in recent["series"][0]["samples"]) == len(world.spans)
    few = world.ask("{ } | rate() by (name)", maxSeries=1)
    assert few["status"] == "PARTIAL" and "left out" in few["message"] and len(few["series"]) == 1
    assert node.get("tempo", "/api/metrics/query_range", tenant="other", params={
        "q": "{ } | rate() by (name)", "start": world.start, "end": world.end}).json["series"] == []


REFUSED = [  # query, a piece of the message
    ("{ } | rate(", "line 1, col 12"), ("{ }", "metrics function"), ("{ } | nothing()", "line 1"), ("", "missing"),
    ("{ } | rate() by ()", "attribute"), ("{ } | rate() by (name, kind, status, span.a, span.b, span.c)", "at most 5"),
    ("{ } | histogram_over_time(duration) by (name, kind, status, span.a, span.b)", "at most 4"),
    ("{ } | quantile_over_time(duration)", "quantile"), ("{ } | quantile_over_time(duration, 1.5)", "between 0 and 1"),
    ("{ } | quantile_over_time(duration, -1)", "between 0 and 1"), ("{ } | avg_over_time()", "expected"), ("{ } | sum_over_time(name)", "numbers"),
    ("{ } | min_over_time(1 + 2)", "attribute"), ("{ } | rate() | topk(0)", "at least 1"), ("{ } | rate() | topk(-1)", "at least 1"),
    ("{ } | rate() | { }", "topk()"), ("{ } | rate() > ", "expected"), ("{ } | rate() > \"a\"", "number"), ("5", "number alone"),
    ("({ } | rate()) % 2", "+ - * /"), ("({ } | rate()) + ", "expected"), ("({ } | rate()", "')'"), ("{ } | compare({ status = error }) | topk(2)", "compare"),
    ("({ } | compare({ status = error })) / 2", "alone"), ("{ } | compare({ duration })", "boolean"), ("{ } | compare({ }, 0)", "from 1"),
    ("{ } | compare({ }, 10, 5)", "end"), ("{ } | compare({ }, 10, 5, 4)", "after the start"), ("{ } | compare({ }) by (name)", "every attribute"),
    ("{ } | rate() with (exemplars", "'='"), ("{ duration } | rate()", "boolean"), ("{ } | rate() | rate()", "topk()"),
    ("({ } | rate()) && { }", "unexpected"), ("{ ({ } | rate()) }", "expected"), ("(" * 100 + "{ } | rate()" + ")" * 100, "deep"),
]


def test_refusals(world):
    for q, piece in REFUSED:
        for path in ("query_range", "query"):
            text = world.ask(q, path, status=400)
            assert piece in text and (not q or text.startswith("invalid TraceQL query: ")), (q, text)
    for params, piece in (({"step": 0}, "greater than 0"), ({"step": "-5s"}, "step"), ({"step": "x"}, "step"), ({"start": world.end}, "after"),
                          ({"start": "x"}, "start"), ({"end": "yesterday"}, "end"), ({"start": world.end - 86400, "step": 1}, "too small"),
                          ({"exemplars": "many"}, "exemplars"), ({"since": "x", "start": ""}, "since"), ({"start": -5}, "range")):
        assert piece in world.ask("{ } | rate()", status=400, **params), params
    a = world.node.get("tempo", "/api/search", params={"q": "{ } | rate()"})
    assert a.status == 400 and b"metrics function" in a.body and b"col 7" in a.body


def test_bounded_memory(make_node):
    """A query past its memory is refused in clear words, by columns and by traces; the node goes on."""
    node = make_node(args=["--set", "query.memory_one=8MiB"]).start()
    at = time.time_ns() - 60 * S
    assert node.post("otlp", "/v1/traces", otlp.traces("shop", range(1, 3001), at).SerializeToString(), otlp.PROTO).status == 200
    window = {"start": at // S - 9000, "end": at // S + 10, "step": 1}
    ask = lambda q, **p: node.get("tempo", "/api/metrics/query_range", params={"q": q, **window, **p})
    for q in ("{ } | rate() by (span.n)", "{ } | count() > 0 | rate() by (span.n)", "{ } | compare({ span.n > 3 }, 1000)"):
        a = ask(q)
        assert a.status == 422 and b"query.memory_one" in a.body, (q, a)
    ok = ask("{ } | count_over_time() by (name)")
    assert ok.status == 200 and sum(p["value"] for s in ok.json["series"] for p in s["samples"]) == 3000
    few = ask("{ } | rate() by (span.n)", step=9000, exemplars=0)
    assert few.status == 200 and few.json["status"] == "PARTIAL" and few.json["message"].startswith("2000 series")


def test_both_backends_agree(worlds, uring_reason):
    """The same spans on the other backend give the same series, exemplars too (they depend on the spans alone; of two that start in
    the same instant it may be either)."""
    if uring_reason:
        pytest.skip("io_uring is refused here")
    w = worlds(11, "epoll")
    same(by_labels(w.ask("{ } | rate() by (name)")), model(w, EVERY, grouped(("name", lambda s: s.name)), lambda spans: len(spans) / STEP, 0), "rate")
    first = w.ask("{ } | quantile_over_time(duration, .9) by (name)")
    w.node.stop()
    w.node.args = ["--set", "node.cores=1"]
    w.node.start()  # one reactor owns what two did, and the memtable comes back from the log
    def told(answer):
        return [dict(s, exemplars=[x["timestampMs"] for x in s["exemplars"]]) for s in answer["series"]]
    assert told(w.ask("{ } | quantile_over_time(duration, .9) by (name)")) == told(first)
