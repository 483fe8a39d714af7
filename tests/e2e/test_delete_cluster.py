"""Deleting over three nodes: through any of them, seen at once on all, exact, also on a node that was away, after kill -9 of each."""
import os
import time

import pytest

import otlp
from node import Cluster, eventually
from test_disk import metric
from test_delete import delete_series, docs, found, make_index, send, series, with_exemplar


@pytest.fixture
def three(tmp_path):
    with Cluster(tmp_path, 3) as c:
        yield c.start()


def live(node):
    """Deletions that are not over."""
    for line in node.get("prom", "/metrics").body.decode().splitlines():
        if line.startswith("tercet_cluster_deletions "):
            return int(float(line.split()[1]))
    raise AssertionError("no tercet_cluster_deletions")


def restart_all(three):
    for node in three.nodes:
        node.kill()
        node.start()
    three.wait_members(3)


def test_series_and_exemplars_through_any_node(three):
    now = time.time_ns() // 10**9 * 10**9

    def names(match):
        return [series(node, match) for node in three.nodes]

    def exemplars(name):
        out = []
        for node in three.nodes:
            a = node.get("prom", "/api/v1/query_exemplars", params={"query": name, "start": now / 1e9 - 600, "end": now / 1e9 + 600})
            assert a.status == 200, a
            out.append(sorted(int(x["labels"]["trace_id"], 16) for s in a.json["data"] for x in s["exemplars"]))
        return out

    for i in range(30):
        send(three[i % 3], "metrics", with_exemplar("wait", 100 + i, now - i * 10**9))
        send(three[i % 3], "metrics", otlp.gauge("shop", "seen", {n: n for n in range(i * 3, i * 3 + 3)}))
    all_seen = sorted(str(n) for n in range(90))
    assert names("seen") == [all_seen] * 3
    a = delete_series(three[1], **{"match[]": ['seen{n=~"[0-4]."}']})
    assert a.status == 204, a
    kept = sorted(str(n) for n in range(90) if not 10 <= n <= 49)
    assert names("seen") == [kept] * 3
    assert delete_series(three[2], **{"match[]": "wait_seconds_bucket", "start": now / 1e9 - 19, "end": now / 1e9 - 10}).status == 204
    left = [100 + i for i in range(30) if not 10 <= i <= 19]
    assert exemplars("wait_seconds_bucket") == [left] * 3
    send(three[0], "metrics", otlp.gauge("shop", "seen", {30: 1}))  # what comes later is seen
    kept = sorted(kept + ["30"])
    assert names("seen") == [kept] * 3
    restart_all(three)
    assert names("seen") == [kept] * 3 and exemplars("wait_seconds_bucket") == [left] * 3


def test_documents_through_any_node(three):
    elasticsearch = pytest.importorskip("elasticsearch")
    a, b, c = three.nodes
    make_index(a, "books")
    for i in range(10):
        docs(three[i % 3], "books", range(i * 10, i * 10 + 10))
    assert [found(n, "books") for n in three.nodes] == [list(range(100))] * 3
    made = b.post("quickwit", "/api/v1/books/delete-tasks", {"query": "kind:even AND n:[10 TO 49]"})
    assert made.status == 200, made

    def finished(node):
        tasks = node.get("quickwit", "/api/v1/books/delete-tasks").json
        return tasks if tasks and all(t["state"] == "done" for t in tasks) else None

    for node in three.nodes:  # every node lists it, under one number
        tasks = eventually(lambda: finished(node))
        assert [t["opstamp"] for t in tasks] == [made.json["opstamp"]], tasks
        assert eventually(lambda: finished(node)[0]["deleted_rows"] == 20)
    left = [n for n in range(100) if n % 2 or not 10 <= n <= 49]
    assert [found(n, "books") for n in three.nodes] == [left] * 3
    docs(c, "books", [20])
    left = sorted(left + [20])
    assert [found(n, "books") for n in three.nodes] == [left] * 3
    es = elasticsearch.Elasticsearch(c.url("quickwit", "/api/v1/_elastic"), retry_on_timeout=False, max_retries=0)
    assert es.delete_by_query(index="books", query={"range": {"n": {"gte": 60}}})["deleted"] == 40
    left = [n for n in left if n < 60]
    assert [found(n, "books") for n in three.nodes] == [left] * 3
    r = es.delete_by_query(index="books", query={"term": {"kind": "odd"}}, wait_for_completion=False)
    assert eventually(lambda: es.tasks.get(task_id=r["task"])["completed"])
    left = [n for n in left if n % 2 == 0]
    assert [found(n, "books") for n in three.nodes] == [left] * 3
    restart_all(three)
    assert [found(n, "books") for n in three.nodes] == [left] * 3
    # The index as a whole, and what is made again under its name.
    assert a.request("DELETE", "quickwit", "/api/v1/indexes/books").status == 200
    assert [n.get("quickwit", "/api/v1/books/search", params={"query": "*"}).status for n in three.nodes] == [404] * 3
    make_index(b, "books")
    assert [found(n, "books") for n in three.nodes] == [[]] * 3


def test_spans_and_logs_while_one_is_away(three):
    now = time.time_ns()
    a, b, c = three.nodes
    for i in range(12):
        send(three[i % 3], "traces", otlp.traces("shop", range(i * 10 + 1, i * 10 + 11), now))
        send(three[i % 3], "logs", otlp.logs("shop", range(i * 10, i * 10 + 10), now))

    def spans(node):
        got = node.get("tempo", "/api/metrics/query", params={"q": '{ resource.service.name = "shop" } | count_over_time()', "since": "1h"})
        assert got.status == 200, got
        return sum(s.get("value", 0) for s in got.json["series"])

    def logs(node):
        return node.logs("*")["num_hits"]

    c.kill()
    three.wait_state(c, "dead")
    # Written while it was away, and deleted: it comes to know of the rows and of their deletion.
    send(a, "logs", otlp.logs("shop", range(120, 140), now))
    made = a.post("ui", "/api/delete", {"signal": "spans", "query": '{ resource.service.name = "shop" && span.even = true }'})
    assert (made.status, made.json["state"], made.json["rows"]) == (200, "done", 60), made
    made = b.post("ui", "/api/delete", {"signal": "logs", "query": "attributes.n:[100 TO 129]"})
    assert (made.status, made.json["state"]) == (200, "done"), made
    assert [spans(n) for n in (a, b)] == [60, 60] and [logs(n) for n in (a, b)] == [110, 110]
    # Fewer than the quorum: it is recorded, if at all, and not promised.
    b.kill()
    three.wait_state(b, "dead", seen_by=[a])
    made = a.post("ui", "/api/delete", {"signal": "logs", "query": "attributes.n:[0 TO 9]"})
    assert made.status == 503 and made.json["error"], made
    b.start()
    c.start()
    three.wait_members(3)
    for node in three.nodes:
        assert spans(node) == 60 and logs(node) in (110, 100)  # never what was deleted
    for node in three.nodes:
        assert eventually(lambda: all(t["state"] == "done" for t in node.get("ui", "/api/delete").json["deletions"]))
    rest = logs(a)
    assert [logs(n) for n in three.nodes] == [rest] * 3
    # The one that was away answers alone with one other.
    a.kill()
    three.wait_state(a, "dead")
    assert [spans(n) for n in (b, c)] == [60, 60] and [logs(n) for n in (b, c)] == [rest, rest]
    a.start()
    three.wait_members(3)
    assert eventually(lambda: all(node.get("ui", "/api/cluster").json for node in three.nodes))
    assert all(live(n) <= 3 for n in three.nodes)


def test_all_clean_up_when_one_is_asked(three):
    """clean_tombstones is for the cluster: files of which much is deleted are written anew on every node; and it says so when one cannot be asked."""
    make_index(three[0], "worn")
    for i in range(3):
        docs(three[i], "worn", range(i * 300, i * 300 + 300), pad=os.urandom(100).hex())
    again = [metric(n, "tercet_dead_rows") for n in three.nodes]
    assert three[1].post("quickwit", "/api/v1/worn/delete-tasks", {"query": "n:[0 TO 599]"}).status == 200
    assert eventually(lambda: all(found(n, "worn") == list(range(600, 900)) for n in three.nodes))
    assert eventually(lambda: all(metric(n, "tercet_dead_rows") == 600 for n in three.nodes)), again
    a = three[2].post("prom", "/api/v1/admin/tsdb/clean_tombstones", b"")
    assert a.status == 204, a
    assert eventually(lambda: all(metric(n, "tercet_dead_rows") == 0 for n in three.nodes)), [metric(n, "tercet_dead_rows") for n in three.nodes]
    assert all(found(n, "worn") == list(range(600, 900)) for n in three.nodes)
    three[0].kill()
    three.wait_state(three[0], "dead", seen_by=three.nodes[1:])
    a = three[2].post("prom", "/api/v1/admin/tsdb/clean_tombstones", b"")
    assert a.status == 503 and f"1 of 3 nodes did not clean up, the others did: node {three[0].id}: it is dead" in a.json["error"], a
