"""Deleting series, rows and indexes through the APIs: seen at once, exact, and still gone after a kill -9."""
import glob
import json
import os
import subprocess
import time

import pytest

import otlp
import prompb
from node import eventually

DELETE = "/api/v1/admin/tsdb/delete_series"
NDJSON = "application/x-ndjson"


def send(node, signal, rq, tenant=None):
    path = {"traces": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}[signal]
    a = node.post("otlp", path, rq.SerializeToString(), otlp.PROTO, tenant=tenant)
    assert a.status == 200, a


def again(node):
    node.kill()
    node.start()


def series(node, match, tenant=None, **params):
    a = node.get("prom", "/api/v1/series", params={"match[]": match, **params}, tenant=tenant)
    assert a.status == 200, a
    return sorted(s["n"] for s in a.json["data"])


def delete_series(node, tenant=None, method="POST", **params):
    return node.request(method, "prom", DELETE, params=params, tenant=tenant)


def with_exemplar(name, number, at_ns):
    """A histogram's point with an exemplar, whose trace is the number."""
    rq = otlp.gauge("shop", "x", {})
    m = rq.resource_metrics[0].scope_metrics[0].metrics.add(name=name, unit="s")
    m.histogram.aggregation_temporality = 2
    p = m.histogram.data_points.add(start_time_unix_nano=at_ns - 10**9, time_unix_nano=at_ns, count=2, sum=0.7, explicit_bounds=[0.1, 0.5],
                                    bucket_counts=[0, 1, 1])
    p.exemplars.add(time_unix_nano=at_ns, as_double=0.6, trace_id=number.to_bytes(16, "big"), span_id=b"\x0b" * 8)
    return rq


def test_exemplars_go_with_their_series(node):
    now = time.time_ns() // 10**9 * 10**9

    def traces(name, tenant=None):
        a = node.get("prom", "/api/v1/query_exemplars", params={"query": name, "start": now / 1e9 - 600, "end": now / 1e9 + 600}, tenant=tenant)
        assert a.status == 200, a
        return sorted(int(x["labels"]["trace_id"], 16) for s in a.json["data"] for x in s["exemplars"])

    for i in range(20):
        send(node, "metrics", with_exemplar("wait", 100 + i, now - i * 10**9))
        send(node, "metrics", with_exemplar("rest", 200 + i, now - i * 10**9))
    send(node, "metrics", with_exemplar("wait", 300, now), tenant="other")
    wait, rest = "wait_seconds_bucket", "rest_seconds_bucket"
    assert traces(wait) == list(range(100, 120)) and traces(rest) == list(range(200, 220))
    end = {"start": now / 1e9 - 9, "end": now / 1e9 - 5}
    assert delete_series(node, **{"match[]": [f'{wait}{{job="shop"}}', "nothing"], **end}).status == 204
    kept = [n for n in range(100, 120) if not 105 <= n <= 109]
    assert traces(wait) == kept and traces(rest) == list(range(200, 220))
    again(node)
    assert traces(wait) == kept
    assert delete_series(node, **{"match[]": '{__name__=~"wait.*"}'}).status == 204
    assert traces(wait) == [] and traces(rest) == list(range(200, 220)) and traces(wait, "other") == [300]
    send(node, "metrics", with_exemplar("wait", 103, now - 3 * 10**9))  # what comes later is seen, whatever its time
    assert traces(wait) == [103]
    again(node)
    assert traces(wait) == [103] and traces(rest) == list(range(200, 220))
    tasks = node.get("ui", "/api/delete").json["deletions"]
    assert [(t["state"], t["signal"], t["rows"]) for t in tasks] == [("done", "exemplars", 15), ("done", "exemplars", 5)], tasks
    assert node.get("ui", "/api/delete", tenant="other").json["deletions"] == []
    # No task where there is nothing to look for.
    assert delete_series(node, tenant="third", **{"match[]": "up"}).status == 204
    assert node.get("ui", "/api/delete", tenant="third").json["deletions"] == []


def test_series(node):
    now = time.time_ns() // 10**9 * 10**9
    for step in range(10):
        at = now - (10 - step) * 10**9
        send(node, "metrics", otlp.gauge("shop", "temp", {n: step * 100 + n for n in range(6)}, at))
    send(node, "metrics", otlp.gauge("shop", "temp", {0: 1}, now - 10**9), tenant="other")
    s = now / 1e9
    assert len(node.query("temp", at=s)) == 6

    assert delete_series(node, **{"match[]": 'temp{n="0"}'}).status == 204
    assert delete_series(node, method="PUT", **{"match[]": ['temp{n=~"1|2"}', 'nothing{a="b"}'], "start": s - 4, "end": s - 3}).status == 204

    def check():
        assert series(node, "temp") == ["1", "2", "3", "4", "5"]
        values = node.get("prom", "/api/v1/label/n/values").json["data"]
        assert "0" not in values and "1" in values
        assert len(node.query("temp", at=s)) == 5
        counts = {r["metric"]["n"]: int(r["value"][1]) for r in node.query("count_over_time(temp[1m])", at=s)}
        assert counts == {"1": 8, "2": 8, "3": 10, "4": 10, "5": 10}
        assert series(node, 'temp{n="1"}', start=s - 4, end=s - 3) == []
        assert series(node, "temp", tenant="other") == ["0"]
        sums = {r["metric"]["n"]: float(r["value"][1]) for r in node.query("sum_over_time(temp[1m])", at=s)}
        assert sums["1"] == sum(i * 100 + 1 for i in range(10) if i not in (6, 7))

    check()
    again(node)
    check()
    assert node.post("prom", "/api/v1/admin/tsdb/clean_tombstones", b"").status == 204
    check()
    # What is written later is there, out of order too, and also when it looks the same as what was deleted.
    send(node, "metrics", otlp.gauge("shop", "temp", {0: 5}, now - 5 * 10**9))
    send(node, "metrics", otlp.gauge("shop", "temp", {0: 0}, now - 10 * 10**9))
    again(node)
    assert node.query('count_over_time(temp{n="0"}[1m])', at=s)[0]["value"][1] == "2"


def test_series_errors(node, make_node):
    a = node.post("prom", DELETE, b"")
    assert (a.status, a.json["errorType"], a.json["error"]) == (400, "bad_data", "no match[] parameter provided")
    assert delete_series(node, **{"match[]": "{"}).status == 400
    assert delete_series(node, **{"match[]": "up", "start": "yesterday"}).status == 400
    assert delete_series(node, **{"match[]": "up", "start": 5, "end": 4}).status == 400
    assert delete_series(node, method="GET", **{"match[]": "up"}).status == 405
    off = make_node("off", args=["--set", "api.deletes=off"])
    off.start()
    a = delete_series(off, **{"match[]": "up"})
    assert (a.status, a.json["errorType"]) == (503, "unavailable") and "api.deletes" in a.json["error"]
    a = off.post("ui", "/api/delete", {"signal": "spans", "query": "{}"})
    assert a.status == 403 and "api.deletes" in a.json["error"]
    assert off.post("quickwit", "/api/v1/otel-logs-v0_9/delete-tasks", {"query": "*"}).status == 403


def docs(node, index, numbers, **more):
    body = "".join(json.dumps({"n": n, "kind": "even" if n % 2 == 0 else "odd", "text": f"book number {n}", **more}) + "\n" for n in numbers)
    a = node.post("quickwit", f"/api/v1/{index}/ingest", body, NDJSON)
    assert a.status == 200, a


def found(node, index, query="*"):
    a = node.get("quickwit", f"/api/v1/{index}/search", params={"query": query, "max_hits": 1000})
    assert a.status == 200, a
    hits = sorted(h["n"] for h in a.json["hits"])
    assert a.json["num_hits"] == len(hits)
    return hits


def make_index(node, name):
    mapping = {"mode": "dynamic", "field_mappings": [{"name": "text", "type": "text"}]}
    config = {"version": "0.9", "index_id": name, "doc_mapping": mapping, "search_settings": {"default_search_fields": ["text"]}}
    assert node.post("quickwit", "/api/v1/indexes", config).status == 200


def test_quickwit_delete_tasks(node):
    make_index(node, "books")
    docs(node, "books", range(100))
    assert node.get("quickwit", "/api/v1/books/delete-tasks").json == []
    a = node.post("quickwit", "/api/v1/books/delete-tasks", {"query": "kind:even AND n:[10 TO 49]"})
    assert a.status == 200 and a.json["opstamp"] == 1, a
    assert a.json["delete_query"]["index_uid"].startswith("books:") and a.json["create_timestamp"] > 0
    docs(node, "books", [20])  # after the task: it stays

    def finished():
        tasks = node.get("quickwit", "/api/v1/books/delete-tasks").json
        return tasks if all(t["state"] == "done" for t in tasks) else None

    assert [t["deleted_rows"] for t in eventually(finished)] == [20]
    left = sorted([n for n in range(100) if n % 2 or not 10 <= n < 50] + [20])
    assert found(node, "books") == left
    again(node)
    assert found(node, "books") == left
    assert found(node, "books", "kind:even AND n:[10 TO 49]") == [20]
    a = node.post("quickwit", "/api/v1/books/delete-tasks", {"query": "number 7", "search_field": ["text"]})
    assert a.json["opstamp"] == 2, a
    eventually(finished)
    assert 7 not in found(node, "books")
    assert node.post("quickwit", "/api/v1/books/delete-tasks", {"query": "n:[["}).status == 400
    assert node.post("quickwit", "/api/v1/books/delete-tasks", {"quarry": "x"}).status == 400
    assert node.post("quickwit", "/api/v1/books/delete-tasks", {}).status == 400
    assert node.post("quickwit", "/api/v1/nothing/delete-tasks", {"query": "*"}).status == 404


def test_delete_by_query_with_elasticsearch_py(node):
    elasticsearch = pytest.importorskip("elasticsearch")
    make_index(node, "books")
    make_index(node, "pens")
    docs(node, "books", range(50))
    docs(node, "pens", range(50))
    es = elasticsearch.Elasticsearch(node.url("quickwit", "/api/v1/_elastic"), retry_on_timeout=False, max_retries=0)
    r = es.delete_by_query(index="books,pens", query={"range": {"n": {"gte": 40}}})
    assert r["deleted"] == r["total"] == 20 and r["failures"] == [] and r["timed_out"] is False
    assert es.count(index="books")["count"] == 40
    r = es.delete_by_query(index="books", query={"term": {"kind": "odd"}}, wait_for_completion=False)
    assert eventually(lambda: es.tasks.get(task_id=r["task"])["completed"])
    assert es.tasks.get(task_id=r["task"])["response"]["deleted"] == 20
    assert found(node, "books") == list(range(0, 40, 2)) and found(node, "pens") == list(range(40))
    assert es.search(index="books", aggs={"k": {"terms": {"field": "kind"}}}, size=0)["aggregations"]["k"]["buckets"] == [{"key": "even", "doc_count": 20}]
    with pytest.raises(elasticsearch.BadRequestError):
        es.delete_by_query(index="books", query={"no_such": {}})
    with pytest.raises(elasticsearch.NotFoundError):
        es.delete_by_query(index="nothing", query={"match_all": {}})
    assert es.delete_by_query(index="books", query={"match_all": {}})["deleted"] == 20
    assert found(node, "books") == []


def test_spans_and_logs(node):
    now = time.time_ns()
    send(node, "traces", otlp.traces("shop", range(1, 201), now))
    send(node, "traces", otlp.traces("pay", range(201, 301), now))
    send(node, "logs", otlp.logs("shop", range(100), now))

    def rows(service):
        a = node.get("tempo", "/api/metrics/query", params={"q": f'{{ resource.service.name = "{service}" }} | count_over_time()', "since": "1h"})
        assert a.status == 200, a
        return sum(s.get("value", 0) for s in a.json["series"])

    a = node.post("ui", "/api/delete", {"signal": "spans", "query": '{ resource.service.name = "shop" && span.even = true }', "end": now / 1e9 + 60})
    assert (a.status, a.json["state"], a.json["rows"]) == (200, "done", 100), a
    a = node.post("ui", "/api/delete", {"signal": "logs", "query": "severity_text:INFO AND attributes.n:[0 TO 9]"})
    assert (a.status, a.json["state"], a.json["rows"]) == (200, "done", 10), a

    def check():
        assert rows("shop") == 100 and rows("pay") == 100
        assert node.get("tempo", f"/api/traces/{2:032x}").status == 404
        assert node.get("tempo", f"/api/traces/{3:032x}").status == 200
        assert len(node.search('{ span.n = 4 }')) == 0 and len(node.search('{ span.n = 5 }')) == 1
        assert node.logs("*")["num_hits"] == 90
        assert node.logs("attributes.n:5")["num_hits"] == 0

    check()
    again(node)
    check()
    # Everything of a service: its name is no longer offered.
    a = node.post("ui", "/api/delete", {"signal": "spans", "query": '{ resource.service.name = "pay" }'})
    assert a.json["rows"] == 100, a
    values = node.get("tempo", "/api/v2/search/tag/resource.service.name/values").json["tagValues"]
    assert [v["value"] for v in values] == ["shop"]
    listed = node.get("ui", "/api/delete").json["deletions"]
    assert [t["id"] for t in listed] == [3, 2, 1] and all(t["state"] == "done" for t in listed)
    assert node.get("ui", "/api/delete/1").json["rows"] == 100
    assert node.get("ui", "/api/delete/99").status == 404
    assert node.get("ui", "/api/delete", tenant="other").json["deletions"] == []
    for bad in [{}, {"signal": "spans"}, {"signal": "spans", "query": "{ } | count() > 1"}, {"signal": "spans", "query": "{ rootName = `x` }"},
                {"signal": "metrics", "query": "up"}, {"signal": "docs", "query": "*"}, {"signal": "spans", "query": "{}", "start": 5, "end": 4},
                {"signal": "spans", "query": "{}", "from": 5}]:
        a = node.post("ui", "/api/delete", bad)
        assert a.status == 400 and a.json["error"], (bad, a)


def metric(node, name):
    for line in node.get("prom", "/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(name)


def test_a_deleted_index_frees_its_bytes(node):
    make_index(node, "books")
    docs(node, "books", range(1000), pad="x" * 100)
    assert node.request("DELETE", "quickwit", "/api/v1/indexes/books").status == 200
    make_index(node, "books")
    assert found(node, "books") == []
    docs(node, "books", [1])
    assert found(node, "books") == [1]
    assert node.post("prom", "/api/v1/admin/tsdb/clean_tombstones", b"").status == 204
    assert metric(node, "tercet_deleted_bytes_total") > 0
    again(node)
    assert found(node, "books") == [1]
    assert node.request("PUT", "quickwit", "/api/v1/indexes/books/clear").status == 200
    assert found(node, "books") == []


def test_a_segment_with_much_deleted_is_written_anew(node):
    make_index(node, "worn")
    body = "".join(json.dumps({"n": n, "kind": "odd" if n % 2 else "even", "pad": os.urandom(200).hex()}) + "\n" for n in range(1000))
    assert node.post("quickwit", "/api/v1/worn/ingest", body, NDJSON).status == 200
    assert node.post("quickwit", "/api/v1/worn/delete-tasks", {"query": "kind:even"}).status == 200
    assert eventually(lambda: found(node, "worn") == list(range(1, 1000, 2)))
    assert metric(node, "tercet_dead_rows") == 500
    before = metric(node, "tercet_segment_bytes")
    assert node.post("prom", "/api/v1/admin/tsdb/clean_tombstones", b"").status == 204
    assert eventually(lambda: metric(node, "tercet_merge_rows_dropped_total") == 500 and metric(node, "tercet_dead_rows") == 0)
    assert eventually(lambda: metric(node, "tercet_segment_bytes") < before * 0.7)
    assert found(node, "worn") == list(range(1, 1000, 2))
    node.kill()
    node.start()
    assert found(node, "worn") == list(range(1, 1000, 2)) and metric(node, "tercet_dead_rows") == 0


def test_promtool_sees_the_deletion(node):
    now = time.time_ns()
    send(node, "metrics", otlp.gauge("shop", "temp", {1: 1, 2: 2}, now))
    assert delete_series(node, **{"match[]": 'temp{n="1"}'}).status == 204
    out = subprocess.run(["promtool", "query", "series", "--match", "temp", node.url("prom")], capture_output=True, text=True, timeout=20)
    assert out.returncode == 0 and 'n="2"' in out.stdout and 'n="1"' not in out.stdout, out


def test_retention_by_tenant_signal_and_index(node):
    make_index(node, "books")
    make_index(node, "pens")
    now = time.time_ns()
    old = now - 3 * 86400 * 10**9
    send(node, "logs", otlp.logs("shop", range(10), old))
    send(node, "logs", otlp.logs("shop", range(10), old), tenant="other")
    send(node, "metrics", otlp.gauge("shop", "temp", {1: 1}, old))

    def seal():  # what is in memory is not judged: a deletion seals
        assert node.post("ui", "/api/delete", {"signal": "spans", "query": "{ name = `none` }"}).status == 200

    def put(rule, **kw):
        return node.request("PUT", "ui", "/api/retention", body=json.dumps(rule).encode(), **kw)

    docs(node, "books", range(5))
    docs(node, "pens", range(5))
    seal()
    assert node.logs("*")["num_hits"] == 10 and series(node, "temp", start=old / 1e9 - 60, end=now / 1e9) == ["1"]
    a = put({"signal": "logs", "age": "1d"})
    assert a.status == 200 and a.json["rules"] == [{"signal": "logs", "age_seconds": 86400}] and a.json["default"] == {"age_seconds": None}, a
    assert node.logs("*")["num_hits"] == 0 and node.logs("*", tenant="other")["num_hits"] == 10
    assert series(node, "temp", start=old / 1e9 - 60, end=now / 1e9) == ["1"]
    assert put({"signal": "metrics", "age": "2d"}).status == 200
    assert series(node, "temp", start=old / 1e9 - 60, end=now / 1e9) == []
    time.sleep(1.1)
    assert put({"index": "books", "age": "1s"}).status == 200
    assert found(node, "books") == [] and found(node, "pens") == list(range(5))
    again(node)
    assert node.logs("*")["num_hits"] == 0 and node.logs("*", tenant="other")["num_hits"] == 10
    assert found(node, "books") == [] and found(node, "pens") == list(range(5))
    a = node.get("ui", "/api/retention")
    assert sorted(r["age_seconds"] for r in a.json["rules"]) == [1, 86400, 172800] and node.get("ui", "/api/retention", tenant="other").json["rules"] == []
    a = put({"index": "books", "age": None})
    assert [r.get("index") for r in a.json["rules"]] == [None, None], a
    for bad in [{}, {"age": "soon"}, {"age": 5}, {"age": "-1d"}, {"signal": "x", "age": "1d"}, {"age": "1d", "more": 1}, {"index": "otel-logs-v0_9", "age": "1d"}]:
        assert put(bad).status == 400, bad
    assert put({"index": "nothing", "age": "1d"}).status == 404


def test_retention_of_an_index_configuration(node):
    def config(name, **kw):
        return {"version": "0.9", "index_id": name, "doc_mapping": {"field_mappings": [{"name": "user", "type": "text", "tokenizer": "raw"}, {"name": "n", "type": "i64"}]}, **kw}

    def indexes(method, path="", body=None, **kw):
        return node.request(method, "quickwit", "/api/v1/indexes" + path, body=None if body is None else json.dumps(body).encode(), headers={"content-type": "application/json"}, **kw)

    def rules():
        return sorted((r.get("index"), r["age_seconds"]) for r in node.get("ui", "/api/retention").json["rules"])

    for bad in [{"period": "foo"}, {"period": "7 days", "schedule": "never"}, {"schedule": "daily"}, 7]:
        a = indexes("POST", body=config("books", retention=bad))
        assert a.status == 400, a
    assert "failed to parse retention period `foo`" in indexes("POST", body=config("books", retention={"period": "foo"})).body.decode()
    assert rules() == [] and indexes("GET", "/books").status == 404
    a = indexes("POST", body=config("books", retention={"period": "7 days"}))
    assert a.status == 200 and a.json["index_config"]["retention"] == {"period": "7 days", "schedule": "hourly"}, a
    assert rules() == [("books", 7 * 86400)]
    a = node.request("PUT", "ui", "/api/retention", body=json.dumps({"index": "books", "age": "1s"}).encode())
    assert a.status == 400 and "configuration" in a.body.decode(), a
    make_index(node, "pens")
    docs(node, "books", range(5))
    docs(node, "pens", range(5))
    time.sleep(1.1)
    assert node.post("ui", "/api/delete", {"signal": "spans", "query": "{ name = `none` }"}).status == 200  # seals
    assert found(node, "books") == list(range(5))
    assert indexes("PUT", "/books", config("books", retention={"period": "1 second", "schedule": "daily"})).status == 200
    assert found(node, "books") == [] and found(node, "pens") == list(range(5)) and rules() == [("books", 1)]
    again(node)
    assert found(node, "books") == [] and rules() == [("books", 1)]
    assert indexes("GET", "/books").json["index_config"]["retention"] == {"period": "1 second", "schedule": "daily"}
    assert indexes("PUT", "/books/clear").status == 200 and rules() == [("books", 1)]
    assert indexes("PUT", "/books", config("books")).status == 200 and rules() == []
    assert indexes("GET", "/books").json["index_config"]["retention"] is None
    assert node.request("PUT", "ui", "/api/retention", body=json.dumps({"index": "books", "age": "9d"}).encode()).status == 200
    assert indexes("PUT", "/books", config("books")).status == 200 and rules() == [("books", 9 * 86400)]
    assert indexes("POST", body=config("books", retention={"period": "1 week"}), params={"overwrite": "true"}).status == 200
    assert rules() == [("books", 7 * 86400)]
    assert indexes("DELETE", "/books").status == 200 and rules() == []
    assert node.request("POST", "quickwit", "/api/v1/templates", headers={"content-type": "application/json"}, body=json.dumps({"version": "0.9", "template_id": "logs", "index_id_patterns": ["logs-*"], "retention": {"period": "2 days"}}).encode()).status == 200
    assert node.post("quickwit", "/api/v1/logs-1/ingest", b'{"a": 1}', NDJSON).status == 200
    assert rules() == [("logs-1", 2 * 86400)]


def test_retention_by_matcher(make_node):
    node = make_node(args=["--set", "storage.merge=false"]).start()  # what is too old is gone for good when it was merged
    now = time.time_ns()
    old = now - 3 * 86400 * 10**9

    def put(rule):
        return node.request("PUT", "ui", "/api/retention", body=json.dumps(rule).encode())

    def temps():
        return sorted(r["metric"]["n"] for r in node.query("temp", at=old / 1e9 + 1))

    def services():
        return sorted({h["service_name"] for h in node.logs("*", max_hits=100)["hits"]})

    def traces(q):
        return sorted({t["rootServiceName"] for t in node.search(q, start=int(old / 1e9) - 60, end=int(now / 1e9), limit=100)})

    send(node, "metrics", otlp.gauge("shop", "temp", {1: 1, 2: 2, 3: 3}, old))
    for at, service in enumerate(["shop", "desk"]):
        send(node, "logs", otlp.logs(service, range(5), old))
        send(node, "traces", otlp.traces(service, range(10 * at + 1, 10 * at + 10), old))
    assert node.post("ui", "/api/delete", {"signal": "spans", "query": "{ name = `none` }"}).status == 200  # seals
    assert temps() == ["1", "2", "3"] and services() == ["desk", "shop"] and traces("{ }") == ["desk", "shop"]
    # shorter than what is around it
    a = put({"signal": "metrics", "matcher": 'temp{n="1"}', "age": "1d"})
    assert a.status == 200 and a.json["rules"] == [{"signal": "metrics", "matcher": '{n="1",__name__="temp"}', "age_seconds": 86400}], a
    assert put({"signal": "logs", "matcher": '{ resource.service.name = "desk" }', "age": "1d"}).status == 200
    assert put({"signal": "spans", "matcher": '{ resource.service.name =~ "des.*" && resource.nothing != "x" }', "age": "1d"}).status == 200
    assert temps() == ["2", "3"] and services() == ["shop"] and traces("{ }") == ["shop"] and traces('{ resource.service.name = "desk" }') == []
    # longer
    assert put({"signal": "metrics", "age": "2d"}).status == 200 and put({"signal": "logs", "age": "2d"}).status == 200
    assert put({"signal": "metrics", "matcher": 'temp{n=~"2|1"}', "priority": 5, "age": "forever"}).status == 200
    assert put({"signal": "logs", "matcher": '{ resource.service.name = "desk" }', "age": "forever"}).status == 200
    assert temps() == ["1", "2"] and services() == ["desk"]
    again(node)
    assert temps() == ["1", "2"] and services() == ["desk"] and traces("{ }") == ["shop"]
    assert len(node.get("ui", "/api/retention").json["rules"]) == 6
    assert put({"signal": "logs", "matcher": '{ resource.service.name = "desk" }', "age": None}).status == 200
    assert node.logs("*")["num_hits"] == 0
    for bad in [{"signal": "metrics", "matcher": "{", "age": "1d"}, {"signal": "metrics", "matcher": "{}", "age": "1d"}, {"matcher": '{a="b"}', "age": "1d"},
                {"signal": "docs", "matcher": '{a="b"}', "age": "1d"}, {"signal": "logs", "matcher": '{a="b"}', "age": "1d"},
                {"signal": "spans", "matcher": '{ span.a = "b" }', "age": "1d"}, {"signal": "spans", "matcher": '{ resource.a = 1 }', "age": "1d"},
                {"signal": "spans", "matcher": '{ resource.a = "1" || resource.b = "2" }', "age": "1d"}, {"signal": "spans", "matcher": '{ resource.a =~ "(" }', "age": "1d"},
                {"signal": "spans", "matcher": "{ }", "age": "1d"}, {"signal": "spans", "matcher": '{ resource.a = "b" } | count() > 1', "age": "1d"},
                {"signal": "metrics", "priority": 1, "age": "1d"}, {"signal": "metrics", "matcher": 'up offset 1m', "age": "1d"}]:
        assert put(bad).status == 400, bad


def test_clean_tombstones_waits(make_node):
    """When it is answered no segment holds samples of deleted series, few as they may be; a second time there is nothing to do."""
    node = make_node(args=["--set", "storage.seal_age=200ms", "--set", "storage.merge=false"]).start()
    now = int(time.time() * 1000)
    for k in range(3):
        rows = [({"__name__": "kept", "n": str(i)}, [(now - 1000 * (x + k * 100), float(x * i % 17)) for x in range(100)]) for i in range(20)]
        rows += [({"__name__": "gone", "n": str(k)}, [(now - 1000 * (x + k * 100), 0.1 * x) for x in range(100)])]
        body, seals = prompb.write_request(rows), metric(node, "tercet_seals_total")
        assert node.post("prom", "/api/v1/write", body, "application/x-protobuf", headers={"Content-Encoding": "snappy"}).status == 204
        assert eventually(lambda: metric(node, "tercet_seals_total") > seals)

    def names():
        files = glob.glob(node.data + "/seg/*.seg")
        assert files
        return subprocess.run(["grep", "-laF", "gone", *files], capture_output=True, text=True).stdout.split()
    assert names() and delete_series(node, **{"match[]": "gone"}).status == 204
    assert names()
    for _ in range(2):
        assert node.post("prom", "/api/v1/admin/tsdb/clean_tombstones", b"").status == 204
        assert names() == []
        merges = metric(node, "tercet_merges_total")
    assert metric(node, "tercet_merges_total") == merges
    assert node.query("count(count_over_time(kept[1h]))", at=now / 1000)[0]["value"][1] == "20"
    assert node.query("sum(count_over_time(kept[1h]))", at=now / 1000)[0]["value"][1] == "6000" and not node.query("gone[1h]", at=now / 1000)
