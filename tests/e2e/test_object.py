"""The object tier over a real S3 server: uploads, eviction, answers from the bucket, and what is left when things go wrong."""
import os
import re
import shutil
import signal
import subprocess
import time

import otlp
import pytest
from bucket import times
from node import BINARY, eventually
from test_disk import metric
from test_downsample import put, seal, write
from test_long_ranges import ask

QUICK = {"storage.seal_age": "300ms", "storage.durable": "object", "storage.retention_share": "0", "object.grace": "1h", "object.timeout": "5s",
         "object.upload_after": "0"}
NO_ROOM = {"storage.retention_share": "0.000000001"}  # everything that is uploaded is evicted


@pytest.fixture
def backend(uring_reason):
    return "auto"


@pytest.fixture
def object_node(make_node, bucket):
    def make(name="data", **settings):
        rows = {**QUICK, "storage.ballast": "0", **settings}
        return make_node(name, args=bucket.settings(**{k: v for k, v in rows.items() if v is not None}))
    return make


def send(node, first, n, service="shop", tenant=None):
    numbers = range(first, first + n)
    for path, rq in (("/v1/traces", otlp.traces(service, [i + 1 for i in numbers])), ("/v1/logs", otlp.logs(service, numbers)),
                     ("/v1/metrics", otlp.gauge(service, "level", {i: i / 4 for i in numbers}))):
        a = node.post("otlp", path, rq.SerializeToString(), otlp.PROTO, tenant=tenant)
        assert a.status == 200, a


def seen(node, service="shop", tenant=None):
    """Spans, log records and series there are."""
    rows = node.logs(f"service_name:{service}", tenant=tenant, max_hits=0)["num_hits"]
    spans = sum(len(s["spanSets"][0]["spans"]) for s in
                node.search(f'{{ resource.service.name = "{service}" }}', tenant=tenant, limit=5000, spss=1000))
    series = node.query("count(last_over_time(level[1h]))", tenant=tenant)
    return spans, rows, int(series[0]["value"][1]) if series else 0


def uploaded(node, least=1):
    """Waits until the bucket lists all there is."""
    time.sleep(0.3)  # gauges are set every 100 ms

    def done():
        return metric(node, "tercet_memtable_bytes") == 0 and metric(node, "tercet_object_backlog_segments") == 0 \
            and metric(node, "tercet_object_backlog_age_seconds") == 0 and metric(node, "tercet_object_segments") >= least \
            and metric(node, "tercet_object_segments") == metric(node, "tercet_segments")
    assert eventually(done), node.log_text()[-3000:]


def files(node):
    folder = os.path.join(node.data, "seg")
    return [f for f in os.listdir(folder) if f.endswith(".seg")]


def sealed(node):
    time.sleep(0.3)
    assert eventually(lambda: metric(node, "tercet_memtable_bytes") == 0), node.log_text()[-2000:]


def wipe(node):
    shutil.rmtree(node.data)


def test_upload_evict_query_and_recover(object_node, bucket):
    node = object_node(**NO_ROOM).start()
    for i in range(3):
        send(node, i * 100, 100)
        sealed(node)
    uploaded(node, 3)
    assert eventually(lambda: not files(node)), files(node)
    # The indexes went from the files to the cache, and with segments of one piece all that is beside them.
    got = node.get("tempo", f"/api/traces/{(42).to_bytes(16, 'big').hex()}")
    assert got.status == 200 and metric(node, "tercet_object_cache_misses_total") == 0, got
    node.restart()
    assert seen(node) == (300, 300, 300)
    assert metric(node, "tercet_object_cache_misses_total") > 0
    assert "catalog" in bucket.names() and len(bucket.names("seg/")) >= 3
    misses = metric(node, "tercet_object_cache_misses_total")
    assert seen(node) == (300, 300, 300)
    assert metric(node, "tercet_object_cache_misses_total") == misses and metric(node, "tercet_object_cache_hits_total") > 0

    # A start asks the bucket for nothing: it even starts without one.
    node.kill()
    bucket.proxy.fault = times(10**6, ("status", 500, "InternalError"))
    node.start()
    a = node.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "service_name:shop"})
    assert a.status == 200 and a.json["num_hits"] == 0 and "bucket" in a.json["errors"][0], a
    bucket.proxy.fault = None
    assert eventually(lambda: seen(node) == (300, 300, 300))
    assert node.stop() == 0

    # The disk is lost. Another data directory is another owner: only when told to.
    wipe(node)
    other = object_node("other")
    with pytest.raises(RuntimeError, match="object.takeover"):
        other.start()
    other = object_node("other", **{"object.takeover": "true"}).start()
    assert seen(other) == (300, 300, 300)
    send(other, 300, 50)
    assert seen(other) == (350, 350, 350)
    uploaded(other, 4)
    assert other.stop() == 0
    third = object_node("third", **{"object.takeover": "true"}).start()
    assert seen(third) == (350, 350, 350)
    assert not bucket.proxy.wrong


def test_evicted_samples_become_summaries(object_node, bucket):
    node = object_node(**NO_ROOM, **{"node.cores": "1"}).start()
    start, n = (int(time.time()) - 40 * 86400) // 86400 * 86400, 5760
    write(node, "old", [((start + i * 15) * 1000 + 7000, i) for i in range(n)])
    seal(node)
    uploaded(node)
    assert eventually(lambda: not files(node))
    before, sums = bucket.names("seg/"), [("sum_over_time(old[1d])", n * (n - 1) // 2), ("count_over_time(old[1d])", n)]

    def right():
        return [float(ask(node, q, time=start + 86400)[0]["value"][1]) for q, _ in sums] == [float(v) for _, v in sums]
    assert right()
    # The bucket is away when the rule comes: nothing is lost, and it is done when it is back.
    node.restart()
    uploaded(node)
    bucket.proxy.fault = times(10**6, ("status", 503, "ServiceUnavailable"))
    assert put(node, {"signal": "metrics", "age": "1y", "downsample": [{"after": "30d", "resolution": "5m"}]}).status == 200
    time.sleep(3)
    assert metric(node, "tercet_downsampled_samples_total") == 0
    bucket.proxy.fault = None
    assert eventually(lambda: metric(node, "tercet_downsampled_samples_total") == n - n // 20, 60), node.log_text()[-3000:]
    uploaded(node)
    assert eventually(lambda: not files(node)) and set(bucket.names("seg/")) - set(before)
    assert right()
    node.restart()
    assert right()


def test_classes_by_tenant(object_node, bucket):
    node = object_node(**{"storage.durable": "local", "storage.durable_tenants": "kept=object, other = local",
                          "storage.merge": "false"}).start()
    send(node, 0, 10, tenant="other")
    sealed(node)
    send(node, 0, 10)
    sealed(node)
    time.sleep(1.5)
    assert bucket.names("seg/") == [] and metric(node, "tercet_object_backlog_segments") == 0
    send(node, 0, 10, tenant="kept")
    send(node, 10, 10, tenant="other")  # sealed together, and not into one segment
    sealed(node)
    assert eventually(lambda: metric(node, "tercet_object_segments") >= 1 and metric(node, "tercet_object_backlog_age_seconds") == 0)
    time.sleep(1)  # the backlog is looked at every half second
    assert eventually(lambda: metric(node, "tercet_object_backlog_segments") == 0)
    assert node.stop() == 0
    wipe(node)
    node = object_node(**{"object.takeover": "true"}).start()
    assert seen(node, tenant="kept") == (10, 10, 10)
    assert seen(node) == (0, 0, 0) and seen(node, tenant="other") == (0, 0, 0)


def test_a_class_that_is_changed(object_node, bucket):
    def restart(**settings):
        assert node.stop() == 0
        return object_node(**{"storage.merge": "false", "node.cores": "1", "storage.seal_age": "3s", **settings}).start()
    node = object_node(**{"storage.durable": "local", "node.cores": "1", "storage.seal_age": "3s", "storage.merge": "false"}).start()
    send(node, 0, 10, tenant="moves")
    send(node, 0, 10, tenant="stays")
    sealed(node)
    together = set(files(node))
    send(node, 10, 10, tenant="moves")
    sealed(node)
    assert bucket.names("seg/") == []
    # What the tenant has alone goes to the bucket, what it shares with a local one does not.
    node = restart(**{"storage.durable": "local", "storage.durable_tenants": "moves=object"})
    alone = set(files(node)) - together
    assert eventually(lambda: {n[4:] for n in bucket.names("seg/")} == alone), (bucket.names("seg/"), alone)
    assert metric(node, "tercet_object_mixed_segments") >= 1 and "object.mixed" in node.log_text()
    assert seen(node, tenant="moves") == (20, 20, 20) and seen(node, tenant="stays") == (10, 10, 10)
    # Everybody is: all goes.
    node = restart()
    assert eventually(lambda: {n[4:] for n in bucket.names("seg/")} == together | alone)
    assert eventually(lambda: metric(node, "tercet_object_mixed_segments") == 0)
    # Nobody is any more: what is there stays there, and nothing follows.
    node = restart(**{"storage.durable": "local"})
    send(node, 20, 10, tenant="moves")
    sealed(node)
    time.sleep(1.5)
    assert {n[4:] for n in bucket.names("seg/")} == together | alone
    assert metric(node, "tercet_object_segments") == len(together | alone)
    assert seen(node, tenant="moves") == (30, 30, 30) and seen(node, tenant="stays") == (10, 10, 10)


def test_uploads_wait_for_merges(object_node, bucket):
    node = object_node(**{"node.cores": "1", "object.upload_after": "12s"}).start()
    began = time.monotonic()
    for i in range(4):
        send(node, i * 10, 10)
        sealed(node)
    assert metric(node, "tercet_object_backlog_segments") >= 1
    assert time.monotonic() - began > 12 or bucket.names("seg/") == []
    assert eventually(lambda: metric(node, "tercet_merges_total") >= 1)
    assert eventually(lambda: metric(node, "tercet_object_backlog_age_seconds") >= 3)
    uploaded(node)
    assert time.monotonic() - began > 12
    assert metric(node, "tercet_object_uploads_total") < metric(node, "tercet_seals_total")
    # Not merged, and uploaded again, before the window is over.
    uploads = metric(node, "tercet_object_uploads_total")
    listed = set(bucket.names("seg/"))
    for i in range(4, 8):
        send(node, i * 10, 10)
        sealed(node)
    uploaded(node, 2)
    assert listed <= set(bucket.names("seg/")) and metric(node, "tercet_object_uploads_total") > uploads
    # A disk that has no room does not wait.
    assert node.stop() == 0
    node = object_node(**{"node.cores": "1", "object.upload_after": "1h", **NO_ROOM}).start()
    send(node, 80, 10)
    sealed(node)
    assert eventually(lambda: not files(node))
    assert seen(node) == (90, 90, 90)
    assert node.stop() == 0
    wipe(node)
    node = object_node(**{"object.takeover": "true"}).start()
    assert seen(node) == (90, 90, 90)


def partial(node, local=None):
    """Every API answers, at once, with what is on the disk, and says that it is not all."""
    began = time.monotonic()
    a = node.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "service_name:shop"})
    assert a.status == 200 and "bucket" in a.json["errors"][0], a
    assert local is None or a.json["num_hits"] == local, a
    a = node.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "service_name:shop", "allow_failed_splits": "false"})
    assert a.status == 503 and b"bucket" in a.body, a
    es = "/api/v1/_elastic/otel-logs-v0_9/_search"
    a = node.get("quickwit", es, params={"q": "service_name:shop"})
    assert a.status == 200 and a.json["_shards"]["failed"] == 1, a
    a = node.get("quickwit", es, params={"q": "service_name:shop", "allow_partial_search_results": "false"})
    assert a.status == 503, a
    a = node.get("prom", "/api/v1/query", params={"query": "last_over_time(level[1h])"})
    assert a.status == 200 and "bucket" in a.json["warnings"][0], a
    a = node.get("tempo", "/api/search", params={"q": "{ }"})
    assert a.status == 200 and a.json["status"] == "PARTIAL" and "bucket" in a.json["message"], a
    assert metric(node, "tercet_object_away") > 0
    a = node.get("ui", "/api/ui/status")
    assert any("bucket" in b["text"] for b in a.json["banners"]), a
    # A query of a time that the bucket has nothing of is whole.
    a = node.get("prom", "/api/v1/query", params={"query": "level", "time": "1000000000"})
    assert a.status == 200 and "warnings" not in a.json, a
    assert time.monotonic() - began < 5


def test_bucket_away_and_back(object_node, bucket):
    node = object_node(**NO_ROOM).start()
    send(node, 0, 50)
    uploaded(node)
    assert eventually(lambda: not files(node))
    node.restart()  # the cache is empty
    uploaded(node)
    bucket.proxy.fault = times(10**6, ("status", 503, "ServiceUnavailable"))
    send(node, 50, 50)  # ingest does not notice
    sealed(node)
    partial(node, 50)
    assert eventually(lambda: metric(node, "tercet_object_backlog_segments") >= 1)
    assert eventually(lambda: metric(node, "tercet_object_backlog_age_seconds") >= 2)
    assert files(node)  # nothing that is not uploaded goes, however full the disk
    bucket.proxy.fault = None
    assert eventually(lambda: metric(node, "tercet_object_away") == 0)  # a probe finds out
    assert seen(node)[0] >= 50
    assert metric(node, "tercet_object_retries_total") > 0
    node.kill()  # and with it what was cached
    node.start()
    bucket.proxy.fault = times(10**6, ("delay", 30))
    began = time.monotonic()
    a = node.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "service_name:shop"})
    assert a.status == 200 and a.json["errors"] and time.monotonic() - began < 12, a  # object.timeout, once
    partial(node)
    bucket.proxy.fault = None
    assert eventually(lambda: metric(node, "tercet_object_backlog_segments") == 0)
    assert eventually(lambda: not files(node) and metric(node, "tercet_object_away") == 0)
    assert seen(node) == (100, 100, 100)


@pytest.mark.parametrize("what", [("lost",), ("status", 500, "InternalError"), ("status", 412, "PreconditionFailed"), ("cut",)])
def test_faults_of_the_catalog_write(object_node, bucket, what):
    node = object_node().start()
    send(node, 0, 20)
    uploaded(node)
    bucket.proxy.fault = times(2, what, method="PUT", path="/catalog")
    send(node, 20, 20)
    uploaded(node, 2)
    assert bucket.proxy.faults >= 2
    assert metric(node, "tercet_object_fenced") == 0
    node.kill()
    wipe(node)
    node = object_node(**{"object.takeover": "true"}).start()
    assert seen(node) == (40, 40, 40)


def test_killed_in_the_midst_of_uploads(object_node, bucket):
    """Kills at moments of the tier's work that faults hold open: between parts of an upload, before and after the catalog is written."""
    sent = 0
    node = object_node()
    for method, path, what in (("PUT", "/seg/", ("delay", 2)), ("PUT", "/seg/", ("lost",)), ("PUT", "/catalog", ("delay", 2)),
                               ("PUT", "/catalog", ("lost",)), ("HEAD", "/seg/", ("delay", 2))):
        node.start()
        bucket.proxy.fault = times(1, what, method=method, path=path)
        send(node, sent, 20)
        sent += 20
        assert eventually(lambda: bucket.proxy.fault.left[0] == 0)
        time.sleep(0.1)
        node.kill()
        bucket.proxy.fault = None
    node.start()
    assert seen(node) == (sent, sent, sent)
    uploaded(node)
    assert metric(node, "tercet_object_fenced") == 0
    node.kill()
    wipe(node)
    node = object_node(**{"object.takeover": "true"}).start()
    assert seen(node) == (sent, sent, sent)


def test_two_nodes_on_one_prefix(object_node, bucket):
    first = object_node("first").start()
    send(first, 0, 20)
    uploaded(first)
    catalog = bucket.get("catalog")
    # A node with data of its own never takes over.
    second = object_node("second", **{"storage.durable": "local", "object.bucket": ""}).start()
    send(second, 500, 5)
    sealed(second)
    assert second.stop() == 0
    second = object_node("second", **{"object.takeover": "true"}).start()
    assert eventually(lambda: metric(second, "tercet_object_fenced") == 1)
    assert "object.fenced" in second.log_text() and bucket.get("catalog") == catalog
    assert seen(second) == (5, 5, 5)  # its local life goes on
    assert second.stop() == 0
    # A new one does, and the first finds out at its next write.
    third = object_node("third", **{"object.takeover": "true"}).start()
    assert seen(third) == (20, 20, 20)
    send(first, 20, 20)
    assert eventually(lambda: metric(first, "tercet_object_fenced") == 1)
    assert seen(first) == (40, 40, 40)
    send(third, 100, 10)
    uploaded(third, 2)
    assert metric(third, "tercet_object_fenced") == 0 and seen(third) == (30, 30, 30)
    # A copy of a data directory is found out too.
    assert third.stop() == 0
    shutil.copytree(third.data, third.data + "-copy")
    third.start()
    send(third, 200, 10)
    uploaded(third, 3)
    copy = object_node("third-copy").start()
    assert eventually(lambda: metric(copy, "tercet_object_fenced") == 1)
    assert metric(third, "tercet_object_fenced") == 0


def test_bodies_cut_in_the_middle(object_node, bucket):
    """Of uploads, of reads and of lists: nothing that came in part is taken for all, nothing is lost."""
    bucket.proxy.body_fault = times(2, 2000, method="PUT", path="/seg/")
    node = object_node(**NO_ROOM, **{"node.cores": "1", "object.grace": "2s"}).start()
    send(node, 0, 200)
    uploaded(node)
    assert bucket.proxy.faults == 2 and metric(node, "tercet_object_retries_total") >= 1
    assert eventually(lambda: not files(node))
    for what in (("reset", 0), ("reset", 3000), ("short", 3000)):
        node.kill()  # and with it what was cached
        node.start()
        bucket.proxy.fault = times(2, what, method="GET", path="/seg/")
        assert seen(node) == (200, 200, 200), what
        assert bucket.proxy.fault.left[0] == 0 and metric(node, "tercet_object_away") == 0
        bucket.proxy.fault = None
    bucket.put("seg/" + "0" * 32 + ".seg", b"left behind")
    bucket.proxy.fault = times(2, ("short", 300), method="GET", query="list-type")
    assert eventually(lambda: "seg/" + "0" * 32 + ".seg" not in bucket.names("seg/")), node.log_text()[-2000:]
    assert seen(node) == (200, 200, 200)


def test_lists_that_are_behind(object_node, bucket):
    """What was just written is missing from them, what was removed is still there: the catalog object is what counts."""
    ghost = "seg/" + "0" * 32 + ".seg"
    bucket.put(ghost, b"left behind")
    node = object_node(**NO_ROOM, **{"object.grace": "1s", "storage.merge": "false"}).start()
    for i in range(2):
        send(node, i * 20, 20)
        sealed(node)
    uploaded(node, 2)
    assert eventually(lambda: metric(node, "tercet_object_collected_total") == 1)
    names, uploads = bucket.names("seg/"), metric(node, "tercet_object_uploads_total")
    bucket.stale_lists(missing=names, left=[ghost])
    time.sleep(4)
    assert bucket.proxy.faults >= 4  # lists
    assert bucket.names("seg/") == names and metric(node, "tercet_object_uploads_total") == uploads
    assert metric(node, "tercet_object_collected_total") == 1  # it is not there to be removed again
    assert metric(node, "tercet_object_fenced") == 0 and "object.tier" not in node.log_text()
    assert seen(node) == (40, 40, 40)
    # Who takes over goes by the catalog object too.
    assert node.stop() == 0
    wipe(node)
    node = object_node(**{"object.takeover": "true", "object.grace": "1s"}).start()
    assert seen(node) == (40, 40, 40)
    time.sleep(3)
    assert bucket.names("seg/") == names


def test_a_clock_that_the_bucket_refuses(object_node, bucket):
    node = object_node(**NO_ROOM, **{"storage.merge": "false"}).start()
    send(node, 0, 20)
    uploaded(node)
    assert eventually(lambda: not files(node))
    node.kill()  # and with it what was cached
    bucket.proxy.fault = times(10**6, ("skew", 3600))
    node.start()
    says = re.compile(r"refuses our clock, which is 3[56]\d\d s behind its own: set this machine's clock \(NTP\)").search
    a = node.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": "service_name:shop"})
    assert a.status == 200 and a.json["num_hits"] == 0 and says(a.json["errors"][0]), a
    partial(node, 0)
    send(node, 20, 20)  # ingest does not notice
    sealed(node)
    assert eventually(lambda: node.log_text().count("event=object.tier") >= 2), node.log_text()[-2000:]
    assert all(says(line) for line in node.log_text().splitlines() if "event=object.tier" in line), node.log_text()[-2000:]
    assert files(node)  # nothing that is not uploaded goes
    before = bucket.proxy.requests.total()
    time.sleep(2)
    assert bucket.proxy.requests.total() - before < 20  # it is not stormed
    bucket.proxy.fault = None
    assert eventually(lambda: metric(node, "tercet_object_away") == 0)
    assert seen(node)[0] >= 20
    uploaded(node, 2)
    assert eventually(lambda: not files(node))
    assert seen(node) == (40, 40, 40)
    # In the midst of its life: uploads wait, and how long is told.
    bucket.proxy.fault = times(10**6, ("skew", -3600), path="/catalog")
    send(node, 40, 20)
    sealed(node)
    assert eventually(lambda: re.search(r"36\d\d s ahead of its own", node.log_text()))
    assert eventually(lambda: metric(node, "tercet_object_backlog_age_seconds") >= 3)
    assert files(node)
    bucket.proxy.fault = None
    uploaded(node, 3)
    node.kill()
    wipe(node)
    node = object_node(**{"object.takeover": "true"}).start()
    assert seen(node) == (60, 60, 60)


def test_what_nothing_refers_to_is_removed(object_node, bucket):
    bucket.put("seg/" + "0" * 32 + ".seg", b"left behind")
    bucket.put("mine/not-ours", b"x")
    upload = bucket.s3.create_multipart_upload(Bucket="tercet-test", Key=f"{bucket.prefix}/seg/{'1' * 32}.seg")
    assert upload and len(bucket.uploads()) == 1
    node = object_node(**{"object.grace": "2s"}).start()
    send(node, 0, 20)
    uploaded(node)
    assert eventually(lambda: "seg/" + "0" * 32 + ".seg" not in bucket.names("seg/") and not bucket.uploads())
    assert len(bucket.names("seg/")) == metric(node, "tercet_object_segments") and "mine/not-ours" in bucket.names()
    assert metric(node, "tercet_object_collected_total") == 2
    # Age takes them from both places.
    assert node.stop() == 0
    node = object_node(**{"object.grace": "1s", "storage.retention_age": "1s"}).start()
    assert eventually(lambda: bucket.names("seg/") == []), bucket.names()
    assert seen(node) == (0, 0, 0)


def test_a_segment_that_is_lost_here_is_read_from_there(object_node, bucket):
    node = object_node(**{"node.cores": "1"}).start()
    send(node, 0, 50)
    uploaded(node)
    node.kill()
    for name in files(node):
        path = os.path.join(node.data, "seg", name)
        with open(path, "r+b") as f:
            f.truncate(100)
    node.start()
    assert eventually(lambda: seen(node) == (50, 50, 50)), node.log_text()[-2000:]
    assert node.stop() == 0


def test_bytes_of_the_cache_that_rot(object_node, bucket):
    node = object_node(**NO_ROOM, **{"node.cores": "1"}).start()
    send(node, 0, 200)
    uploaded(node)
    assert eventually(lambda: not files(node))
    assert seen(node) == (200, 200, 200)
    cache = os.path.join(node.data, "object", "cache-0")
    size = os.path.getsize(cache)
    with open(cache, "r+b") as f:
        f.write(os.urandom(size))
    assert seen(node) == (200, 200, 200)
    assert metric(node, "tercet_object_cache_failed_total") > 0


@pytest.mark.parametrize("settings,says", [
    ({"storage.durable": "both"}, "storage.durable: 'both'"), ({"storage.durable_tenants": "a"}, "storage.durable_tenants wants TENANT="),
    ({"object.bucket": ""}, "object.bucket is not"), ({"object.secret_key": "", "object.access_key": ""}, "no credentials"),
    ({"object.endpoint": "http://127.0.0.1:1"}, "a new data directory must know what the bucket has"),
    ({"object.bucket": "no-such-bucket"}, "there is no bucket"),
])
def test_settings_that_cannot_work_are_refused(object_node, settings, says):
    node = object_node(**settings)
    node.env.update({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    with pytest.raises(RuntimeError, match=says):
        node.start()
    assert "tercet-secret" not in node.log_text()


def test_evicted_segments_need_their_bucket(object_node, bucket):
    node = object_node(**NO_ROOM).start()
    send(node, 0, 20)
    uploaded(node)
    assert eventually(lambda: not files(node))
    assert node.stop() == 0
    node = object_node(**{"object.bucket": "", "storage.durable": "local"})
    with pytest.raises(RuntimeError, match="is in the bucket alone"):
        node.start()
