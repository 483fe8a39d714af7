"""/api/admin/storage: where the bytes are, and that they add up to what lies on the disk."""
import os
import re
import time

import otlp
from node import eventually

ONE = ["--set", "node.cores=2", "--set", "storage.seal_age=200ms", "--set", "storage.merge=false"]
NDJSON = "application/x-ndjson"


def send(node, path, rq, tenant=None):
    a = node.post("otlp", path, rq.SerializeToString(), otlp.PROTO, tenant=tenant)
    assert a.status == 200, a


def storage(node, tenant=None, **params):
    a = node.get("ui", "/api/admin/storage", params=params, tenant=tenant)
    assert a.status == 200, a
    return a.json


def on_disk(node):
    """Of the segments whose names are names of segments."""
    folder = os.path.join(node.data, "seg")
    return sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder) if re.fullmatch(r"[0-9a-f]{32}\.seg", f))


def adds_up(s):
    parts = s["node"]["segments"]["parts"]
    assert s["node"]["segments"]["bytes"] == sum(parts.values()), parts
    assert s["node"]["segments"]["bytes"] == sum(v["bytes"] for v in s["node"]["segments"]["levels"])
    data = parts["data"]
    assert data == sum(v["bytes"] for v in s["signals"])
    assert data == s["metrics"]["bytes"] + s["labels"]["bytes"] + s["columns"]["bytes"] + sum(s["others"].values())
    for key in ("sets", "metrics", "labels", "columns"):
        top = s[key]["top"]
        if len(top) == s[key]["total"]:
            assert s[key].get("bytes", data) == sum(v["bytes"] for v in top), key
        else:
            assert len(top) < s[key]["total"]
    return s


def fill(node, tenant, numbers, at):
    send(node, "/v1/traces", otlp.traces("shop", numbers, start_ns=at), tenant)
    send(node, "/v1/logs", otlp.logs("shop", numbers, at_ns=at), tenant)
    send(node, "/v1/metrics", otlp.gauge("shop", "small_level", {n: n for n in range(3)}, at_ns=at), tenant)
    for step in range(5):
        send(node, "/v1/metrics", otlp.gauge("shop", "big_level", {n: n + step / 7 for n in range(40)}, at_ns=at + step * 10**9), tenant)



def test_it_adds_up(make_node):
    node = make_node(args=ONE).start()
    at = time.time_ns() // 10**9 * 10**9
    fill(node, None, range(1, 300), at)
    fill(node, "other", range(1, 2000), at)
    a = node.post("quickwit", "/api/v1/indexes", {"version": "0.8", "index_id": "books", "doc_mapping": {"timestamp_field": "ts", "field_mappings": [
        {"name": "ts", "type": "datetime", "fast": True}, {"name": "title", "type": "text"}]}})
    assert a.status == 200, a
    a = node.post("quickwit", "/api/v1/books/ingest", "\n".join(f'{{"ts": {at // 10**9}, "title": "volume {i}"}}' for i in range(50)), NDJSON)
    assert a.status == 200, a
    assert eventually(lambda: storage(node)["node"]["memory"]["bytes"] == 0 or None)

    s = adds_up(storage(node, limit=10000))
    assert s["tenant"] == "anonymous" and s["partial"] is False
    assert s["node"]["segments"]["bytes"] == on_disk(node) > 0
    assert s["node"]["segments"]["parts"]["other_tenants"] > 0
    rows = {v["signal"]: v for v in s["signals"]}
    assert rows["spans"]["rows"] == rows["logs"]["rows"] == 299 and rows["docs"]["rows"] == 50
    assert rows["metrics"]["samples"] == 3 + 200 and rows["spans"]["memory"]["rows"] == 0
    assert rows["spans"]["oldest"] == rows["spans"]["newest"] == at / 1e9
    names = {v["name"]: v for v in s["metrics"]["top"]}
    assert names["small_level"]["samples"] == 3 and names["small_level"]["series"] == 3
    assert names["big_level"]["samples"] == 200 and names["big_level"]["series"] == 40
    assert names["big_level"]["bytes"] > names["small_level"]["bytes"] > 0 and s["others"]["unnamed_metrics"] == 0
    assert {v["name"]: v["values"] for v in s["labels"]["top"]}["n"] >= 40
    columns = {(v["signal"], v["relation"], v["attribute"], v["name"], v["type"]): v for v in s["columns"]["top"]}
    n = columns["spans", "row", True, "n", "int"]
    assert n["values"] == n["rows"] == 299 and n["null_share"] == 0 and n["bytes"] > 0
    assert columns["logs", "resource", True, "service.name", "string"]["distinct_max"] == 1
    assert columns["docs", "row", True, "title", "string"]["values"] == 50
    assert {v.get("index") for v in s["sets"]["top"] if v["signal"] == "docs"} == {"books"}

    both = adds_up(storage(node, limit=10000, all_tenants="true"))
    assert both["tenant"] is None and both["node"]["segments"]["parts"]["other_tenants"] == 0
    assert both["node"]["segments"]["bytes"] == s["node"]["segments"]["bytes"]
    assert {v["tenant"] for v in both["sets"]["top"]} == {"anonymous", "other"}
    other = adds_up(storage(node, tenant="other", limit=10000))
    assert other["node"]["segments"]["parts"]["data"] == s["node"]["segments"]["parts"]["other_tenants"]
    assert storage(node, tenant="nobody")["signals"] == []
    def kept():
        s = storage(node, limit=10000)
        del s["node"]["disk"]["free_bytes"]  # others write there too
        return s
    assert kept() == kept()  # the second one from sums that were kept


def test_order_and_limit(make_node):
    node = make_node(args=ONE).start()
    fill(node, None, range(1, 100), time.time_ns())
    assert eventually(lambda: storage(node)["node"]["memory"]["bytes"] == 0 or None)
    adds_up(storage(node, limit=2))
    for sort, key in (("bytes", "bytes"), ("count", "samples"), ("distinct", "series"), ("per", "bytes_per_sample")):
        top = storage(node, sort=sort)["metrics"]["top"]
        assert [v[key] for v in top] == sorted((v[key] for v in top), reverse=True), sort
    names = [v["name"] for v in storage(node, sort="name", limit=1000)["columns"]["top"]]
    assert names == sorted(names)
    for bad in ({"limit": 0}, {"sort": "size"}, {"all_tenants": "yes"}, {"limits": 3}):
        assert node.get("ui", "/api/admin/storage", params=bad).status == 400, bad


def test_what_is_deleted_or_expired_is_told(make_node):
    node = make_node(args=ONE).start()
    at = time.time_ns() // 10**9 * 10**9
    fill(node, None, range(1, 100), at)
    assert eventually(lambda: storage(node)["node"]["memory"]["bytes"] == 0 or None)
    a = node.post("ui", "/api/delete", {"signal": "spans", "query": "{ span.n < 50 }"})
    assert a.status == 200 and a.json["state"] == "done", a
    s = adds_up(storage(node))
    rows = {v["signal"]: v for v in s["signals"]}
    assert rows["spans"]["dead_rows"] == 49 and rows["logs"]["dead_rows"] == 0
    assert s["node"]["deletions"]["dead_rows"] == 49 and s["node"]["deletions"]["under_way"] == 0
    a = node.request("PUT", "ui", "/api/retention", body=b'{"signal": "logs", "age": "1s"}')
    assert a.status == 200, a
    time.sleep(1.5)
    logs = eventually(lambda: next((v for v in storage(node)["signals"] if v["signal"] == "logs" and v["gone_bytes"]), None))
    assert logs["gone_bytes"] == logs["bytes"]


def test_memory_is_told_and_a_restart_changes_nothing(make_node):
    node = make_node(args=["--set", "node.cores=2"]).start()
    fill(node, None, range(1, 100), time.time_ns())
    s = storage(node)
    rows = {v["signal"]: v["memory"] for v in s["signals"]}
    assert rows["spans"]["rows"] == rows["logs"]["rows"] == 99 and rows["metrics"]["series"] == 43 and rows["spans"]["bytes"] > 0
    assert s["node"]["memory"]["bytes"] > 0 and s["node"]["wal"]["bytes"] > 0 and s["node"]["catalog"]["files"] > 0
    assert s["node"]["since_start"]["received_bytes"] > 0 == s["node"]["since_start"]["sealed_bytes"]
    node.stop()
    node.args = ["--set", "node.cores=3", "--set", "storage.seal_age=200ms", "--set", "storage.merge=false"]
    node.start()
    assert eventually(lambda: storage(node)["node"]["memory"]["bytes"] == 0 or None)
    node.stop()
    node.args = ["--set", "node.cores=2"]  # files of three cores are read by two: each is counted once
    node.start()
    assert adds_up(storage(node))["node"]["segments"]["bytes"] == on_disk(node) > 0


def test_other_tenants_only_on_a_machine_of_its_own(make_node):
    node = make_node(args=["--bind", "0.0.0.0"]).start()
    assert node.get("ui", "/api/admin/storage").status == 200
    a = node.get("ui", "/api/admin/storage", params={"all_tenants": "true"})
    assert a.status == 403 and "api.deletes=on" in a.json["error"], a
