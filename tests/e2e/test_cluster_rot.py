"""Stored files of a node rot, or go, while it runs: answers stay whole, since others are read, and what is lost comes anew from them."""
import glob
import os
import subprocess
import time

import pytest

import otlp
from clusters import Traffic, check_stored, partial, write
from node import BINARY, eventually
from test_disk import metric

SEALED = ["--set", "storage.seal_age=1s"]


def segments(node):
    return sorted(glob.glob(node.data + "/seg/*.seg"))


def sealed(nodes):
    return eventually(lambda: all(metric(n, "tercet_memtable_bytes") < 1000 and segments(n) for n in nodes))


def send(three):
    """Rows of every signal, in several generations, so that nodes have them in other files than each other."""
    for k in range(3):
        for i, node in enumerate(three.nodes):
            numbers = range(k * 900 + i * 300, k * 900 + i * 300 + 300)
            assert write(node, "rot", numbers).status == 200
            for path, rq in (("traces", otlp.traces("rot", [n + 1 for n in numbers])), ("metrics", otlp.gauge("rot", "rot_gauge", {n: 1.0 for n in numbers}))):
                assert node.post("otlp", f"/v1/{path}", rq.SerializeToString(), otlp.PROTO).status == 200
        assert sealed(three.nodes)


def check_all(nodes):
    for node in nodes:
        check_stored(node, "rot", 2700)
        got = node.get("prom", "/api/v1/query", params={"query": "count(rot_gauge)"}).json
        assert got["data"]["result"][0]["value"][1] == "2700" and not got.get("warnings"), got
        got = node.get("tempo", "/api/search", params={"q": "{ resource.service.name = `rot` }", "limit": 5000}).json
        assert len(got["traces"]) == 2700 and "message" not in got, (len(got["traces"]), got.get("message"))
        assert not any((p := partial(node)).values()), p


def rot(path):
    """Every 512 bytes one is another, but for the ends."""
    with open(path, "r+b") as f:
        for at in range(64, os.path.getsize(path) - 2000, 512):
            f.seek(at)
            byte = f.read(1)
            f.seek(at)
            f.write(bytes([byte[0] ^ 0xFF]))


def is_whole(node):
    """By its own files."""
    return all(subprocess.run([BINARY, "segment", "verify", p], capture_output=True, timeout=60).returncode == 0 for p in segments(node))


def well(node):
    return (metric(node, "tercet_segments_lost") == 0 and not node.get("prom", "/readyz").json.get("lost")
            and not [b for b in node.get("ui", "/api/ui/status").json["banners"] if "damaged" in b["text"] or "incomplete" in b["text"]])


@pytest.mark.parametrize("hurt", [rot, os.unlink, lambda p: os.truncate(p, 100)], ids=["rotten", "deleted", "cut short"])
def test_is_mended(make_cluster, hurt):
    # A merge reads a deleted file that is still open: then nothing is lost.
    three = make_cluster(args=[*SEALED, "--set", "storage.merge=0"] if hurt is os.unlink else SEALED).start()
    send(three)
    hurtnode = three[1]
    with Traffic(three.nodes) as traffic:
        for path in segments(hurtnode):
            hurt(path)
        for _ in range(3):  # whatever is known of it by now
            check_all(three.nodes)
        assert eventually(lambda: metric(hurtnode, "tercet_copy_mended_total") + metric(hurtnode, "tercet_segments_mended_total") > 0, 120), \
            hurtnode.log_text()[-5000:]
        assert eventually(lambda: well(hurtnode), 60), hurtnode.log_text()[-5000:]
        check_all(three.nodes)
        acked = traffic.acked
        assert eventually(lambda: traffic.acked > acked + 20)
    assert not traffic.wrong, traffic.wrong[:5]
    assert eventually(lambda: is_whole(hurtnode))
    assert "segment.rotten" in hurtnode.log_text() or "segment.gone" in hurtnode.log_text()
    three[0].kill()  # the mended node has it all
    check_all([hurtnode])
    check_stored(hurtnode, "traffic", traffic.acked)


def test_one_file(make_cluster):
    """What two nodes have as the same file, since one got the stream from the other, comes as that file alone."""
    three = make_cluster(args=[*SEALED, "--set", "storage.merge=0"]).start()
    send(three)
    for path in segments(three[1]):
        os.unlink(path)
    assert eventually(lambda: metric(three[1], "tercet_copy_mended_total") == 1 and well(three[1]), 120), three[1].log_text()[-5000:]
    common = [p for p in segments(three[1]) for n in (three[0], three[2]) if os.path.basename(p) in map(os.path.basename, segments(n))]
    assert common
    victim = max(common, key=os.path.getsize)
    rot(victim)
    for _ in range(3):
        check_all(three.nodes)
    assert eventually(lambda: metric(three[1], "tercet_segments_mended_total") >= 1 and well(three[1]), 120), three[1].log_text()[-5000:]
    assert metric(three[1], "tercet_copy_streams_total") == 1
    assert eventually(lambda: is_whole(three[1]))
    check_all(three.nodes)


def test_nobody_else_has_it(make_cluster):
    """Two of three lose what the third has; then the third does, too: now it is told, and nothing is made up."""
    three = make_cluster(args=SEALED).start()
    send(three)
    for node in three.nodes[:2]:
        for path in segments(node):
            os.unlink(path)
    assert eventually(lambda: all(metric(n, "tercet_copy_mended_total") >= 1 and well(n) for n in three.nodes[:2]), 120)
    check_all(three.nodes)
    for node in three.nodes:
        node.stop()
    for node in three.nodes:
        for path in segments(node):
            os.unlink(path)
    for node in three.nodes:
        node.start(wait=False)
    for node in three.nodes:
        node.wait_ready()
    three.wait_members(3)
    assert eventually(lambda: all(metric(n, "tercet_mend_alone") > 0 for n in three.nodes))
    assert eventually(lambda: metric(three[0], "tercet_segments_lost") > 0) and three[0].get("prom", "/readyz").json["lost"]
    assert any(partial(three[0]).values())
    time.sleep(5)
    assert all(metric(n, "tercet_copy_mended_total") == 0 for n in three.nodes)
