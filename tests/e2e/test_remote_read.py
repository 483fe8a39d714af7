"""Remote read, plain and streamed, and federation: Prometheus' own decoders and a real Prometheus on the other side."""
import json
import math
import os
import shutil
import struct
import subprocess
import time

import pytest

import prompb
from node import ROOT, eventually
from promserver import PromServer

HERE = os.path.join(os.path.dirname(__file__), "remote-read")
SNAPPY = {"content-encoding": "snappy"}
PROTO = "application/x-protobuf"
EQ, NEQ, RE, NRE = range(4)
SAMPLES, STREAMED = 0, 1
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def bits(v):
    return struct.pack(">d", v).hex()


def floats():
    """Values that the bits of chunks find hard: repeats, signs, NaNs with payloads, wide and narrow windows."""
    odd = [0.0, -0.0, 1.0, 1.0, 1.5, math.inf, -math.inf, math.nan, STALE, 5e-324, 1.7976931348623157e308, 123456789.123456, -1.0]
    return [(i, odd[i % len(odd)] if i % 3 else i * 0.1) for i in range(400)]


def times(now):
    """A second apart, then jitter, gaps of minutes, hours and days: all classes of differences."""
    t, out = now - 40 * 86400_000, []
    for i in range(400):
        out.append(t)
        t += 1000 + (i * 7919) % 30 + (60_000 if i % 50 == 49 else 0) + (3_600_000 if i % 100 == 60 else 0) + (86_400_000 * 3 if i == 250 else 0)
    return out


def histogram(t, k):
    kinds = [
        dict(count_int=10 + k, sum=5.5, schema=2, zero_threshold=2**-128, zero_count_int=1 + k, positive_deltas=[2, 1, -1],
             positive_spans=[prompb.BucketSpan(offset=-3, length=2), prompb.BucketSpan(offset=300, length=1)],
             negative_spans=[prompb.BucketSpan(offset=0, length=1)], negative_deltas=[2]),
        dict(count_float=7.5, sum=-2.25, schema=-1, zero_threshold=0.001, zero_count_float=2.5, positive_counts=[1.25, 3.75],
             positive_spans=[prompb.BucketSpan(offset=5, length=2)], reset_hint=3),
        dict(count_int=6, sum=20.0, schema=-53, positive_deltas=[1, 1, 1], positive_spans=[prompb.BucketSpan(offset=0, length=3)],
             custom_values=[0.5, 1e9]),
        dict(sum=STALE),
    ]
    return prompb.Histogram(timestamp=t, **kinds[k % 4])


@pytest.fixture
def filled(node):
    now = int(time.time() * 1000)
    at = times(now)
    request = prompb.WriteRequest()
    one = request.timeseries.add(labels=prompb.labels(__name__="odd", job="a"))
    for (i, v), t in zip(floats(), at):
        one.samples.add(value=v, timestamp=t)
    two = request.timeseries.add(labels=prompb.labels(__name__="shapes", job="a"))
    for k in range(8):
        two.histograms.append(histogram(at[k], k))
    three = request.timeseries.add(labels=prompb.labels(__name__="mixed", job="b"))
    for i in range(300):
        if i % 100 == 50:
            three.histograms.append(histogram(at[i], 0))
        else:
            three.samples.add(value=i, timestamp=at[i])
    for i in range(3):
        request.timeseries.add(labels=prompb.labels(**{"__name__": "recent", "job": "c", "n": str(i)})).samples.add(
            value=i + 0.5, timestamp=now - 1000)
    request.timeseries.add(labels=prompb.labels(**{"__name__": "dotted.name", "odd.name": 'q"\\\n'})).samples.add(value=7, timestamp=now - 1000)
    request.timeseries.add(labels=prompb.labels(__name__="recent", job="gone")).samples.add(value=STALE, timestamp=now - 1000)
    request.timeseries.add(labels=prompb.labels(__name__="recent_shape", job="c", instance="i")).histograms.append(histogram(now - 1000, 0))
    request.timeseries.add(labels=prompb.labels(__name__="recent_custom", job="c", instance="i")).histograms.append(histogram(now - 1000, 2))
    a = node.post("prom", "/api/v1/write", prompb.snappy(request), PROTO, headers=SNAPPY)
    assert a.status in (200, 204), a
    return node, request, at


def read(node, queries, accept=(SAMPLES,)):
    rq = prompb.ReadRequest(accepted_response_types=accept)
    for start, end, *matchers in queries:
        q = rq.queries.add(start_timestamp_ms=start, end_timestamp_ms=end)
        for kind, name, value in matchers:
            q.matchers.add(type=kind, name=name, value=value)
    return node.post("prom", "/api/v1/read", prompb.snappy(rq), PROTO, headers=SNAPPY)


def plain(answer):
    assert answer.status == 200 and answer.headers["content-type"] == PROTO and answer.headers["content-encoding"] == "snappy", answer
    return prompb.ReadResponse.FromString(prompb.unsnappy(answer.body)).results


def by_name(result):
    return {next(x.value for x in s.labels if x.name == "__name__"): s for s in result.timeseries}


def counts(h):
    """Absolute counts of a histogram's buckets, whatever form they travelled in; empty ones left out."""
    def side(spans, deltas, numbers):
        at, running, out, i = 0, 0, {}, 0
        for s in spans:
            at += s.offset
            for _ in range(s.length):
                running = running + deltas[i] if deltas else numbers[i]
                if running:
                    out[at] = running
                at, i = at + 1, i + 1
        return out
    return (h.schema, h.zero_threshold, h.count_int or h.count_float, h.zero_count_int or h.zero_count_float, bits(h.sum), list(h.custom_values),
            side(h.positive_spans, h.positive_deltas, h.positive_counts), side(h.negative_spans, h.negative_deltas, h.negative_counts))


def test_samples(filled):
    node, sent, at = filled
    got = by_name(plain(read(node, [(0, at[-1], (RE, "__name__", "odd|shapes|mixed"))]))[0])
    assert sorted(got) == ["mixed", "odd", "shapes"]
    for s in sent.timeseries[:3]:
        name = next(x.value for x in s.labels if x.name == "__name__")
        assert [(x.timestamp, bits(x.value)) for x in got[name].samples] == [(x.timestamp, bits(x.value)) for x in s.samples]
        assert [(x.timestamp, counts(x)) for x in got[name].histograms] == [(x.timestamp, counts(x)) for x in s.histograms]
    hints = [h.reset_hint for h in got["shapes"].histograms]
    assert hints[1] == 3 and hints[5] == 3, hints


def test_ranges_and_matchers(filled):
    node, _, at = filled
    results = plain(read(node, [
        (at[10], at[19], (EQ, "__name__", "odd")),
        (at[10] + 1, at[19] - 1, (EQ, "__name__", "odd"), (NEQ, "job", "b")),
        (0, at[-1], (EQ, "__name__", "mixed"), (NRE, "job", "b|c")),
        (0, at[-1], (EQ, "__name__", "nothing")),
    ]))
    assert [len(r.timeseries) for r in results] == [1, 1, 0, 0]
    assert [x.timestamp for x in results[0].timeseries[0].samples] == at[10:20]
    assert [x.timestamp for x in results[1].timeseries[0].samples] == at[11:19]


def test_refusals(filled):
    node, _, at = filled
    for status, answer in [
        (400, node.post("prom", "/api/v1/read", b"no snappy", PROTO, headers=SNAPPY)),
        (400, node.post("prom", "/api/v1/read", prompb.snappy(prompb.Label(name="x")) + b"", PROTO, headers=SNAPPY)),
        (400, read(node, [(0, 1, (RE, "job", "("))])),
        (400, read(node, [(0, 1, (9, "job", "x"))])),
        (400, read(node, [(1, 0, (EQ, "job", "x"))])),
        (400, read(node, [(0, 1, (EQ, "job", "x"))], accept=[7])),
        (400, read(node, [(0, 1, *[(EQ, "job", "x")] * 65)])),
    ]:
        assert answer.status == status and answer.json["status"] == "error" and answer.json["error"], answer
    assert len(plain(read(node, []))) == 0
    # An unknown form beside a known one is passed over; what is asked for first is taken.
    assert plain(read(node, [(0, at[-1], (EQ, "job", "a"))], accept=[7, SAMPLES, STREAMED]))


@pytest.fixture(scope="module")
def decoder():
    tool = subprocess.run([os.path.join(ROOT, "demo/lib/tool"), "go"], capture_output=True, text=True)
    if tool.returncode:
        pytest.skip("no Go: " + tool.stderr[-300:])
    out = os.path.join(ROOT, "build", "remote-read")
    p = subprocess.run([tool.stdout.strip(), "build", "-o", out, "."], cwd=HERE, capture_output=True, text=True,
                       env=dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly"))
    assert p.returncode == 0, p.stderr
    return out


def test_streamed_chunks(filled, decoder):
    node, sent, at = filled
    queries = [(0, at[-1], (EQ, "job", "a")), (at[50], at[249], (EQ, "__name__", "mixed"))]
    answer = read(node, queries, accept=[STREAMED, SAMPLES])
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
    p = subprocess.run([decoder], input=answer.body, capture_output=True, timeout=30)
    assert p.returncode == 0, p.stderr
    odd, shapes, mixed = json.loads(p.stdout)
    assert [s["labels"] for s in (odd, shapes, mixed)] == [{"__name__": "odd", "job": "a"}, {"__name__": "shapes", "job": "a"},
                                                          {"__name__": "mixed", "job": "b"}]
    assert [s["query"] for s in (odd, shapes, mixed)] == [0, 0, 1]
    assert odd["floats"] == [[x.timestamp, bits(x.value)] for x in sent.timeseries[0].samples] and odd["chunks"] == 4
    assert mixed["floats"] == [[at[i], bits(float(i))] for i in range(50, 250) if i % 100 != 50]
    assert [t for t, _ in mixed["hists"]] == [at[50], at[150]]
    assert [t for t, _ in shapes["hists"]] == at[:8]
    assert [h for _, h in shapes["hists"][:3]] == [
        "{{schema:2 count:10 sum:5.5 z_bucket:1 z_bucket_w:2.938735877055719e-39 offset:-3 buckets:[2 3" + " 0" * 300 + " 2] n_buckets:[2]}}",
        "{{schema:-1 count:7.5 sum:-2.25 z_bucket:2.5 z_bucket_w:0.001 counter_reset_hint:gauge offset:5 buckets:[1.25 3.75]}}",
        "{{schema:-53 count:6 sum:20 custom_values:[0.5 1e+09] buckets:[1 2 3]}}"]


READER = """
global: {{ scrape_interval: 300ms, scrape_timeout: 300ms }}
remote_read: [{{ url: "http://127.0.0.1:{node}/api/v1/read", read_recent: true }}]
scrape_configs:
- job_name: federate
  honor_labels: true
  metrics_path: /federate
  params: {{ "match[]": ['{{__name__=~"recent.*"}}', 'recent{{n="1"}}'] }}
  metric_relabel_configs: [{{ source_labels: [__name__], regex: "(recent)", target_label: __name__, replacement: "federated_$1" }}]
  static_configs: [{{ targets: ["127.0.0.1:{node}"] }}]
"""


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed: tests/lib/deps test")
def test_prometheus_reads_and_federates(filled, tmp_path):
    node, _, at = filled
    """It stores nothing of its own: it reads from the node, and scrapes its federation page."""
    reader = PromServer(tmp_path, READER, node=node.url("prom").rsplit(":", 1)[1])
    try:
        now = time.time()
        assert eventually(lambda: reader.query('recent{job="c"}', now)), reader.log_text()[-3000:]
        for promql, t in [('recent', now), ('sum by (job) (recent)', now), ('increase(mixed[10m])', at[40] / 1000),
                          ('count_over_time(mixed[1h])', at[49] / 1000), ('{__name__=~"od.*"}', at[33] / 1000)]:
            def shape(result):
                return sorted((json.dumps(x["metric"], sort_keys=True), round(float(x["value"][1]), 9)) for x in result)
            mine, theirs = shape(node.query(promql, t)), shape(reader.query(promql, t))
            assert mine == theirs and mine, promql
        got = eventually(lambda: reader.query('federated_recent', time.time()))
        assert got, reader.log_text()[-3000:]
        assert sorted((x["metric"].get("n"), x["value"][1]) for x in got) == [("0", "0.5"), ("1", "1.5"), ("2", "2.5")]
        assert all(x["metric"]["job"] == "c" and "instance" not in x["metric"] for x in got)
    finally:
        reader.stop()


def test_federation_page(filled):
    node = filled[0]
    page = node.get("prom", "/federate", params=[("match[]", '{__name__=~"recent.*"}'), ("match[]", 'recent{n="1"}')])
    assert page.status == 200 and page.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = page.body.decode().splitlines()
    assert lines[0] == "# TYPE recent untyped" and len(lines) == 4, lines  # no stale series, no histograms, each series once
    assert lines[1].startswith('recent{instance="",job="c",n="0"} 0.5 '), lines
    odd = node.get("prom", "/federate", params={"match[]": '{"dotted.name"}'}).body.decode().splitlines()
    assert odd[0] == '# TYPE "dotted.name" untyped' and odd[1].startswith('{"dotted.name",instance="","odd.name"="q\\"\\\\\\n"} 7 '), odd
    assert node.get("prom", "/federate").body == b""
    bad = node.get("prom", "/federate", params={"match[]": "recent{"})
    assert bad.status == 400 and bad.body == b"1:8: parse error: unexpected end of input inside braces\n", bad

    page = node.get("prom", "/federate", params={"match[]": '{__name__=~"recent.*"}'}, headers={"accept": (
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3")})
    assert page.headers["content-type"].startswith("application/vnd.google.protobuf")
    families, rest = [], page.body
    while rest:
        size, at, shift = 0, 0, 0
        while True:
            size |= (rest[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if rest[at - 1] < 128:
                break
        families.append(prompb.MetricFamily.FromString(rest[at:at + size]))
        rest = rest[at + size:]
    assert [(f.name, f.type, len(f.metric)) for f in families] == [("recent", 3, 3), ("recent_custom", 4, 1), ("recent_shape", 4, 1)]
    shape = families[2].metric[0].histogram
    assert (shape.schema, shape.sample_count, list(shape.positive_delta), shape.zero_count) == (2, 10, [2, 1, -1], 1)
    custom = families[1].metric[0].histogram
    assert [(b.cumulative_count, b.upper_bound) for b in custom.bucket] == [(1, 0.5), (3, 1e9), (6, math.inf)]
