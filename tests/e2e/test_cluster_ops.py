"""What an operator does to a cluster that is in use, by its own verbs: a node of four is drained and taken away, three are restarted one after the
other. Writers and readers go on at every node that runs; a reader that gets an error or an answer that lacks something is wrong."""
import os
import subprocess

from clusters import Traffic, check_stored, partial
from node import BINARY, Cluster, eventually

COPIES = ("tercet_copy_streams_total", "tercet_copy_bytes_total")


def verb(node, *args, seconds=90):
    p = subprocess.run([BINARY, "cluster", *args, "--port-offset", str(node.offset)], capture_output=True, text=True, timeout=seconds)
    return p.returncode, p.stdout, p.stderr


def metrics(node, names):
    have = dict(line.rsplit(" ", 1) for line in node.get("prom", "/metrics").body.decode().splitlines() if not line.startswith("#"))
    return {n: float(have[n]) for n in names}


def health(node, of):
    return node.members()[of.id]["health"]


def test_drained_stopped_forgotten(make_cluster):
    """Copies of what the fourth has go to the other three; while it drains and when it has it answers and takes writes as ever."""
    four = make_cluster(4, args=["--set", "storage.seal_age=2s"]).start()
    gone, left = four[3], four.nodes[:3]
    with Traffic(four.nodes) as traffic:
        assert eventually(lambda: traffic.acked >= 300)
        code, text, err = verb(gone, "drain")
        assert code == 0 and "drained: others have all" in text and gone.id in text, (code, text, err)
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 100)  # with it, though nothing of it is there alone
        for n in four.nodes:
            assert eventually(lambda: health(n, gone) == "drained"), health(n, gone)
        code, text, _ = verb(left[0], "status")
        assert [line.split()[7] for line in text.splitlines() if line.startswith(gone.id)] == ["drained"], text
        assert verb(left[0], "forget", gone.id)[0] == 1  # it lives
        traffic.leave(gone)
        assert gone.stop() == 0, gone.log_text()[-3000:]
        for n in left:  # told, not found out: nobody waits for it
            assert eventually(lambda: n.members().get(gone.id, {"state": "left"})["state"] == "left", 5), n.members()[gone.id]
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 100)
        code, text, err = verb(left[1], "forget", gone.id)
        assert code == 0 and f"node {gone.id} is forgotten" in text, (code, text, err)
        for n in left:
            assert eventually(lambda: gone.id not in n.members()), n.members()
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 100)
    assert not traffic.wrong, (len(traffic.wrong), traffic.wrong[:5])
    print(f"{traffic.acked} acked, {traffic.retried} sent again")
    for n in left:
        check_stored(n, "traffic", traffic.acked)
        assert not any((p := partial(n)).values()), p
        assert n.get("ui", "/api/ui/status").json["banners"] == []
    left[0].kill()  # each of the rest has it twice: any one of them may be lost
    for n in left[1:]:
        check_stored(n, "traffic", traffic.acked)
        assert not any((p := partial(n)).values()), p


def test_drained_is_not_so_for_good(make_cluster):
    """Of three nodes with a quorum of two: a copy that is lost again makes it draining, and a restart ends it."""
    three = make_cluster().start()
    with Traffic(three.nodes) as traffic:
        assert eventually(lambda: traffic.acked >= 50)
    assert verb(three[2], "drain")[0] == 0
    three[1].kill()
    assert eventually(lambda: health(three[0], three[2]) == "draining"), three[0].members()
    three[1].start()
    assert eventually(lambda: health(three[0], three[2]) == "drained"), three[0].members()
    three[2].kill()
    three[2].start()
    three.wait_members(3)
    assert eventually(lambda: health(three[0], three[2]) == "well" and three[0].members()[three[2].id]["weight"] == 100), three[0].members()
    for n in three.nodes:
        check_stored(n, "traffic", traffic.acked)


def test_only_who_reads_the_directory_may_drain(make_cluster):
    """Nodes that listen for others refuse requests to drain and forget; the verb with the node's directory may: it sends the secret in it."""
    three = make_cluster(args=["--set", "api.deletes=off"]).start()
    secret = os.path.join(three[2].data, "control")
    assert os.stat(secret).st_mode & 0o777 == 0o600
    for headers in ({}, {"x-tercet-control": "0" * 32}, {"x-tercet-control": ""}, {"x-tercet-control": open(os.path.join(three[1].data, "control")).read()}):
        for path in ("drain", f"forget?node={three[1].id}"):
            a = three[2].post("ui", f"/api/cluster/{path}", {}, headers=headers)
            assert a.status == 403 and b"--data" in a.body, (headers, path, a)
    code, _, err = verb(three[2], "drain")
    assert code == 1 and "answers 403" in err, err
    three[1].kill()
    three.wait_state(three[1], "dead")
    code, text, err = verb(three[2], "forget", three[1].id, "--data", three[2].data)
    assert code == 0 and "is forgotten" in text, (code, text, err)
    three[1].start()
    code, text, err = verb(three[2], "drain", "--data", three[2].data)
    assert code == 0 and "drained: others have all" in text, (code, text, err)
    before = open(secret).read()
    assert three[2].stop() == 0
    three[2].start()
    assert open(secret).read() != before


def test_rolling_restart_moves_nothing(make_cluster):
    """SIGTERM comes unannounced: what is refused then clients send to the next node. They come back when it is ready. No stream is copied."""
    three = make_cluster(args=["--set", "storage.seal_age=2s"]).start()
    with Traffic(three.nodes) as traffic:
        for node in three.nodes:
            acked = traffic.acked
            assert eventually(lambda: traffic.acked >= acked + 150)
            assert node.stop() == 0, node.log_text()[-3000:]
            acked = traffic.acked
            assert eventually(lambda: traffic.acked >= acked + 100)
            traffic.leave(node)  # until it has replayed its log it answers 503
            node.start()
            traffic.leave(None)
            three.wait_members(3)
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 150)
        for node in three.nodes:
            assert metrics(node, COPIES) == dict.fromkeys(COPIES, 0), node.data
    assert not traffic.wrong, (len(traffic.wrong), traffic.wrong[:5])
    print(f"slowest: write {traffic.slowest_write:.3f} s, read {traffic.slowest_read:.3f} s; sent again: {traffic.retried}")
    for node in three.nodes:
        check_stored(node, "traffic", traffic.acked)
        assert not any((p := partial(node)).values()), p


def test_a_lost_disk_is_replaced_under_traffic(tmp_path, uring_reason):
    """Its node comes back empty, as another one at the same address: it is filled while writers and readers go on, and any other may go then."""
    args = ["--set", "node.cores=1", "--set", "storage.ballast=0", "--set", "storage.seal_age=500ms", "--set", "cluster.log_keep_age=0s"]
    with Cluster(tmp_path, 3, backends=("epoll",) if uring_reason else ("io_uring", "epoll"), args=args).start() as three:
        with Traffic(three.nodes) as traffic:
            assert eventually(lambda: traffic.acked >= 200)
            traffic.leave(three[2])
            was = three[2].id
            three[2].kill()
            three[2].restart(empty=True)
            assert three[2].id != was
            acked = traffic.acked
            assert eventually(lambda: metrics(three[2], COPIES)["tercet_copy_streams_total"] >= 1), three[2].log_text()[-3000:]
            traffic.leave(None)
            assert eventually(lambda: traffic.acked >= acked + 150)
        assert not traffic.wrong, (len(traffic.wrong), traffic.wrong[:5])
        for lost in (three[0], three[1]):
            for n in three.nodes:
                assert eventually(lambda: not any(partial(n).values()), 20), partial(n)
                check_stored(n, "traffic", traffic.acked)
            lost.kill()
            for n in three.running():
                assert eventually(lambda: not any(partial(n).values()), 20), partial(n)
                check_stored(n, "traffic", traffic.acked)
            lost.start()
            three.wait_members(3)
