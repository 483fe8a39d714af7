"""Range functions over days: the same answers from memory, where samples are read, and from segments, whose blocks know."""
import json
import math
import random
import time
import urllib.parse

import otlp
import prompb
from node import eventually

STEP_MS = 15000
SAMPLES = 3 * 24 * 240
FUNCTIONS = ["rate", "increase", "delta", "sum_over_time", "avg_over_time", "count_over_time", "min_over_time", "max_over_time",
             "first_over_time", "last_over_time", "present_over_time"]


def series(end_ms):
    """A counter that begins anew now and then, a gauge of two decimals, one with a NaN a day, one that never changes."""
    rnd, start = random.Random(7), end_ms - SAMPLES * STEP_MS
    counter, out = 0, {"c_total": [], "gauge": [], "odd": [], "still": []}
    for i in range(SAMPLES):
        t = start + i * STEP_MS
        counter = 0 if rnd.random() < 0.0005 else counter + rnd.randrange(50)
        out["c_total"].append((t, counter))
        out["gauge"].append((t, rnd.randrange(20000) / 100))
        out["odd"].append((t, math.nan if i % 5760 == 77 else rnd.random()))
        out["still"].append((t, 3))
    return out


def ask(node, query, path="query", **times):
    r = node.get("prom", f"/api/v1/{path}?" + urllib.parse.urlencode({"query": query, **times}))
    assert r.status == 200, r
    return json.loads(r.body)["data"]["result"]


def answers(node, end):
    out = {}
    for fn in FUNCTIONS:
        for name in "c_total", "gauge", "odd", "still":
            for window in "17h", "2d", "61h7m":
                q = f"{fn}({name}[{window}])"
                out[q] = ask(node, q, time=end)
                out[q + " range"] = ask(node, q, "query_range", start=end - 86400, end=end, step=3456)
    return out


def flat(result):
    return {json.dumps(s["metric"], sort_keys=True): [(t, float(v)) for t, v in s.get("values", [s.get("value")])] for s in result}


def test_blocks_answer_as_samples_do(make_node):
    node = make_node(args=["--set", "storage.seal_age=1h"]).start()
    end = int(time.time()) // 15 * 15
    headers = {"content-type": otlp.PROTO, "content-encoding": "snappy"}
    for name, samples in series(end * 1000).items():
        for i in range(0, SAMPLES, 4000):
            assert node.post("prom", "/api/v1/write", prompb.write_request([({"__name__": name}, samples[i:i + 4000])]), headers=headers).status == 204
    before = answers(node, end - 20)
    node.stop()
    node.args = ["--set", "storage.seal_age=300ms"]
    node.start()
    metrics = lambda: node.get("prom", "/metrics").body.decode()  # noqa: E731
    assert eventually(lambda: "\ntercet_memtable_bytes 0\n" in metrics() and "\ntercet_seals_total 0\n" not in metrics())
    after = answers(node, end - 20)
    r = node.get("prom", "/api/v1/query?" + urllib.parse.urlencode({"query": "rate(c_total[2d])", "time": end, "stats": "all"}))
    loaded = json.loads(r.body)["data"]["stats"]["samples"]["samplesRead"]
    assert 0 < loaded < 2500, loaded  # of 11,520
    assert before.keys() == after.keys()
    for q, want in before.items():
        want, got = flat(want), flat(after[q])
        assert want.keys() == got.keys() and len(want) == 1, q
        for s, points in want.items():
            assert [t for t, _ in points] == [t for t, _ in got[s]], (q, s)
            for (_, x), (_, y) in zip(points, got[s]):
                assert x == y or math.isnan(x) and math.isnan(y) or math.isclose(x, y, rel_tol=1e-11), (q, s, x, y)
