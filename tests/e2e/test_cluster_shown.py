"""What people and orchestrators see of a cluster: /readyz, /api/ui/status, /api/cluster?everywhere=true, `tercet cluster status`, gauges."""
import subprocess

import otlp
from node import BINARY, Cluster, eventually

SMALL = ("--set", "node.cores=1", "--set", "storage.ballast=0")


def status(node):
    return node.get("ui", "/api/ui/status").json


def texts(node):
    return [f"{b['level']}: {b['text']}" for b in status(node)["banners"]]


def write(node, n):
    return node.post("otlp", "/v1/logs", otlp.logs("shown", [n]).SerializeToString(), otlp.PROTO)


def gauge(node, name):
    lines = node.get("prom", "/metrics").body.decode().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def verb(node, *args):
    p = subprocess.run([BINARY, "cluster", *args, "--port-offset", str(node.offset)], capture_output=True, text=True, timeout=20)
    return p.returncode, p.stdout, p.stderr


def test_alone(node):
    """A node that nobody was named to is ready, and has no cluster to show."""
    assert status(node)["cluster"] is None and status(node)["banners"] == []
    code, text, _ = verb(node, "status")
    assert code == 0 and "this node is alone" in text and node.cluster()["node"] in text, text
    assert verb(node)[0] == 2 and verb(node, "no-such")[0] == 2
    assert node.stop() == 0
    code, _, err = verb(node, "status")
    assert code == 1 and "no node answers" in err, err


def test_ready_when_another_is_seen(tmp_path):
    """With seeds and nobody there: alive, not ready, says why. Ready from the first other member on, also when that goes again."""
    with Cluster(tmp_path, 2, args=SMALL) as c:
        c[0].start(wait="/api/cluster")
        ready = c[0].get("prom", "/readyz")
        assert ready.status == 503 and "no other node of the cluster was seen" in ready.json["reason"], ready
        assert c[0].get("prom", "/healthz").status == 200
        assert status(c[0])["ready"] is False and status(c[0])["cluster"]["writes"] is False
        assert any("refused" in t for t in texts(c[0])), texts(c[0])
        assert write(c[0], 1).status == 503
        c[1].start()
        c[0].wait_ready()
        assert eventually(lambda: not texts(c[0])), texts(c[0])
        assert write(c[0], 2).status == 200
        c[1].id = c[1].cluster()["node"]
        c[1].kill()
        c.wait_state(c[1], "dead", seen_by=[c[0]])
        assert c[0].get("prom", "/readyz").status == 200 and status(c[0])["ready"] is True


def stream_of(node):
    """Of the three, from the node's own view; None while it has none."""
    streams = node.get("prom", "/api/cluster", params={"everywhere": "true"}).json["streams"]
    return next((s for s in streams if len(s["members"]) == 3), None)


def test_one_is_away_and_back(tmp_path):
    with Cluster(tmp_path, 3, args=SMALL).start() as c:
        for i in range(9):
            assert write(c[i % 3], i).status == 200
        for node in c.nodes:
            assert eventually(lambda: {h["batches"] for h in stream_of(node)["have"]} == {9}), stream_of(node)
            assert stream_of(node)["all"] == 9 and eventually(lambda: texts(node) == [])
        c[2].kill()
        left = c.nodes[:2]
        for node in left:
            assert eventually(lambda: texts(node)), "no banner"
        for i in range(9, 14):
            assert write(c[i % 2], i).status == 200
        c.wait_state(c[2], "dead")
        for node in left:
            said = status(node)
            assert said["cluster"] == {"alive": 2, "suspect": 0, "dead": 1, "writes": True, "incomplete": ""}, said
            assert len(texts(node)) == 1 and texts(node)[0].startswith("warn: 1 of 3 nodes does not answer: dead at "), texts(node)
            # All nine too where it died before the first comparison.
            assert eventually(lambda: gauge(node, "tercet_repair_behind_requests") in (5, 14))
            assert {h["node"]: h["batches"] for h in stream_of(node)["have"]} == {n.id: 14 for n in left}
            assert gauge(node, "tercet_members_dead") == 1
        code, text, _ = verb(c[0], "status")
        assert code == 0 and f"{c[2].id}:?" in text and f"{c[1].id}:14" in text, text
        assert [line.split()[1] for line in text.splitlines() if line.startswith(c[2].id)] == ["dead"], text
        c[2].start()
        c.wait_members(3)
        for node in c.nodes:
            assert eventually(lambda: {h["batches"] for h in stream_of(node)["have"]} == {14}), stream_of(node)
            assert eventually(lambda: gauge(node, "tercet_repair_behind_requests") == 0)
            assert eventually(lambda: texts(node) == []), texts(node)
            assert eventually(lambda: all(0 < (m["disk_percent"] or 0) <= 100 for m in node.members().values())), node.members()
        c[1].kill()
        c[2].kill()
        c.wait_members(2, "dead")
        both = texts(c[0])
        assert len(both) == 2 and all(t.startswith("error: ") for t in both), both
        assert {b["page"] for b in status(c[0])["banners"]} == {"/cluster"}
        assert "refused" in both[0] and "may be missing" in both[1] and status(c[0])["cluster"]["writes"] is False
