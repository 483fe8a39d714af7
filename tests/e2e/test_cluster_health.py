"""What nodes say of themselves: one whose disk is slow is read from no more, one whose disk fails says so before it goes; and a cluster of
which each node is started again, one after the other, answers all the time."""
import subprocess
import threading
import time

import pytest

import otlp
from node import ROOT, Cluster, eventually

SMALL = ("--set", "node.cores=1", "--set", "storage.ballast=0")


def send(node, service, n):
    return node.post("otlp", "/v1/logs", otlp.logs(service, [n]).SerializeToString(), otlp.PROTO).status


def ask(node, service):
    """How many, and what the answer lacks."""
    a = node.logs(f"service_name:{service}", max_hits=0)
    return a["num_hits"], a["errors"]


@pytest.fixture
def slow_disk(tmp_path):
    library = tmp_path / "slow_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), f"{ROOT}/tests/e2e/slow_disk.c", "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SLOW_DISK": str(tmp_path / "slow_disk")}, tmp_path / "slow_disk"


def health(c, of):
    return {n.members().get(of.id, {}).get("health") for n in c.running() if n is not of}


def test_a_slow_disk_and_one_that_fails(tmp_path, slow_disk):
    env, says = slow_disk
    with Cluster(tmp_path, 3, args=SMALL, backends=("epoll",)) as c:
        c[2].env.update(env)
        c.start()
        stop, statuses = threading.Event(), []

        def traffic():
            while not stop.is_set():
                statuses.append(send(c[len(statuses) % 2], "slow", len(statuses)))
                time.sleep(0.05)
        sender = threading.Thread(target=traffic)
        sender.start()
        try:
            time.sleep(6)
            assert health(c, c[2]) == {"well"}
            says.write_text("1500")
            began = time.monotonic()
            assert eventually(lambda: health(c, c[2]) == {"degraded"}, 90), c[2].log_text()[-2000:]
            assert time.monotonic() - began > 25  # not for a moment's slowness
            assert "node.degraded" in c[2].log_text()
            says.write_text("fail")
            assert eventually(lambda: c[2].process.poll() is not None, 60)
            assert health(c, c[2]) == {"failing"} and "node.disk_failed" in c[2].log_text()
            # The others go on, and nobody waits for it; it keeps its place, as it will be back.
            time.sleep(2)
            assert not any(sorted(s["members"]) == sorted([c[0].id, c[1].id]) for s in c[0].cluster()["streams"])
        finally:
            stop.set()
            sender.join()
        assert set(statuses) == {200}
        says.unlink()
        c[2].restart()
        c.wait_members(3)
        assert eventually(lambda: health(c, c[2]) == {"well"}, 10)
        assert eventually(lambda: ask(c[2], "slow") == (len(statuses), []), 30)


def test_rolling_restart(tmp_path):
    """Each in turn, told to stop and killed: the others answer every read, whole, and take every write."""
    with Cluster(tmp_path, 3, args=SMALL) as c:
        c.start()
        for i in range(30):
            assert send(c[i % 3], "rolling", i) == 200
        stop, wrong, reads, writes = threading.Event(), [], [0], [0]
        down = [None]

        def up():
            return [n for n in c.nodes if n is not down[0]]

        def reader(i):
            while not stop.is_set():
                n = up()[i % 2]
                got = ask(n, "rolling")
                reads[0] += 1
                if got != (30, []):
                    wrong.append((n.data, got))

        def writer():
            while not stop.is_set():
                status = send(up()[writes[0] % 2], "rolled", writes[0])
                writes[0] += 1
                if status != 200:
                    wrong.append(status)
        threads = [threading.Thread(target=reader, args=(i,)) for i in range(2)] + [threading.Thread(target=writer)]
        for t in threads:
            t.start()
        try:
            for n in [*c.nodes, *c.nodes]:
                down[0] = n
                time.sleep(1)  # what it was asked is answered
                if n is c[1]:
                    n.kill()
                else:
                    n.stop()
                time.sleep(0.5)
                n.start()
                c.wait_members(3)
                down[0] = None
                time.sleep(0.5)
        finally:
            stop.set()
            for t in threads:
                t.join()
        assert not wrong and reads[0] > 100 and writes[0] > 50, (wrong[:5], len(wrong), reads, writes)
        assert eventually(lambda: [ask(n, "rolled") for n in c.nodes] == [(writes[0], [])] * 3, 30)
