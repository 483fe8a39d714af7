"""Whole streams are copied: to a node that lost its disk, and to nodes that join one that was alone. Afterwards a node less lacks nothing."""
import time

from clusters import partial, stored
from node import GOSSIP, Cluster, Node, eventually
import otlp

BASE = time.time_ns()
SEALED = ("--set", "node.cores=1", "--set", "storage.ballast=0",
          "--set", "storage.seal_age=500ms", "--set", "cluster.log_keep_age=0s")  # nothing can be fetched from logs for long


def write(node, service, numbers):
    assert node.post("otlp", "/v1/logs", otlp.logs(service, numbers, at_ns=BASE).SerializeToString(), otlp.PROTO).status == 200


def metric(node, name):
    return sum(float(line.split()[-1]) for line in node.get("ui", "/metrics").body.decode().splitlines() if line.startswith(name + " "))


def whole(node, service, n):
    """All numbers once, and no API says that something may be missing."""
    try:
        got = stored(node, service)
    except AssertionError:
        return False
    return got == dict.fromkeys(range(n), 1) and not any(partial(node).values())


def test_lost_disk(tmp_path, uring_reason):
    with Cluster(tmp_path, 3, backends=("epoll",) if uring_reason else ("io_uring", "epoll"), args=[*SEALED]).start() as c:
        for i in range(300):
            write(c[i % 3], "lost", [i])
        time.sleep(1.5)  # sealed, logs gone
        was = c[2].id
        c[2].kill()
        c[2].restart(empty=True)
        assert c[2].id != was
        began = time.monotonic()
        assert eventually(lambda: metric(c[2], "tercet_copy_streams_total") >= 1, 60), c[2].log_text()[-3000:]
        assert eventually(lambda: whole(c[2], "lost", 300), 20), partial(c[2])
        print(f"filled after {time.monotonic() - began:.1f} s")
        time.sleep(5)  # each of them knows that it has all
        c[1].kill()
        for node in (c[0], c[2]):
            assert eventually(lambda: whole(node, "lost", 300), 20), partial(node)
        c[1].start()
        c[0].kill()
        for node in (c[1], c[2]):
            assert eventually(lambda: whole(node, "lost", 300), 20), partial(node)


def test_joined_by_two(tmp_path, uring_reason):
    backend = "epoll" if uring_reason else "io_uring"
    first = Node(str(tmp_path / "first"), backend=backend, args=[*SEALED])
    others = [Node(str(tmp_path / f"other{i}"), backend="epoll", args=[*SEALED, "--join", f"127.0.0.1:{GOSSIP + first.offset}"]) for i in range(2)]
    try:
        first.start()
        for i in range(100):
            write(first, "early", [i])
        time.sleep(1.5)
        for node in others:
            node.start()
        for node in others:
            assert eventually(lambda: metric(node, "tercet_copy_streams_total") >= 1, 60), node.log_text()[-3000:]
        time.sleep(6)
        first.kill()
        for node in others:
            assert eventually(lambda: whole(node, "early", 100), 20), partial(node)
    finally:
        for node in [first, *others]:
            if node.process and node.process.poll() is None:
                node.kill()


def test_drain(tmp_path, uring_reason):
    with Cluster(tmp_path, 3, backends=("epoll",) if uring_reason else ("io_uring", "epoll"), args=[*SEALED]).start() as c:
        for i in range(60):
            write(c[i % 3], "drained", [i])
        assert c[0].post("ui", f"/api/cluster/forget?node={c[1].id}", {}).status == 400  # it lives
        assert c[0].post("ui", "/api/cluster/forget?node=12", {}).status == 400
        answer = c[2].post("ui", "/api/cluster/drain", {})
        assert answer.status == 200 and answer.json["state"] == "draining", answer
        assert eventually(lambda: c[2].post("ui", "/api/cluster/drain", {}).json["state"] == "drained", 60), c[2].log_text()[-3000:]
        assert c[2].stop() == 0, c[2].log_text()[-3000:]
        c.wait_state(c[2], "left", seen_by=c.nodes[:2])
        write(c[0], "drained", [60])
        for node in c.nodes[:2]:
            assert eventually(lambda: whole(node, "drained", 61), 20), partial(node)
        assert c[0].post("ui", f"/api/cluster/forget?node={c[2].id}", {}).status == 200
        time.sleep(6)
        c[1].kill()
        assert eventually(lambda: stored(c[0], "drained") == dict.fromkeys(range(61), 1), 20), partial(c[0])


def test_drained_alone_is_refused(tmp_path):
    node = Node(str(tmp_path / "alone"), backend="epoll", args=[*SEALED]).start()
    try:
        answer = node.post("ui", "/api/cluster/drain", {})
        assert answer.status == 400 and b"no other node" in answer.body, answer
    finally:
        node.kill()
