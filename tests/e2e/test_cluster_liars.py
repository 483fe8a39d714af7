"""Who speaks to the ports between nodes and lies: about lengths, about what it is, about when. Refused with a line in the log, never merged, and nothing of it
disturbs the others. That frames and claims with right checksums and wrong lengths are refused is in tests/unit/rpc_hostile_plain.c and the fuzz targets."""
import os
import shutil
import socket
import struct
import time

import pytest

from clusters import Traffic, check_stored, partial, stored, write
from node import CALLS, GOSSIP, Node, eventually


def said_to(port, data, seconds=10):
    """What the node answers until it closes; None when it has not closed in that time."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        try:
            s.sendall(data)
            got = b""
            while piece := s.recv(4096):
                got += piece
            return got
        except (ConnectionResetError, BrokenPipeError):
            return b""
        except TimeoutError:
            return None


def lies():
    head = b"Tg\x01\x00" + bytes(4) + struct.pack("<4Q", 7, 1, 2, 3)
    for n in (0, 1, 0xffffffff, (1 << 20) + 1):
        yield GOSSIP, struct.pack("<I", n) + head + bytes(200)
    yield GOSSIP, struct.pack("<I", 40) + b"no packet" * 100
    frame = struct.pack("<IB3xQQ", 0xffffffff, 1, 0, 0)
    for data in (frame, bytes(64), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)):
        yield CALLS, data


def test_lengths(three):
    node = three[0]
    before = {i: m["generation"] for i, m in node.members().items()}
    with Traffic(three.nodes) as traffic:
        assert eventually(lambda: traffic.acked >= 30)
        for port, data in lies():
            assert said_to(port + node.offset, data) is not None, (port, data[:30])
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            for data in (b"", b"T", b"Tg", os.urandom(60), b"Tg\x01\x00" + os.urandom(1300), bytes(1400), bytes(9000)):
                s.sendto(data, ("127.0.0.1", GOSSIP + node.offset))
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 60)
    assert not traffic.wrong, traffic.wrong[:5]
    log = node.log_text()
    assert "gossip.refused" in log and "rpc.refused" in log, log[-3000:]
    assert {i: m["generation"] for i, m in node.members().items()} == before
    for n in three.nodes:
        assert len(n.members()) == 3
        check_stored(n, "traffic", traffic.acked)


def test_an_old_epoch_does_not_come_back(three):
    """A node's disk as it was some starts ago, put back: others have seen later lives of it. It is told so and goes, though the later one is dead."""
    old = three[2]
    assert old.stop() == 0
    shutil.copytree(old.data, old.data + ".old")
    for _ in range(3):
        old.start()
        assert old.stop() == 0
    three.wait_state(old, "dead", seen_by=three.nodes[:2])
    generation = three[0].members()[old.id]["generation"]
    with Traffic(three.nodes[:2]) as traffic:
        back = Node(old.data + ".old", args=["--set", "node.cores=1", "--set", "storage.ballast=0", "--join",
                                             ",".join(f"127.0.0.1:{GOSSIP + n.offset}" for n in three.nodes[:2])])
        back.start(wait=False)
        try:
            assert back.process.wait(30) == 2, back.log_text()[-2000:]
            assert f"node id {old.id} runs or ran at" in back.log_text(), back.log_text()[-2000:]
            at = f"127.0.0.1:{GOSSIP + back.offset}"
            assert any(at in line and ("gossip.refused" in line or "superseded" in line) for n in three.nodes[:2] for line in n.log_text().splitlines())
            time.sleep(1)
            for n in three.nodes[:2]:
                assert n.members()[old.id]["generation"] == generation and n.members()[old.id]["state"] == "dead", n.members()[old.id]
        finally:
            if back.process.poll() is None:
                back.kill()
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 30)
    assert not traffic.wrong, traffic.wrong[:5]
    old.start()  # the one that is no copy
    three.wait_members(3)
    for n in three.nodes:
        assert eventually(lambda: not any(partial(n).values())), partial(n)
        check_stored(n, "traffic", traffic.acked)


@pytest.mark.parametrize("what", ["all", "catalog"])
def test_a_life_is_not_begun_twice(three, what):
    """The state of one start ago is put back, of the data directory or of the catalog in it alone: the node would give names that it gave already, and
    what is written under them would be taken for what others have. It does not start, and says what to do; with an empty directory it does."""
    old = three[2]
    assert old.stop() == 0
    put_back = old.data if what == "all" else old.data + "/catalog"
    shutil.copytree(put_back, old.data + ".backup")
    old.start()
    three.wait_members(3)
    assert write(old, "ours", range(20)).status == 200
    assert eventually(lambda: stored(three[0], "ours").keys() == set(range(20)))
    old.kill()
    shutil.rmtree(put_back)
    shutil.move(old.data + ".backup", put_back)
    old.start(wait=False)
    assert old.process.wait(30) == 2, old.log_text()[-2000:]
    assert "is an older state of node" in old.log_text() and "start with an empty directory" in old.log_text(), old.log_text()[-2000:]
    for n in three.nodes[:2]:
        assert stored(n, "ours").keys() == set(range(20))
    shutil.rmtree(old.data)
    old.start()
    assert write(old, "ours", range(20, 30)).status == 200
    for n in three.nodes:
        assert eventually(lambda: stored(n, "ours").keys() == set(range(30)))
