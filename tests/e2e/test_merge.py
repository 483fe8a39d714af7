"""Merging in a node: many small segments become few, and every language answers as before, over a kill and a restart."""
import time

import otlp
from node import eventually

ROUNDS = 24
SMALL = ["--set", "node.cores=2", "--set", "storage.merge=false", "--set", "storage.seal_age=150ms"]
MERGING = ["--set", "node.cores=2", "--set", "storage.seal_age=1h"]


def metric(node, name):
    for line in node.get("prom", "/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def send(node, path, rq):
    a = node.post("otlp", path, rq.SerializeToString(), otlp.PROTO)
    assert a.status == 200, a


def answers(node, at):
    end = at / 1e9 + 300
    span = {"start": int(at / 1e9) - 60, "end": int(end)}
    by_name = node.get("tempo", "/api/metrics/query_range", params={"q": "{ } | count_over_time() by (name)", "step": "1h", **span})
    assert by_name.status == 200, by_name
    one = node.get("tempo", f"/api/traces/{7:032x}")
    assert one.status == 200, one
    return {
        "series": sorted((r["metric"]["n"], r["value"][1]) for r in node.query("sum by (n) (sum_over_time(level[1h]))", at=end)),
        "samples": node.query("sum(count_over_time(level[1h]))", at=end)[0]["value"][1],
        "spans": sorted((s["promLabels"], sum(float(x.get("value", 0)) for x in s["samples"])) for s in by_name.json["series"]),
        "found": sorted(t["traceID"] for t in node.search("{ span.n = 33 || span.n = 40 }", **span)),
        "trace": len(one.json["batches"]),
        "logs": node.logs("service_name:merge", max_hits=1)["num_hits"],
        "needle": [h["body"] for h in node.logs('body:"number 105"', max_hits=5)["hits"]],
    }


def test_small_segments_are_merged_and_answers_stay(make_node):
    node = make_node(args=SMALL).start()
    at = time.time_ns()
    for i in range(ROUNDS):
        numbers = range(1 + i * 10, 11 + i * 10)
        send(node, "/v1/traces", otlp.traces("merge", list(numbers), start_ns=at + i * 10**9))
        send(node, "/v1/logs", otlp.logs("merge", numbers, at_ns=at))
        send(node, "/v1/metrics", otlp.gauge("merge", "level", {n: n + i for n in range(12)}, at_ns=at + i * 10**9))
        time.sleep(0.3)
    assert eventually(lambda: metric(node, "tercet_segments") >= ROUNDS)
    before = answers(node, at)
    assert before["samples"] == str(12 * ROUNDS) and before["logs"] == 10 * ROUNDS and len(before["found"]) == 2
    many = metric(node, "tercet_segments")
    node.kill()
    node.args = MERGING
    node.start()
    assert eventually(lambda: 0 < metric(node, "tercet_segments") <= 14), (many, metric(node, "tercet_segments"))
    assert metric(node, "tercet_merged_segments_total") > many / 2
    assert answers(node, at) == before
    node.kill()
    node.start()
    assert answers(node, at) == before
    assert eventually(lambda: 0 < metric(node, "tercet_segments") <= 14)
