"""Grafana's Quickwit plugin call by call, documents in users' own indexes, and elasticsearch-py."""
import gzip
import json
import time
import warnings
from datetime import datetime, timezone

import pytest

import otlp
from node import eventually

LOGS = "otel-logs-v0_9"
TIME = "timestamp_nanos"
NDJSON = "application/x-ndjson"
TRACE = bytes(range(16))


def rfc3339(ns):
    return datetime.fromtimestamp(ns // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9:09d}Z"


def ndjson(*lines):
    return "".join(json.dumps(line) + "\n" for line in lines)


def msearch(node, *bodies, index=LOGS, **header):
    lines = []
    for body in bodies:
        lines += [{"ignore_unavailable": True, "index": [index], **header}, body]
    a = node.post("quickwit", "/api/v1/_elastic/_msearch?max_concurrent_shard_requests=5", ndjson(*lines), NDJSON)
    assert a.status == 200, a
    got = a.json["responses"]
    assert len(got) == len(bodies)
    return got


def query(text, start, end, **more):
    """The plugin's search body."""
    window = {"range": {TIME: {"gte": rfc3339(start), "lte": rfc3339(end)}}}
    text = {"query_string": {"query": text, "default_operator": "AND"}}
    return {"query": {"bool": {"filter": [window, text]}}, **more}


def by_time(order, *more):
    return [{TIME: {"order": order, "format": "epoch_nanos_int"}}, *more]


@pytest.fixture
def filled(node):
    """40 records of one service, two at each time; every fourth is an error; and a second service in a trace."""
    now = time.time_ns() // 10**9 * 10**9
    rq = otlp.logs("shop", range(40), now)
    for n, r in enumerate(rq.resource_logs[0].scope_logs[0].log_records):
        r.time_unix_nano = now + n // 2 * 10**6
        if n % 4 == 0:
            r.severity_number, r.severity_text = 17, "ERROR"
    assert node.post("otlp", "/v1/logs", rq.SerializeToString(), otlp.PROTO).status == 200
    rq = otlp.logs("pay", [1, 2], now, trace=TRACE)
    assert node.post("otlp", "/v1/logs", rq.SerializeToString(), otlp.PROTO).status == 200
    return node, now


def test_plugin_finds_the_time_field(node):
    a = node.get("quickwit", "/api/v1/indexes", params={"index_id_patterns": LOGS})
    assert a.status == 200 and len(a.json) == 1
    config = a.json[0]["index_config"]
    assert config["index_id"] == LOGS
    mapping = config["doc_mapping"]
    assert mapping["timestamp_field"] == TIME
    field = [f for f in mapping["field_mappings"] if f["name"] == TIME][0]
    assert field["output_format"] == "unix_timestamp_nanos"
    got = node.get("quickwit", "/api/v1/indexes", params={"index_id_patterns": "otel-*"}).json
    assert [m["index_config"]["index_id"] for m in got] == [LOGS, "otel-traces-v0_9"]
    for m in got:  # an explicit output format of each time field, or "Save & test" fails
        mapping = m["index_config"]["doc_mapping"]
        field = [f for f in mapping["field_mappings"] if f["name"] == mapping["timestamp_field"]][0]
        assert field["type"] == "datetime" and field["output_format"].startswith("unix_timestamp_nanos")
    assert node.get("quickwit", "/api/v1/indexes", params={"index_id_patterns": "none-*"}).json == []


def test_plugin_field_caps(filled):
    node, now = filled
    s = now // 10**9
    for path in (f"/api/v1/_elastic/{LOGS}/_field_caps", "/api/v1/_elastic/otel-logs-*/_field_caps"):
        a = node.get("quickwit", path, params={"start_timestamp": s - 60, "end_timestamp": s + 60})
        assert a.status == 200, a
        fields = a.json["fields"]
        for name, kind in ((TIME, "date_nanos"), ("service_name", "keyword"), ("severity_number", "long"), ("attributes.n", "long"),
                           ("body.message", "text"), ("trace_id", "binary")):
            assert kind in fields[name], (name, fields[name])
            cap = fields[name][kind]
            assert cap["type"] == kind and cap["searchable"] is True and isinstance(cap["aggregatable"], bool)
    late = node.get("quickwit", f"/api/v1/_elastic/{LOGS}/_field_caps", params={"start_timestamp": s + 3600, "end_timestamp": s + 7200})
    assert late.status == 200 and "attributes.n" not in late.json["fields"]


def test_plugin_logs_and_context(filled):
    node, now = filled
    start, end = now - 10**9, now + 10**9
    # Explore's logs panel: newest first, and the volume by level beside it.
    logs, volume = msearch(
        node, query("service_name:shop", start, end, size=1000, sort=by_time("desc")),
        query("service_name:shop", start, end, size=0, aggs={"2": {
            "terms": {"field": "severity_text", "size": 1000, "shard_size": 1000, "order": {"_key": "desc"}, "min_doc_count": 0},
            "aggs": {"3": {"date_histogram": {"field": TIME, "fixed_interval": "10ms", "min_doc_count": 0,
                                              "extended_bounds": {"min": now // 10**6, "max": now // 10**6 + 29}}}}}}))
    hits = logs["hits"]["hits"]
    assert logs["status"] == 200 and logs["hits"]["total"]["value"] == 40 and len(hits) == 40
    times = [h["sort"][0] for h in hits]
    assert times == sorted(times, reverse=True) and times[-1] == now and all(isinstance(t, int) for t in times)
    assert all(h["_source"][TIME] == h["sort"][0] for h in hits)
    assert len({(h["_index"], h["_id"]) for h in hits}) == 40  # the row keys
    levels = {b["key"]: b for b in volume["aggregations"]["2"]["buckets"]}
    assert {k: b["doc_count"] for k, b in levels.items()} == {"ERROR": 10, "INFO": 30}
    steps = levels["INFO"]["3"]["buckets"]
    assert [b["key"] for b in steps] == [now // 10**6, now // 10**6 + 10, now // 10**6 + 20]
    assert [b["doc_count"] for b in steps] == [15, 15, 0]
    # "Show context": both directions from a row by search_after = its sort; ties at one nanosecond are not lost.
    row = hits[15]
    after, before = msearch(
        node, query("service_name:shop", start, end, size=100, sort=by_time("asc"), search_after=row["sort"]),
        query("service_name:shop", start, end, size=100, sort=by_time("desc"), search_after=row["sort"]))
    ids = lambda r: {h["_id"] for h in r["hits"]["hits"]}
    assert ids(after) | ids(before) | {row["_id"]} == {h["_id"] for h in hits}
    assert not ids(after) & ids(before)
    # Raw data: pages of seven, with the tie-break of the plugin itself.
    seen, last = [], None
    while True:
        body = query("service_name:shop", start, end, size=7, sort=by_time("desc", {"_doc": {"order": "desc"}}))
        if last:
            body["search_after"] = last
        page = msearch(node, body)[0]["hits"]["hits"]
        if not page:
            break
        seen += [h["_id"] for h in page]
        last = page[-1]["sort"]
    assert len(seen) == 40 and set(seen) == {h["_id"] for h in hits}


def test_plugin_metrics_traces_terms(filled):
    node, now = filled
    start, end = now - 10**9, now + 10**9
    metric, terms, trace = msearch(
        node,
        query("*", start, end, size=0, aggs={"2": {"date_histogram": {
            "field": TIME, "fixed_interval": "1000ms", "min_doc_count": 0, "extended_bounds": {"min": start // 10**6, "max": end // 10**6}},
            "aggs": {"1": {"avg": {"field": "attributes.n"}}, "3": {"percentiles": {"field": "attributes.n", "percents": [50]}},
                     "4": {"cardinality": {"field": "service_name"}}}}}),
        query("*", start, end, size=0, aggs={"1": {"terms": {"field": "service_name", "size": 1000, "order": {"_key": "asc"}}}}),
        query(f"trace_id:{TRACE.hex()}", start, end, size=10000, sort=by_time("asc")))
    full = [b for b in metric["aggregations"]["2"]["buckets"] if b["doc_count"]]
    assert len(full) == 1 and full[0]["doc_count"] == 42 and full[0]["4"]["value"] == 2
    assert abs(full[0]["1"]["value"] - 783 / 42) < 1e-9 and abs(full[0]["3"]["values"]["50.0"] - 19) <= 1.5
    assert [(b["key"], b["doc_count"]) for b in terms["aggregations"]["1"]["buckets"]] == [("pay", 2), ("shop", 40)]
    assert [h["_source"]["attributes"]["n"] for h in trace["hits"]["hits"]] == [1, 2]
    assert all(h["_source"]["trace_id"] == TRACE.hex() for h in trace["hits"]["hits"])
    assert all(h["_source"]["span_id"] == TRACE[:8].hex() for h in trace["hits"]["hits"])


def test_plugin_trace_search(node):
    now = time.time_ns()
    rq = otlp.traces("pay", range(1, 21), now)
    for s in rq.resource_spans[0].scope_spans[0].spans[::2]:
        s.status.code = 2
    assert node.post("otlp", "/v1/traces", rq.SerializeToString(), otlp.PROTO).status == 200

    def spans(text):
        window = {"range": {"span_start_timestamp_nanos": {"gte": rfc3339(now - 10**9), "lte": rfc3339(now + 10**9)}}}
        body = {"query": {"bool": {"filter": [window, {"query_string": {"query": text, "default_operator": "AND"}}]}}, "size": 5000,
                "sort": [{"span_start_timestamp_nanos": {"order": "desc", "format": "epoch_nanos_int"}}]}
        got, = msearch(node, body, index="otel-traces-v0_*")
        assert got["status"] == 200, got
        return [h["_source"] for h in got["hits"]["hits"]]
    assert len(spans('service_name:"pay"')) == 20
    assert len(spans('service_name:"pay" AND span_name:"op-3"')) == 3
    assert len(spans('service_name:"pay" AND span_duration_millis:>=5')) == 20
    assert spans('service_name:"pay" AND span_duration_millis:>=6') == []
    one, = spans("trace_id:" + "0" * 31 + "7")
    assert one["span_name"] == "op-0" and one["span_attributes"]["n"] == 7 and one["span_id"] == "0" * 15 + "7"
    assert one["span_start_timestamp_nanos"] == now and one["span_kind"] == 2
    failed = spans('service_name:"pay" AND (span_status.code:error OR span_status.code:ERROR OR span_status.code:2)')
    assert len(failed) == 10


def test_plugin_errors_stay_in_their_item(filled):
    node, now = filled
    bad, good = msearch(node, query("service_name:(", now, now), query("number", now - 10**9, now + 10**9, size=1))
    assert bad["status"] == 400 and bad["error"]["reason"] and good["status"] == 200 and good["hits"]["total"]["value"] == 42
    gone, = msearch(node, query("*", now, now), index="nothing-here", ignore_unavailable=False)
    assert gone["status"] == 404 and gone["error"]["type"] == "index_not_found_exception"
    ignored, = msearch(node, query("*", now, now), index="nothing-here")
    assert ignored["status"] == 200 and ignored["hits"]["hits"] == []
    # Autocomplete, mode "full": a route that Quickwit itself lacks.
    body = {"query": "service_name:shop", "max_hits": 2, "start_timestamp": now // 10**9 - 5, "end_timestamp": now // 10**9 + 5}
    for path in (f"/api/v1/{LOGS}/search", f"/api/v1/indexes/{LOGS}/search"):
        a = node.post("quickwit", path, body)
        assert a.status == 200 and a.json["num_hits"] == 40 and len(a.json["hits"]) == 2, a


def template(node, *patterns):
    """Indexes are made by ingest where a template asks for it."""
    a = node.post("quickwit", "/api/v1/templates", {
        "version": "0.9", "template_id": "any", "index_id_patterns": list(patterns), "doc_mapping": {"mode": "dynamic"}})
    assert a.status == 200, a


def test_user_index(node):
    """ndjson into an index that nobody made, and into one with a mapping; both are searchable at once."""
    template(node, "loose*")
    docs = [{"ts": 1700000000 + n, "host": f"h{n % 3}", "text": f"Quick brown fox {n}", "size": n, "nested": {"ok": n % 2 == 0}}
            for n in range(30)]
    a = node.post("quickwit", "/api/v1/loose/ingest", ndjson(*docs) + "{broken\n\n", NDJSON, params={"detailed_response": "true"})
    assert a.status == 200, a
    assert (a.json["num_docs_for_processing"], a.json["num_ingested_docs"], a.json["num_rejected_docs"]) == (31, 30, 1)
    assert a.json["parse_failures"][0]["document"] == "{broken"
    search = lambda index, q, **kw: node.get("quickwit", f"/api/v1/{index}/search", params={"query": q, **kw}).json
    assert search("loose", "host:h1")["num_hits"] == 10
    assert search("loose", "nested.ok:true AND size:>=20", max_hits=1)["num_hits"] == 5
    made = node.post("quickwit", "/api/v1/indexes", {
        "version": "0.9", "index_id": "strictly", "doc_mapping": {
            "mode": "strict", "timestamp_field": "ts", "field_mappings": [
                {"name": "ts", "type": "datetime", "fast": True, "input_formats": ["unix_timestamp"]},
                {"name": "host", "type": "text", "tokenizer": "raw", "fast": True},
                {"name": "text", "type": "text", "record": "position"}, {"name": "size", "type": "u64", "fast": True},
                {"name": "nested", "type": "object", "field_mappings": [{"name": "ok", "type": "bool"}]}]},
        "search_settings": {"default_search_fields": ["text"]}})
    assert made.status == 200, made
    body = gzip.compress(ndjson(*docs, {"ts": 1, "unknown": 1}).encode())
    a = node.post("quickwit", "/api/v1/strictly/ingest", body, NDJSON, params={"commit": "force"}, headers={"content-encoding": "gzip"})
    assert a.status == 200 and a.json["num_ingested_docs"] == 30 and a.json["num_rejected_docs"] == 1, a
    assert search("strictly", "fox")["num_hits"] == 30
    assert search("strictly", '"brown fox 7"')["num_hits"] == 1
    assert search("strictly", "fox", start_timestamp=1700000010, end_timestamp=1700000020)["num_hits"] == 10
    newest = search("strictly", "*", sort_by="ts", max_hits=3)["hits"]
    assert [h["size"] for h in newest] == [29, 28, 27]
    assert search("loose,strictly", "size:29")["num_hits"] == 2
    # What is sorted by must be a field; in a dynamic index everything may be one, and without a name there is no order to be had.
    unknown = {"message": "unknown field used in `sort by`: nothing"}
    assert search("strictly", "*", sort_by="-nothing") == unknown == search("otel-logs-v0_9", "*", sort_by="nothing,timestamp_nanos")
    assert node.get("quickwit", "/api/v1/strictly/search", params={"query": "*", "sort_by": "nothing"}).status == 400
    assert search("loose", "*", sort_by="nothing")["num_hits"] == 30 == search("strictly", "*", sort_by="_score")["num_hits"]
    a = node.post("quickwit", "/api/v1/_elastic/strictly/_search", {"sort": [{"nothing": {"order": "desc"}}]})
    assert a.status == 400 and a.json["error"]["reason"] == unknown["message"], a
    assert node.post("quickwit", "/api/v1/_elastic/strictly/_search", {"sort": ["_doc", {"size": "asc"}]}).status == 200


def test_what_is_not_there(node):
    a = node.get("quickwit", "/api/v1/nothing/search", params={"query": "*"})
    assert a.status == 404 and "nothing" in a.json["message"]
    assert node.get("quickwit", "/api/v1/nothing-*/search", params={"query": "*"}).json["num_hits"] == 0
    a = node.post("quickwit", "/api/v1/_elastic/nothing/_search", {"query": {"match_all": {}}})
    assert a.status == 404 and a.json["error"]["type"] == "index_not_found_exception" and a.json["status"] == 404
    assert node.get("quickwit", "/api/v1/indexes/nothing").status == 404
    assert node.request("DELETE", "quickwit", "/api/v1/indexes/nothing").status == 404
    for path in ("/api/v1/no/such/route", "/api/v1/_elastic/_no_such", "/api/v2"):
        a = node.get("quickwit", path)
        assert a.status == 404 and a.json["message"] == "Route not found", (path, a)
    a = node.get("quickwit", f"/api/v1/{LOGS}/search", params={"query": "service_name:("})
    assert a.status == 400 and a.json["message"]
    assert node.get("quickwit", f"/api/v1/{LOGS}/search").status == 400
    assert node.post("quickwit", f"/api/v1/{LOGS}/ingest", ndjson({"a": 1}), NDJSON).status == 400
    assert node.get("quickwit", "/health/livez").status == 200 and node.get("quickwit", "/health/readyz").status == 200


def test_bulk_by_hand(node):
    a = node.post("quickwit", "/api/v1/_elastic/_bulk", ndjson({"index": {"_index": "bulky"}}, {"n": 1}), NDJSON)
    assert a.status == 200 and a.json["items"][0]["index"]["error"]["type"] == "index_not_found_exception"
    template(node, "bulk*")
    lines = ndjson({"index": {"_index": "bulky"}}, {"n": 1, "t": "one"}, {"create": {"_index": "bulky", "_id": "2"}}, {"n": 2, "t": "two"})
    a = node.post("quickwit", "/api/v1/_elastic/_bulk", lines, NDJSON, params={"refresh": "true"})
    assert a.status == 200 and a.json["errors"] is False, a
    assert [list(i)[0] for i in a.json["items"]] == ["index", "create"] and all(list(i.values())[0]["status"] == 201 for i in a.json["items"])
    a = node.post("quickwit", "/api/v1/_elastic/bulky/_bulk", ndjson({"index": {}}, {"n": 3}) + '{"index":{}}\n{"n":\n', NDJSON)
    assert a.status == 200 and a.json["errors"] is True, a
    assert a.json["items"][1]["index"]["error"]["type"] == "document_parsing_exception"
    assert node.get("quickwit", "/api/v1/_elastic/bulky/_count").json["count"] == 3
    a = node.post("quickwit", "/api/v1/_elastic/_bulk", '{"drop":{}}\n{}\n', NDJSON)
    assert a.status == 400 and "Malformed action/metadata line [1]" in a.json["error"]["reason"]


def test_elasticsearch_py(node):
    elasticsearch = pytest.importorskip("elasticsearch")
    from elasticsearch import helpers
    template(node, "shelf")
    es = elasticsearch.Elasticsearch(node.url("quickwit", "/api/v1/_elastic"), retry_on_timeout=False, max_retries=0)
    assert es.info()["tagline"] == "You Know, for Search" and es.ping()
    assert es.cluster.health()["status"] == "green"
    actions = ({"_index": "shelf", "n": n, "title": f"volume {n}", "kind": "book" if n % 3 else "map"} for n in range(250))
    assert helpers.bulk(es, actions, chunk_size=100, refresh=True) == (250, [])
    got = es.search(index="shelf", query={"term": {"kind": "map"}}, sort=[{"n": "desc"}], size=2,
                    aggs={"kinds": {"terms": {"field": "kind"}}, "mean": {"avg": {"field": "n"}}})
    assert got["hits"]["total"]["value"] == 84 and [h["_source"]["n"] for h in got["hits"]["hits"]] == [249, 246]
    assert got["aggregations"]["kinds"]["buckets"][0]["doc_count"] == 84
    assert es.count(index="shelf", query={"range": {"n": {"gte": 100, "lt": 110}}})["count"] == 10
    got = es.search(index="shelf", q='title:"volume 7" AND kind:book')
    assert [h["_source"]["title"] for h in got["hits"]["hits"]] == ["volume 7"]
    answers = es.msearch(searches=[{"index": "shelf"}, {"query": {"match": {"kind": "book"}}, "size": 0}, {"index": "gone"}, {}])
    assert answers["responses"][0]["hits"]["total"]["value"] == 166 and answers["responses"][1]["status"] == 404
    assert es.field_caps(index="shelf", fields="*")["fields"]["n"]["long"]["aggregatable"] is True
    with pytest.raises(elasticsearch.NotFoundError):
        es.search(index="gone")
    with pytest.raises(elasticsearch.BadRequestError):
        es.search(index="shelf", query={"no_such_query": {}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the client warns when it doubts the product
        es.search(index="shelf", size=0)
    scanned = list(helpers.scan(es, index="shelf", query={"query": {"term": {"kind": "book"}}}, size=50))
    assert sorted(h["_source"]["n"] for h in scanned) == [n for n in range(250) if n % 3]
    assert es.indices.delete(index="shelf")["acknowledged"] is True
    assert eventually(lambda: not es.options(ignore_status=404).search(index="shelf").get("hits"))
