"""POST /api/v1/admin/tsdb/snapshot: a directory that a node starts on, with what was there at that moment."""
import os
import re
import threading
import time

import otlp
import prompb

SNAPSHOT = "/api/v1/admin/tsdb/snapshot"
NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{16}$")


def write(node, n, tenant=None):
    now = int(time.time() * 1000)
    body = prompb.write_request([({"__name__": "m", "n": str(i)}, [(now, float(i))]) for i in n])
    assert node.post("prom", "/api/v1/write", body, "application/x-protobuf", headers={"Content-Encoding": "snappy"}, tenant=tenant).status == 204


def snapshot(node, method="POST", **params):
    a = node.request(method, "prom", SNAPSHOT, params=params)
    assert a.status == 200 and a.json["status"] == "success" and list(a.json["data"]) == ["name"], a
    name = a.json["data"]["name"]
    assert NAME.match(name), name
    return os.path.join(node.data, "snapshots", name)


def count(node, query="count(m)", **kw):
    r = node.get("prom", "/api/v1/query", params={"query": query}, **kw).json["data"]["result"]
    return int(r[0]["value"][1]) if r else 0


def start_on(make_node, path, name):
    """From a copy, as a backup is put back: what the node writes then stays out of the snapshot."""
    node = make_node(name)
    os.system(f"cp -a '{path}' '{node.data}'")
    return node.start()


def test_snapshot(make_node):
    node = make_node().start()
    write(node, range(50))
    write(node, range(7), tenant="other")
    assert node.post("otlp", "/v1/traces", otlp.traces("shop", [11, 12]).SerializeToString(), otlp.PROTO).status == 200
    assert node.post("otlp", "/v1/logs", otlp.logs("shop", range(30)).SerializeToString(), otlp.PROTO).status == 200
    whole = snapshot(node)
    assert os.path.isdir(whole) and not [f for f in os.listdir(os.path.dirname(whole)) if f.endswith(".tmp")]
    write(node, range(50, 60))
    assert node.post("prom", "/api/v1/admin/tsdb/delete_series?match[]=m&start=0", b"").status == 204
    head_skipped = snapshot(node, method="PUT", skip_head="true")
    write(node, range(60, 65))
    assert count(node) == 5

    copy = start_on(make_node, whole, "copy")
    assert count(copy) == 50 and count(copy, tenant="other") == 7
    assert copy.get("tempo", f"/api/traces/{11:032x}").status == 200
    hits = copy.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "service_name:shop", "max_hits": 0}).json
    assert hits["num_hits"] == 30, hits
    write(copy, range(100, 103))
    assert count(copy) == 53 and count(node) == 5
    # What was sealed is there and deleted; what was in memory only is not.
    copy = start_on(make_node, head_skipped, "without")
    assert count(copy) == 0 and count(copy, tenant="other") == 7
    # Started where it lies, too; and the snapshot of a snapshot.
    copy.stop()
    nested = make_node("x")
    nested.data, nested.log_path = whole, whole + ".log"
    nested.start()
    again = snapshot(nested)
    assert count(nested) == 50 and again.startswith(whole)
    copy = start_on(make_node, again, "again")
    assert count(copy) == 50


def test_refusals(make_node):
    node = make_node().start()
    a = node.post("prom", SNAPSHOT + "?skip_head=x", b"")
    assert (a.status, a.json["error"]) == (400, 'invalid parameter "skip_head": unable to parse boolean: strconv.ParseBool: parsing "x": invalid syntax')
    assert node.get("prom", SNAPSHOT).status == 405
    os.makedirs(node.data + "/snapshots/20200101T000000Z-0000000000000000.tmp/seg")  # a crash left it
    first = snapshot(node)
    assert os.listdir(node.data + "/snapshots") == [os.path.basename(first)]
    os.rename(node.data + "/snapshots", node.data + "/elsewhere")
    open(node.data + "/snapshots", "w").close()
    a = node.post("prom", SNAPSHOT, b"")
    assert a.status == 500 and a.json["errorType"] == "internal", a
    os.unlink(node.data + "/snapshots")
    snapshot(node)
    off = make_node("off", args=["--set", "api.deletes=off"]).start()
    a = off.post("prom", SNAPSHOT, b"")
    assert (a.status, a.json["errorType"]) == (503, "unavailable") and "admin APIs disabled" in a.json["error"], a


def test_while_all_moves(make_node):
    """Seals and merges go on beside it: each snapshot has all that was acked before it was asked for, and nothing twice."""
    node = make_node(args=["--set", "storage.seal_age=200ms", "--set", "storage.merge_window=1h"]).start()
    acked, stop = [0], threading.Event()

    def writer():
        while not stop.is_set():
            write(node, range(acked[0], acked[0] + 10))
            acked[0] += 10
    thread = threading.Thread(target=writer)
    thread.start()
    made = []
    try:
        for _ in range(4):
            time.sleep(0.5)
            before = acked[0]
            made.append((before, snapshot(node), acked[0]))
    finally:
        stop.set()
        thread.join()
    for i, (least, path, _) in enumerate(made):
        copy = start_on(make_node, path, f"copy{i}")
        got = count(copy, "count(last_over_time(m[1h]))")
        assert least <= got <= acked[0] and got % 10 == 0, (least, got)
        assert count(copy, "sum(count_over_time(m[1h]))") == got
        assert not re.search(r"level=(error|warn) event=(?!rt\.stall)", copy.log_text()), copy.log_text()[-2000:]
        assert copy.stop() == 0
