"""/api/v1/search: names as they are typed, in lines of JSON, as Prometheus 3.14 has it behind a flag."""
import json
import time

import pytest

import prompb

NAMES = ["go_gc_duration_seconds", "go_goroutines", "http_request_duration_seconds", "http_requests_total", "node_cpu_seconds_total", "up"]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    from node import Node
    node = Node(tmp_path_factory.mktemp("search") / "data").start()
    now = int(time.time() * 1000)
    series = [({"__name__": n, "job": j, "instance": f"Host-{i}"}, [(now, 1.0)]) for i, n in enumerate(NAMES) for j in ("api", "web")]
    series += [({"__name__": "old", "job": "gone"}, [(now - 2 * 3600_000, 1.0)]), ({"__name__": "größe_bytes"}, [(now, 1.0)])]
    meta = [{"type": 1, "metric_family_name": "http_requests_total", "help": "Requests", "unit": ""}]
    a = node.post("prom", "/api/v1/write", prompb.write_request(series, metadata=meta), "application/x-protobuf", headers={"Content-Encoding": "snappy"})
    assert a.status == 204
    yield node
    assert node.stop() == 0, node.log_text()[-3000:]


def ask(node, what, **params):
    a = node.get("prom", f"/api/v1/search/{what}", params={k.replace("__", "[]"): v for k, v in params.items()})
    assert a.status == 200 and a.headers["content-type"] == "application/x-ndjson; charset=utf-8", a
    *batches, trailer = [json.loads(line) for line in a.body.decode().splitlines()]
    assert batches and list(trailer) == ["status", "has_more"] and trailer["status"] == "success"
    return batches, trailer["has_more"]


def names(node, what="metric_names", **params):
    return [r["name"] for b in ask(node, what, **params)[0] for r in b["results"]]


def test_lists(node):
    assert ask(node, "metric_names") == ([{"results": [{"name": n} for n in sorted([*NAMES, "größe_bytes"])]}], False)  # of the last hour
    assert "old" in names(node, start=0)
    assert names(node, "label_names") == ["__name__", "instance", "job"]
    assert names(node, "label_values", label="job") == ["api", "web"]
    assert names(node, "label_values", label="job", match__='{instance="Host-1"}', sort_by="alpha", sort_dir="dsc") == ["web", "api"]
    assert ask(node, "label_values", label="nothing") == ([{"results": []}], False)
    assert ask(node, "metric_names", limit=3, batch_size=2) == ([{"results": [{"name": NAMES[0]}, {"name": NAMES[1]}]}, {"results": [{"name": "größe_bytes"}]}], True)
    assert ask(node, "metric_names", limit=7)[1] is False
    a = node.post("prom", "/api/v1/search/metric_names", "search[]=up&limit=1", "application/x-www-form-urlencoded")
    assert a.body == b'{"results":[{"name":"up"}]}\n{"status":"success","has_more":false}\n', a


def scores(node, **params):
    return {r["name"]: r["score"] for b in ask(node, "metric_names", include_score="true", **params)[0] for r in b["results"]}


def test_scores(node):
    # A prefix is whole; else runs squared, less what is skipped, over the name's length.
    got = scores(node, search__="http")
    assert got == {"http_requests_total": 1, "http_request_duration_seconds": 1}
    got = scores(node, search__="total")
    n = len("http_requests_total")
    assert got["http_requests_total"] == pytest.approx((25 - (n - 5) / n) / 25)
    n = len("node_cpu_seconds_total")
    assert got["node_cpu_seconds_total"] == pytest.approx((25 - (n - 5) / n) / 25) and len(got) == 2
    n = len("go_gc_duration_seconds")  # "gc" once as a run: 3 before it, the rest behind
    assert scores(node, search__="gc")["go_gc_duration_seconds"] == pytest.approx((4 - 3 / n - (n - 5) / n / 2) / 4)
    assert names(node, search__="gc", sort_by="score")[0] == "go_gc_duration_seconds"
    assert names(node, search__="gcds", fuzz_threshold=90) == [] and names(node, search__="gcds") == ["go_gc_duration_seconds"]
    assert names(node, search__=["up", "cpu"]) == ["node_cpu_seconds_total", "up"]
    assert names(node, search__="GO_GO") == [] and names(node, search__="GO_GO", case_sensitive="false", fuzz_threshold=90) == ["go_goroutines"]
    assert names(node, "label_values", label="instance", search__="host-3", case_sensitive="0") == ["Host-3"]
    assert scores(node, search__="größe") == {"größe_bytes": 1} and names(node, search__="öß") == ["größe_bytes"]
    # Jaro-Winkler: what holds the term, and with a threshold what is like it.
    jaro = {"fuzz_alg": "jarowinkler"}
    assert scores(node, search__="seconds", **jaro) == {n: 0.9 for n in NAMES if "seconds" in n}
    assert scores(node, search__="go_goroutnies", **jaro) == {}
    assert scores(node, search__="go_goroutnies", fuzz_threshold=95, **jaro) == {"go_goroutines": pytest.approx((1 + 1 + 12 / 13) / 3 + 0.4 * (1 - (2 + 12 / 13) / 3))}
    long = "a" * 5000
    assert names(node, search__=long) == [] and names(node, search__=long, fuzz_threshold=1, **jaro) is not None


def test_metadata(node):
    got = ask(node, "metric_names", search__="http", include_metadata="1")[0][0]["results"]
    assert got == [{"name": "http_request_duration_seconds"}, {"name": "http_requests_total", "type": "counter", "help": "Requests"}]


def test_refusals(node):
    for what, params, error in (
            ("metric_names", {"fuzz_threshold": "101"}, 'invalid fuzz_threshold "101": must be 0-100'),
            ("metric_names", {"fuzz_alg": "x"}, 'unsupported fuzz_alg "x": must be one of [subsequence jarowinkler]'),
            ("metric_names", {"case_sensitive": "x"}, 'invalid case_sensitive "x": must be boolean'),
            ("metric_names", {"limit": "-1"}, 'invalid limit "-1": must be non-negative integer'),
            ("metric_names", {"batch_size": "x"}, 'invalid batch_size "x": must be non-negative integer'),
            ("metric_names", {"sort_by": "x"}, 'invalid sort_by "x": must be "alpha" or "score"'),
            ("label_names", {"sort_dir": "asc"}, "sort_dir is only valid when sort_by is set"),
            ("label_names", {"sort_by": "score"}, "sort_by=score requires search[] to be set"),
            ("label_names", {"search[]": "a", "sort_by": "score", "sort_dir": "asc"}, "sort_dir is not supported for sort_by=score"),
            ("label_names", {"search[]": ["a"] * 33}, "more than 32 search[] parameters"),
            ("label_names", {"match[]": "{}"}, "match[] must contain at least one non-empty matcher"),
            ("label_values", {}, 'missing required parameter "label"')):
        a = node.get("prom", f"/api/v1/search/{what}", params=params)
        assert (a.status, a.json) == (400, {"status": "error", "errorType": "bad_data", "error": error}), (what, params, a)
