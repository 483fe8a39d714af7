"""Tenants with replicas, a quorum or nodes of their own, over real processes."""
import subprocess

import pytest

import otlp
from clusters import BASE
from node import BINARY, eventually
from test_disk import metric

SETTINGS = ["--set", "cluster.tenants=single=1/1,wide=5/3"]


def send(node, tenant, numbers):
    """A service a request: so rows spread over the partitions."""
    body = otlp.logs(f"svc{numbers[0]}", numbers, at_ns=BASE).SerializeToString()
    return node.post("otlp", "/v1/logs", body, otlp.PROTO, headers={"x-scope-orgid": tenant})


def ask(node, tenant):
    """Numbers that are there, and what is said to be missing."""
    body = {"size": 0, "query": {"match_all": {}}, "aggs": {"n": {"terms": {"field": "attributes.n", "size": 60000}}}}
    a = node.post("quickwit", "/api/v1/_elastic/otel-logs-v0_9/_search", body, headers={"x-scope-orgid": tenant})
    assert a.status == 200, a
    buckets = a.json.get("aggregations", {}).get("n", {}).get("buckets", [])
    return {int(b["key"]): b["doc_count"] for b in buckets}, a.json["_shards"].get("failures")


def status(node):
    """What `tercet cluster status` prints."""
    return subprocess.run([BINARY, "cluster", "status", "--port-offset", str(node.offset)], capture_output=True, text=True, check=True).stdout


def streams_of(node, tenant=None):
    return [s for s in node.get("prom", "/api/cluster", params={"everywhere": "true"}).json["streams"] if s.get("tenant") == tenant and s["all"] > 0]


def test_replicas_by_tenant(make_cluster):
    """One copy, three and five: one node dies, and each tenant is told of its own rows alone."""
    five = make_cluster(5, args=SETTINGS).start()
    told = five[0].cluster()
    assert told["tenants"] == sorted(told["tenants"], key=lambda t: t["tenant"] != "single") or len(told["tenants"]) == 2
    assert {(t["tenant"], t["replicas"], t["write_quorum"]) for t in told["tenants"]} == {("single", 1, 1), ("wide", 5, 3)}
    for tenant in ("single", "wide", "usual"):
        for i in range(40):
            assert send(five[i % 5], tenant, range(i * 5, i * 5 + 5)).status == 200
    whole = {n: 1 for n in range(200)}
    for node in five.nodes:
        for tenant in ("single", "wide", "usual"):
            assert ask(node, tenant) == (whole, None), tenant
    assert {len(s["members"]) for s in streams_of(five[0], "single")} == {1}
    assert {len(s["members"]) for s in streams_of(five[0], "wide")} == {5}
    assert {len(s["members"]) for s in streams_of(five[0])} == {3}
    had = sum(h["batches"] for s in streams_of(five[0], "single") for h in s["have"] if h["node"] == five[4].id)
    assert had > 0, "the node that is killed has none of the tenant's rows"
    five[4].kill()
    for node in five.nodes[:4]:
        for tenant in ("wide", "usual"):
            assert ask(node, tenant) == (whole, None), tenant
        got, missing = ask(node, "single")
        assert missing and "may be missing" in str(missing), missing
        assert got.items() <= whole.items() and 0 < len(got) < 200
    for i in range(40, 48):
        assert send(five[i % 4], "wide", range(i * 5, i * 5 + 5)).status == 200
    five[3].kill()
    assert send(five[0], "wide", [1000]).status == 200, "three of five are left"
    five[2].kill()
    assert send(five[0], "wide", [1001]).status == 503
    five[4].start()
    assert eventually(lambda: send(five[0], "wide", [1001]).status == 200)
    five[2].start()
    five[3].start()
    five.wait_members(5)
    for node in five.nodes:
        assert eventually(lambda: ask(node, "single") == (whole, None)), node.data


def test_more_replicas_later(make_cluster):
    """A tenant of one copy is given three: what it had is copied, and until then is said to have fewer copies than wanted."""
    three = make_cluster(3, args=["--set", "cluster.tenants=single=1/1"]).start()
    for i in range(30):
        assert send(three[i % 3], "single", range(i * 5, i * 5 + 5)).status == 200
    for node in three.nodes:
        assert node.stop() == 0
        node.args = [a if a != "cluster.tenants=single=1/1" else "cluster.tenants=single=3/2" for a in node.args]
        node.start()
        three.wait_members(3)
    whole = {n: 1 for n in range(150)}
    streams = streams_of(three[0], "single")
    assert streams and all(s["replicas"] == 3 for s in streams)

    def copied():
        return all(sum(h["batches"] == s["all"] for h in s["have"]) == 3 for s in streams_of(three[0], "single"))
    assert eventually(copied, 120), streams_of(three[0], "single")
    three[2].kill()
    for node in three.nodes[:2]:
        assert ask(node, "single")[0] == whole


def test_few_nodes_a_tenant(make_cluster):
    """Of five nodes each tenant's rows touch three."""
    five = make_cluster(5, args=["--set", "cluster.tenant_nodes=3"]).start()
    tenants = [f"t{i}" for i in range(6)]
    for tenant in tenants:
        for i in range(10):
            assert send(five[i % 5], tenant, range(i * 5, i * 5 + 5)).status == 200
    streams = [s for s in five[0].get("prom", "/api/cluster", params={"everywhere": "true"}).json["streams"] if s["all"] > 0]
    assert all(s.get("group") and len(s["members"]) == 3 for s in streams), streams
    by_group = {}
    for s in streams:
        by_group.setdefault(s["group"], set()).update(s["members"])
    assert all(len(members) == 3 for members in by_group.values()), by_group
    assert len({tuple(sorted(m)) for m in by_group.values()}) > 1
    for node in five.nodes:
        for tenant in tenants:
            assert ask(node, tenant) == ({n: 1 for n in range(50)}, None)


@pytest.mark.parametrize("wrong", ["single=1/2", "single", "single=9/1", "a b=1/1"])
def test_wrong_settings_are_refused(make_node, wrong):
    node = make_node(args=["--set", f"cluster.tenants={wrong}"])
    node.start(wait=False)
    assert node.process.wait(20) != 0
    assert "cluster.tenants" in node.log_text() or "tenant" in node.log_text()


def test_other_settings_are_noticed(make_cluster):
    """Nodes say by gossip what settings they have: one that has others is shown by all, on the page, in a banner, on the terminal and as a gauge."""
    three = make_cluster(3, args=SETTINGS).start()

    def differ():
        banners = [[b["text"] for b in n.get("ui", "/api/ui/status").json["banners"] if "other settings" in b["text"]] for n in three.nodes]
        return [sum(m["other_settings"] for m in n.members().values()) for n in three.nodes], [len(b) for b in banners], \
            [metric(n, "tercet_cluster_settings_differ") for n in three.nodes]
    assert differ() == ([0] * 3, [0] * 3, [0] * 3)
    shown = status(three[0])
    assert "single                                  1        1      all" in shown and "(all others)                            3        2      all" in shown, shown
    assert "other settings" not in shown
    assert three[2].stop() == 0
    three[2].args += ["--set", "cluster.tenants=single=1/1"]
    three[2].start()
    three.wait_members(3)
    assert eventually(lambda: differ() == ([1, 1, 2], [1] * 3, [1, 1, 2])), differ()
    assert f"node {three[2].id} has other settings" in status(three[0])
    assert three[2].stop() == 0
    three[2].args = three[2].args[:-2]
    three[2].start()
    three.wait_members(3)
    assert eventually(lambda: differ() == ([0] * 3, [0] * 3, [0] * 3)), differ()
