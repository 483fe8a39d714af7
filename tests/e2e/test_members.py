"""Nodes that find each other, are killed, stopped, and come back: real processes, one backend beside the other."""
from node import Cluster


def test_members_over_kills_and_pauses(tmp_path, uring_reason):
    with Cluster(tmp_path, 3, backends=("epoll",) if uring_reason else ("io_uring", "epoll")).start() as c:
        assert len({n.id for n in c.nodes}) == 3
        for n in c.nodes:
            assert set(n.members()) == {m.id for m in c.nodes} and n.cluster()["label"] == "tercet"
        first = c[2].members()[c[2].id]["generation"]
        c[2].kill()
        c.wait_state(c[2], "dead")
        was = c[2].id
        c[2].restart()
        c.wait_members(3)
        assert c[2].id == was and c[0].members()[was]["generation"] > first
        c[1].pause()
        c.wait_state(c[1], "dead")
        c[1].resume()
        c.wait_members(3)
        # With an empty disk it is another node, and the one that it was stays dead.
        c[0].kill()
        was = c[0].id
        c[0].restart(empty=True)
        assert c[0].id != was
        c.wait_members(3, seen_by=c.nodes[1:])
        c.wait_state(was, "dead", seen_by=c.nodes[1:])
