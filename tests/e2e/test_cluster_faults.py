"""Nodes that must not join are refused with words on both sides; a disk that is full is one node's trouble; five nodes hold each
row on three of them."""
import json
import os
import shutil
import threading
import time

import pytest

import otlp

from clusters import BASE, InTurn, Traffic, answers, check_stored, differences, partial, send_all, stored, write
from node import GOSSIP, Node, eventually
from test_disk import fill, metric, small_disk


@pytest.fixture
def stranger(tmp_path, three, uring_reason):
    """A node that wants to join: its own settings, its own data or a copy."""
    made = []

    def make(*args, copy_of=None):
        data = tmp_path / f"stranger{len(made)}"
        if copy_of:
            shutil.copytree(copy_of, data)
        made.append(Node(data, args=["--set", "node.cores=1", "--set", "storage.ballast=0", "--join",
                                     ",".join(f"127.0.0.1:{GOSSIP + n.offset}" for n in three.nodes), *args]))
        return made[-1]
    yield make
    for node in made:
        if node.process.poll() is None:
            assert node.stop() == 0, node.log_text()[-3000:]


@pytest.mark.parametrize("setting, theirs, ours", [
    ("cluster.label=other", "is of another cluster: the labels differ", "is of another cluster: the labels differ"),
    ("data.partitions=128", "has another number of partitions (data.partitions)", "has another number of partitions (data.partitions)"),
])
def test_another_cluster(three, stranger, setting, theirs, ours):
    for n in three.nodes:
        assert write(n, "ours", [n.offset]).status == 200
    node = stranger("--set", setting).start(wait=False)
    assert eventually(lambda: "event=node.ready" in node.log_text())
    assert node.get("prom", "/readyz").status == 503  # no traffic for it: it has found nobody
    assert eventually(lambda: "gossip.refused_by" in node.log_text() and theirs in node.log_text()), node.log_text()
    at = f"127.0.0.1:{GOSSIP + node.offset}"
    assert eventually(lambda: any("gossip.refused " in line and at in line and ours in line for n in three.nodes for line in n.log_text().splitlines()))
    # It has nobody to write to, and nothing of ours; for us it does not exist.
    a = write(node, "theirs", [1])
    assert a.status == 503 and "retry-after" in a.headers, a
    assert node.logs("service_name:ours")["num_hits"] == 0
    for n in three.nodes:
        assert len(n.members()) == 3 and n.logs("service_name:theirs")["num_hits"] == 0
        assert not any(partial(n).values())


def test_a_copied_data_directory(three, stranger):
    """Of the same id only one may run: the copy is older than its original, and goes."""
    assert write(three[0], "ours", range(9)).status == 200
    three[2].stop()
    with Traffic(three.nodes) as traffic:
        traffic.leave(three[2])
        shutil.copytree(three[2].data, three[2].data + ".copy")
        for again in (False, True):  # its life is another one than the copy's will be
            if again:
                three[2].stop()
            three[2].start()
        three.wait_members(3)
        life = three[2].members()[three[2].id]["generation"]
        assert eventually(lambda: all(n.members()[three[2].id]["generation"] == life for n in three.nodes))
        traffic.leave(None)
        copy = stranger(copy_of=three[2].data + ".copy")
        copy.start(wait=False)
        assert copy.process.wait(30) == 2
        assert f"node id {three[2].id} runs or ran at 127.0.0.1:{GOSSIP + three[2].offset}" in copy.log_text()
        assert any(f"127.0.0.1:{GOSSIP + copy.offset}" in line and "node id" in line for n in three.nodes for line in n.log_text().splitlines()
                   if "gossip.refused" in line or "superseded" in line)
        acked = traffic.acked
        assert eventually(lambda: traffic.acked > acked + 30)
    three.wait_members(3)
    assert not traffic.wrong, traffic.wrong[:5]
    for n in three.nodes:
        assert stored(n, "ours").keys() == set(range(9))
        check_stored(n, "traffic", traffic.acked)


def test_a_copy_of_the_same_life(three, stranger):
    """Made before the original's last start, so that both count the same life: who runs stays, whatever the addresses are."""
    assert write(three[0], "ours", range(9)).status == 200
    three[2].stop()
    shutil.copytree(three[2].data, three[2].data + ".copy")
    three[2].start()
    three.wait_members(3)
    copy = stranger(copy_of=three[2].data + ".copy")
    copy.start(wait=False)
    assert copy.process.wait(30) == 2
    assert f"node id {three[2].id} runs or ran at 127.0.0.1:{GOSSIP + three[2].offset}" in copy.log_text()
    at = f"127.0.0.1:{GOSSIP + copy.offset}"
    assert any("gossip.refused " in line and at in line and "alive at another address" in line for n in three.nodes for line in n.log_text().splitlines())
    assert three[2].process.poll() is None
    three.wait_members(3)
    assert write(three[1], "ours", range(9, 12)).status == 200
    for n in three.nodes:
        assert stored(n, "ours").keys() == set(range(12))


def test_what_was_placed_before_a_node_came_is_known(three, stranger):
    """Rows of most services are placed elsewhere when there are four nodes. A client that sends them again, to any node, to one that is
    new and to one that was started again since, is acked, and they are there once."""
    services = [f"again{i}" for i in range(24)]
    for i, service in enumerate(services):
        assert write(three[i % 3], service, range(5)).status == 200
    fourth = stranger()
    fourth.start()
    nodes = [*three.nodes, fourth]
    assert eventually(lambda: all(len(n.members()) == 4 for n in nodes))
    assert write(three[0], "more", range(5)).status == 200
    three[1].kill()
    three[1].start()
    assert eventually(lambda: all(m["state"] == "alive" for n in nodes for m in n.members().values()))
    for turn in range(2):
        for i, service in enumerate(services):
            assert write(nodes[(i + 1 + turn * 2) % 4], service, range(5)).status == 200
    for n in nodes:
        assert metric(n, "tercet_replicate_earlier_known_total") > 0, n.offset
    for service in services + ["more"]:
        assert stored(fourth, service) == {n: 1 for n in range(5)}, service


def test_one_disk_is_full(make_cluster, tmp_path):
    """The others go on; what the full node misses it fetches when there is room again."""
    with small_disk(tmp_path, 80) as small:
        three = make_cluster(args=["--set", "storage.memory=64MiB"])
        full = three[1]
        full.data = str(small / "data")
        three.start()
        with Traffic(three.nodes) as traffic:
            assert eventually(lambda: traffic.acked >= 50)
            fill(small)
            assert eventually(lambda: metric(full, "tercet_disk_level") > 0)
            acked = traffic.acked
            assert eventually(lambda: traffic.acked >= acked + 200)
            os.unlink(small / "filler")
            assert eventually(lambda: metric(full, "tercet_disk_level") == 0)
            acked = traffic.acked
            assert eventually(lambda: traffic.acked >= acked + 50)
        assert not traffic.wrong, traffic.wrong[:5]
        for n in three.nodes:
            check_stored(n, "traffic", traffic.acked)
        three[0].kill()  # whatever was acknowledged without the full node, it has now
        for n in three.nodes[1:]:
            check_stored(n, "traffic", traffic.acked)
        for n in three.nodes[1:]:
            assert n.stop() == 0, n.log_text()[-3000:]


def test_five_nodes(make_cluster):
    """Rows lie on three of five by their partition: answers are those of one node, in its order, traces and their logs whole, with one killed too."""
    end = int(time.time()) // 60 * 60
    alone, five = make_cluster(1, "alone").start(), make_cluster(5).start()
    trace = send_all(InTurn(alone[0]), end)
    assert send_all(InTurn(*five.nodes), end) == trace
    want = answers(alone[0], end, trace)
    streams = [s for n in five.nodes for s in n.cluster()["streams"] if s["here"] > 0]
    assert len({s["id"] for s in streams}) > 5 and all(len(s["members"]) == 3 for s in streams), streams
    for node in five.nodes[:3]:
        assert not (d := differences(want, answers(node, end, trace), bytes_too=False)), f"{node.data}\n{d}"
    five[4].kill()
    for node in (five[0], five[3]):
        assert not (d := differences(want, answers(node, end, trace), bytes_too=False)), f"{node.data}\n{d}"
        assert not any((p := partial(node)).values()), p
    five[3].kill()
    assert any(partial(five[0]).values())


TOLD = ("/api/services", "/api/correlate")  # read traces and series as two, and say so


def test_answers_over_a_change(make_cluster):
    """A fifth node joins while data is written: traces and series go on in other streams, on other nodes. Each node answers as one
    alone; what it cannot bring together it says. What a client sends again after the change is in its trace once."""
    end = int(time.time()) // 60 * 60
    alone, five = make_cluster(1, "alone").start(), make_cluster(5)
    for node in five.nodes[:4]:
        node.start(wait=False)
    for node in five.nodes[:4]:
        node.wait_ready()
    five.wait_members(4)
    to = InTurn(*five.nodes[:4])
    again = [otlp.traces("again", range(n, n + 4)).SerializeToString() for n in range(0x1000, 0x1040, 4)]

    def join():
        five[4].start()
        five.wait_members(5)
        to.nodes = five.nodes
    for body in again:
        alone[0].post("otlp", "/v1/traces", body, otlp.PROTO)
        to.post("otlp", "/v1/traces", body, otlp.PROTO)
    trace = send_all(InTurn(alone[0]), end)
    assert send_all(to, end, join) == trace
    want = answers(alone[0], end, trace)
    for node in five.nodes:
        got = answers(node, end, trace)
        told = {k for k in got if k.startswith(TOLD) and json.loads(got[k]).get("partial")}
        assert not (d := differences({k: v for k, v in want.items() if k not in told}, {k: v for k, v in got.items() if k not in told}, bytes_too=False)), f"{node.data}\n{d}"
        said = {k for k, v in partial(node).items() if v}
        assert said <= {"services", "correlate"}, said
    for body in again:
        to.post("otlp", "/v1/traces", body, otlp.PROTO)
    for node in five.nodes:
        for n in (0x1000, 0x1011, 0x1022, 0x103f):
            path = f"/api/traces/{n:032x}"
            assert node.get("tempo", path).json == alone[0].get("tempo", path).json
        for q in ('{ resource.service.name = "again" } | count() = 1', '{ resource.service.name = "again" } && { name != "" }'):
            params = {"q": q, "limit": 1000, "start": end - 600, "end": end + 3600}
            assert node.get("tempo", "/api/search", params=params).json["traces"] == alone[0].get("tempo", "/api/search", params=params).json["traces"]
            assert len(node.get("tempo", "/api/search", params=params).json["traces"]) == 64


def test_a_silent_nodes_part_is_read_elsewhere(make_cluster):
    """Of five nodes one stops for moments, so short that nobody suspects it, while the others answer from several nodes: its parts are read on
    others, at once, and rows are there once."""
    five = make_cluster(5).start()
    others, done, wrong, slowest = five.nodes[:4], threading.Event(), [], [0.0]

    def read(node):
        while not done.is_set():
            began = time.monotonic()
            got = stored(node, "before")
            slowest[0] = max(slowest[0], time.monotonic() - began)
            if got != {n: 1 for n in range(400)}:
                wrong.append((node.data, len(got)))

    for n in range(0, 400, 4):
        # A trace for each request: rows of all partitions, so that nobody has all of them and each node is asked for some.
        rows = otlp.logs("before", range(n, n + 4), at_ns=BASE, trace=(n + 1).to_bytes(16, "big")).SerializeToString()
        assert eventually(lambda: five[n % 5].post("otlp", "/v1/logs", rows, otlp.PROTO).status == 200)
    readers = [threading.Thread(target=read, args=[node]) for node in others for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(30):
        five[4].pause()
        time.sleep(0.7)
        five[4].resume()
        time.sleep(0.3)
        if sum(metric(node, "tercet_spread_twice_won_total") for node in others):
            break
    done.set()
    for reader in readers:
        reader.join(60)
    assert not wrong, wrong[:5]
    assert sum(metric(node, "tercet_spread_twice_won_total") for node in others)
    print(f"slowest while one was silent for moments: read {slowest[0]:.3f} s")
