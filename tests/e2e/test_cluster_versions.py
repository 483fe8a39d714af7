"""Releases beside each other: each speaks its own version of gossip and calls, and the one before. Nothing older was released, so a setting for tests
lets a node say that it is of the next release, or the one after."""
from clusters import Traffic, check_stored, partial
from node import GOSSIP, Node, eventually


def speaks(node, versions):
    node.args += ["--set", f"cluster.speaks={versions}"]


def test_upgraded_twice_one_after_the_other(make_cluster):
    """1, then 1-2, then 2-3: between each two there is a version that both speak, and nobody notices. What was of the first is too old at the end."""
    three = make_cluster().start()
    with Traffic(three.nodes) as traffic:
        for versions in ("1-2", "2-3"):
            for node in three.nodes:
                acked = traffic.acked
                assert eventually(lambda: traffic.acked >= acked + 50)
                traffic.leave(node)
                assert node.stop() == 0, node.log_text()[-3000:]
                speaks(node, versions)
                node.start()
                three.wait_members(3)
                traffic.leave(None)
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 50)
    assert not traffic.wrong, (len(traffic.wrong), traffic.wrong[:5])
    for node in three.nodes:
        assert "gossip.refused" not in node.log_text()
        check_stored(node, "traffic", traffic.acked)
        assert not any((p := partial(node)).values()), p


def test_too_old_is_refused_with_words_on_both_sides(three, tmp_path):
    old = Node(tmp_path / "old", args=["--set", "node.cores=1", "--set", "storage.ballast=0", "--join",
                                       ",".join(f"127.0.0.1:{GOSSIP + n.offset}" for n in three.nodes)])
    words = "speaks another version of the gossip protocol: run versions of tercet that are next to each other"
    speaks(old, "2-3")  # it is the three that are too old for it
    try:
        old.start(wait="/api/cluster")
        assert eventually(lambda: any("gossip.refused_by" in line and words in line for line in old.log_text().splitlines())), old.log_text()
        at = f"127.0.0.1:{GOSSIP + old.offset}"
        assert eventually(lambda: any("gossip.refused " in line and at in line and words in line
                                      for n in three.nodes for line in n.log_text().splitlines()))
        assert old.get("prom", "/readyz").status == 503 and len(old.members()) == 1
        for n in three.nodes:
            assert len(n.members()) == 3 and not any(partial(n).values())
        # They warn now and then, not at every packet.
        assert sum("gossip.refused" in line for n in [*three.nodes, old] for line in n.log_text().splitlines()) < 20
        assert old.stop() == 0
    finally:
        if old.process.poll() is None:
            old.kill()


def test_what_is_no_range_is_refused(tmp_path):
    node = Node(tmp_path / "n", backend="epoll")
    for wrong in ("2", "3-2", "0-1", "1-300", "one-two"):
        speaks(node, wrong)
        node.start(wait=False)
        assert node.process.wait(20) == 2 and f"cluster.speaks: '{wrong}'" in node.log_text(), node.log_text()
