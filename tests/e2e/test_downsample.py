"""Downsampled metrics: what was sampled every 15 seconds months ago is kept in windows of 5 minutes; what queries see of it, a restart, late
samples, and coarser windows later."""
import json
import random
import subprocess
import time

import otlp
import prompb
from node import BINARY, eventually
from test_long_ranges import ask

STEP_MS = 15000
SAMPLES = 2 * 24 * 240
WINDOW = 300
NAMES = ["c_total", "gauge", "other"]
FUNCTIONS = ["rate", "increase", "delta", "sum_over_time", "avg_over_time", "count_over_time", "min_over_time", "max_over_time", "first_over_time",
             "last_over_time", "present_over_time"]


def put(node, rule):
    return node.request("PUT", "ui", "/api/retention", body=json.dumps(rule).encode())


def seal(node):
    assert node.post("ui", "/api/delete", {"signal": "spans", "query": "{ name = `none` }"}).status == 200


def write(node, name, samples):
    headers = {"content-type": otlp.PROTO, "content-encoding": "snappy"}
    for i in range(0, len(samples), 4000):
        assert node.post("prom", "/api/v1/write", prompb.write_request([({"__name__": name}, samples[i:i + 4000])]), headers=headers).status == 204


def series(start_ms):
    rnd, counter, out = random.Random(5), 0, {n: [] for n in NAMES}
    for i in range(SAMPLES):
        t = start_ms + i * STEP_MS
        counter = 0 if rnd.random() < 0.001 else counter + rnd.randrange(50)
        out["c_total"].append((t, counter))
        out["gauge"].append((t, rnd.randrange(20000) / 100))
        out["other"].append((t, i))
    return out


def values(result):
    assert len(result) <= 1
    return [(t, float(v)) for r in result for t, v in r["values"]]


def answers(node, start):
    """Of ranges that begin and end with windows; the same of samples and of summaries."""
    out = {}
    for fn in FUNCTIONS:
        for name in NAMES:
            for window in "5m", "35m", "6h", "1d":
                if name == "gauge" and fn in ("rate", "increase"):
                    continue  # nobody asks for the resets of a gauge
                q = f"{fn}({name}[{window}])"
                out[q] = values(ask(node, q, "query_range", start=start, end=start + 2 * 86400, step=1800))
    return out


def close(a, b):
    assert a.keys() == b.keys()
    for q in a:
        assert [t for t, _ in a[q]] == [t for t, _ in b[q]], q
        for (t, x), (_, y) in zip(a[q], b[q]):
            assert abs(x - y) <= 1e-9 * (abs(x) + abs(y)) + 1e-9, (q, t, x, y)


def infos(node, query, **times):
    return node.get("prom", "/api/v1/query", params={"query": query, **times}).json.get("infos", [])


def inspect(node):
    out = 0
    for path in subprocess.run(["find", node.data, "-name", "*.seg"], capture_output=True, text=True).stdout.split():
        r = subprocess.run([BINARY, "segment", "inspect", "--json", path], capture_output=True, text=True)
        if r.returncode == 0:
            out += sum(s.get("summaries", 0) for s in json.loads(r.stdout)["sets"])
    return out


def test_old_samples_become_summaries(make_node):
    node = make_node(args=["--set", "node.cores=1", "--set", "storage.seal_age=1h"]).start()
    start = (int(time.time()) - 40 * 86400) // 86400 * 86400
    for name, samples in series(start * 1000 + 7000).items():
        write(node, name, samples)
    seal(node)
    before = answers(node, start)
    assert infos(node, "rate(c_total[1h])", time=start + 86400) == []
    bad = [[{"after": "30d"}], [{"after": "30d", "resolution": "0s"}], [{"after": "1m", "resolution": "5m"}], [{"after": "30d", "resolution": "2d"}],
           [{"after": "30d", "resolution": "1h"}, {"after": "60d", "resolution": "5m"}], [{"after": "2y", "resolution": "5m"}], [5], "30d:5m"]
    for levels in bad:
        assert put(node, {"signal": "metrics", "age": "1y", "downsample": levels}).status == 400, levels
    assert put(node, {"signal": "logs", "age": "1y", "downsample": [{"after": "30d", "resolution": "5m"}]}).status == 400
    assert put(node, {"signal": "metrics", "matcher": "other", "age": "1y"}).status == 200  # these stay as they are
    a = put(node, {"signal": "metrics", "age": "1y", "downsample": [{"after": "30d", "resolution": "5m"}]})
    assert a.status == 200 and a.json["rules"][1] == {"signal": "metrics", "age_seconds": 31536000,
                                                      "downsample": [{"after_seconds": 2592000, "resolution_seconds": 300}]}, a
    at = start + 86400
    assert eventually(lambda: infos(node, "rate(c_total[1h])", time=at))
    assert infos(node, "c_total", time=at) == ["PromQL info: downsampled data was used, of a resolution of up to 300s"]
    assert infos(node, "other", time=at) == [] and "downsampled" not in str(infos(node, "rate(other[1h])", time=at))
    assert inspect(node) == 2 * SAMPLES // 20
    after = answers(node, start)
    close(before, after)

    # a graph of single values has no holes, and short ranges have answers too
    for q in "gauge", "c_total", "rate(c_total[1m])", "quantile_over_time(0.5, gauge[10m])":
        got = values(ask(node, q, "query_range", start=at, end=at + 3600, step=15))
        assert len(got) == 241, (q, len(got))
    node.kill()
    node.start()
    close(before, answers(node, start))

    # a sample that comes late counts; and still does when it was taken in, by coarser windows
    late = at + 3607
    write(node, "gauge", [(late * 1000 + 1, 1000)])
    count = f"count_over_time(gauge[{WINDOW}s])"
    assert ask(node, count, time=at + 3900)[0]["value"][1] == "21"
    seal(node)
    assert ask(node, "max_over_time(gauge[5m])", time=at + 3900)[0]["value"][1] == "1000"
    levels = [{"after": "30d", "resolution": "5m"}, {"after": "35d", "resolution": "1h"}]
    assert put(node, {"signal": "metrics", "age": "1y", "downsample": levels}).status == 200
    assert eventually(lambda: "3600s" in str(infos(node, "rate(c_total[1h])", time=at)))
    assert float(ask(node, "sum(count_over_time(gauge[2d]))", time=start + 2 * 86400)[0]["value"][1]) >= SAMPLES
    hours = {q: v for q, v in before.items() if "[1d]" in q and "gauge" not in q}
    again = answers(node, start)
    for q in hours:
        x, y = dict(hours[q]), dict(again[q])
        for t in x:
            if t % 3600 == 0:
                assert abs(x[t] - y[t]) <= 1e-9 * (abs(x[t]) + abs(y[t])) + 1e-9, (q, t, x[t], y[t])
    # and goes with the rule's age
    assert put(node, {"signal": "metrics", "age": "36d", "downsample": [{"after": "30d", "resolution": "5m"}]}).status == 200
    assert ask(node, "c_total", time=at) == [] and len(ask(node, "other", time=at)) == 1
