"""What every node of a cluster has: configurations of indexes, templates and rules of retention, made on any node, used on all."""
import json
import time

import pytest

from node import Cluster, eventually

NDJSON = "application/x-ndjson"


@pytest.fixture
def three(tmp_path):
    with Cluster(tmp_path, 3) as c:
        yield c.start()


def config(name, **more):
    return {"version": "0.8", "index_id": name, "doc_mapping": {"mode": "dynamic"}, **more}


def create(node, name, **more):
    return node.post("quickwit", "/api/v1/indexes", config(name, **more))


def ids(node):
    a = node.get("quickwit", "/api/v1/indexes")
    assert a.status == 200, a
    return sorted(i["index_config"]["index_id"] for i in a.json if not i["index_config"]["index_id"].startswith("otel-"))


def ingest(node, index, *docs):
    a = node.post("quickwit", f"/api/v1/{index}/ingest", "".join(json.dumps(d) + "\n" for d in docs), NDJSON)
    assert a.status == 200, a


def hits(node, index, query="*"):
    a = node.get("quickwit", f"/api/v1/{index}/search", params={"query": query})
    assert a.status == 200, a
    return a.json["num_hits"]


def rules(node):
    a = node.get("ui", "/api/retention")
    assert a.status == 200, a
    return sorted(json.dumps(r, sort_keys=True) for r in a.json["rules"])


def docs(node):
    a = node.get("ui", "/api/cluster/docs")
    assert a.status == 200, a
    return a.json


def versions(node):
    return sorted((d["kind"], d["key"], d["version"]["clock"], d["version"]["node"], d["deleted"]) for d in docs(node)["docs"])


def test_made_on_one_node_used_on_all(three):
    a, b, c = three.nodes
    for i, node in enumerate(three.nodes):  # at once on all of them, whichever made it
        assert create(node, f"books{i}").status == 200
        for other in three.nodes:
            assert f"books{i}" in ids(other)
    assert create(b, "books0").status == 400
    ingest(b, "books0", {"title": "one"}, {"title": "two"})
    assert [hits(n, "books0") for n in three.nodes] == [2, 2, 2]
    assert hits(c, "books0", "title:one") == 1

    # Emptied, overwritten and deleted, each on another node.
    assert b.request("PUT", "quickwit", "/api/v1/indexes/books0/clear").status == 200
    assert [hits(n, "books0") for n in three.nodes] == [0, 0, 0]
    ingest(c, "books0", {"title": "three"})
    assert [hits(n, "books0") for n in three.nodes] == [1, 1, 1]
    assert c.request("DELETE", "quickwit", "/api/v1/indexes/books0").status == 200
    assert [n.get("quickwit", "/api/v1/indexes/books0").status for n in three.nodes] == [404, 404, 404]

    # An index that a template makes at the first document, on any node.
    t = {"version": "0.8", "template_id": "some", "index_id_patterns": ["made-*"], "priority": 1, "doc_mapping": {"mode": "dynamic"}}
    assert a.post("quickwit", "/api/v1/templates", t).status == 200
    ingest(b, "made-1", {"n": 1})
    assert [hits(n, "made-1") for n in three.nodes] == [1, 1, 1]

    assert eventually(lambda: versions(a) == versions(b) == versions(c), 10)
    assert docs(a)["conflicts"] == 0
    assert {(d["kind"], d["key"], d["deleted"]) for d in docs(c)["docs"]} == {
        ("index", "anonymous/books0", True), ("index", "anonymous/books1", False), ("index", "anonymous/books2", False),
        ("index", "anonymous/made-1", False), ("template", "anonymous/some", False)}


def test_rules_of_retention(three):
    a, b, c = three.nodes
    put = lambda node, **rule: node.request("PUT", "ui", "/api/retention", body=json.dumps(rule).encode())
    assert put(a, signal="logs", age="30d").status == 200
    assert put(b, signal="metrics", matcher='{job="batch"}', age="7d").status == 200
    assert create(c, "books", retention={"period": "3 days"}).status == 200
    assert create(c, "other").status == 200
    assert put(a, index="other", age="9d").status == 200
    assert len(rules(a)) == 4 and rules(a) == rules(b) == rules(c)
    assert b.request("PUT", "quickwit", "/api/v1/indexes/other/clear").status == 200
    assert len(rules(a)) == 4 and rules(a) == rules(b) == rules(c)
    assert put(c, signal="logs", age=None).status == 200
    assert b.request("DELETE", "quickwit", "/api/v1/indexes/books").status == 200
    assert len(rules(a)) == 2 and rules(a) == rules(b) == rules(c)
    for node in three.nodes:
        node.restart()
    three.wait_members(3)
    assert len(rules(a)) == 2 and rules(a) == rules(b) == rules(c)


def test_a_node_that_was_away(three):
    a, b, c = three.nodes
    assert create(a, "before").status == 200
    ingest(a, "before", {"n": 1})
    c.kill()
    three.wait_state(c, "dead", [a, b])
    assert create(b, "during").status == 200
    assert a.request("DELETE", "quickwit", "/api/v1/indexes/before").status == 200
    ingest(a, "during", {"n": 1}, {"n": 2})
    c.restart()
    assert eventually(lambda: ids(c) == ["during"], 20), ids(c)
    assert eventually(lambda: versions(a) == versions(b) == versions(c), 10)
    assert hits(c, "during") == 2
    # Alone it has no quorum, and changes nothing.
    a.kill()
    b.kill()
    started = time.monotonic()
    refused = create(c, "lonely")
    assert refused.status in (503, 504) and time.monotonic() - started < 20, refused
    three.wait_state(a, "dead", [c])
    three.wait_state(b, "dead", [c])
    refused = create(c, "lonely")
    assert refused.status == 503 and "2 are wanted" in refused.body.decode(), refused
    assert ids(c) == ["during"]


def test_alone_then_joined(tmp_path):
    """What a node had before it met others becomes theirs."""
    with Cluster(tmp_path, 2) as c:
        a, b = c.nodes
        join, a.args = a.args, []
        a.start()
        assert create(a, "old").status == 200
        ingest(a, "old", {"n": 1})
        a.stop()
        a.args = join
        c.start()
        assert eventually(lambda: ids(b) == ["old"], 20), ids(b)
        assert hits(b, "old") == 1
