"""A real Prometheus as remote-write client, and promtool."""
import http.server
import json
import shutil
import subprocess
import tarfile
import threading
import time

import pytest

from node import Node, eventually
from promserver import PromServer

CONFIG = """
global: {{ scrape_interval: 250ms, scrape_timeout: 250ms, external_labels: {{ replica: a }} }}
scrape_configs:
- {{ job_name: node, static_configs: [{{ targets: ["127.0.0.1:{node}"] }}] }}
- {{ job_name: self, static_configs: [{{ targets: ["127.0.0.1:{self}"] }}] }}
- {{ job_name: app, static_configs: [{{ targets: ["127.0.0.1:{app}"] }}] }}
remote_write:
- url: http://127.0.0.1:{node}/api/v1/write
  send_exemplars: true
  queue_config: {{ batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 200ms, max_shards: 4 }}
  metadata_config: {{ send_interval: 500ms }}
"""


PAGE = """# HELP app_requests Requests ünïcode
# TYPE app_requests counter
app_requests_total{path="/a\\"b\\\\c\\n",who="ü"} 5 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 1.0
# TYPE app_odd gauge
app_odd{kind="nan"} NaN
app_odd{kind="inf"} -Inf
app_odd{kind="tiny"} 4.9e-324
app_odd{kind="big"} 1.7976931348623157e308
"""


class App:
    """A scrape target in OpenMetrics whose page the test changes."""

    def __init__(self):
        self.page = PAGE + "# EOF\n"
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = app.page.encode()
                self.send_response(200)
                self.send_header("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Prometheus(PromServer):
    """Scrapes a node, itself, and an App; writes all to the node."""

    def __init__(self, node, path):
        self.app = App()
        super().__init__(path, CONFIG, "--enable-feature=exemplar-storage", node=node.url("prom").rsplit(":", 1)[1],
                         app=self.app.server.server_address[1])

    def stop(self):
        super().stop()
        self.app.server.shutdown()
        self.app.server.server_close()


@pytest.fixture(scope="module", autouse=True)
def launched(tmp_path_factory):
    """Started before the tests that do without it: its remote write takes five seconds to begin on a new directory."""
    if not shutil.which("prometheus"):
        yield None
        return
    path = tmp_path_factory.mktemp("prometheus")
    node = Node(path / "data").start()
    prometheus = Prometheus(node, path)
    try:
        yield node, prometheus
    finally:
        prometheus.stop()
        assert node.stop() == 0, node.log_text()[-3000:]


@pytest.fixture
def pair(launched):
    if not launched:
        pytest.skip("prometheus is not installed: tests/lib/deps test")
    node = launched[0]
    assert eventually(lambda: node.query("count(count_over_time(up[1m]) > 5) == 3")), node.log_text()[-3000:]
    return launched


def promtool(*args, rc=0, **kw):
    p = subprocess.run(["promtool", *args], capture_output=True, text=True, timeout=20, **kw)
    assert p.returncode == rc, (args, p.stdout, p.stderr)
    return p.stdout


def ok(answer):
    assert answer.status == 200 and answer.json["status"] == "success", answer
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json["data"]


def test_series_arrive(pair):
    node, _ = pair
    up = node.query("up")
    assert sorted(r["metric"]["job"] for r in up) == ["app", "node", "self"]
    assert all(r["value"][1] == "1" and r["metric"]["replica"] == "a" for r in up)
    assert node.query("tercet_build_info")[0]["metric"]["backend"] in ("io_uring", "epoll")
    assert float(node.query("prometheus_tsdb_head_series")[0]["value"][1]) > 100
    buckets = node.query('sum by (le) (prometheus_http_request_duration_seconds_bucket{handler="/metrics"})')
    assert {"+Inf", "0.1"} <= {r["metric"]["le"] for r in buckets}
    now = time.time()
    m = ok(node.get("prom", "/api/v1/query_range", params={"query": 'up{job="self"}', "start": now - 2, "end": now, "step": 0.25}))
    assert m["resultType"] == "matrix" and len(m["result"]) == 1 and len(m["result"][0]["values"]) > 3
    meta = eventually(lambda: ok(node.get("prom", "/api/v1/metadata", params={"metric": "prometheus_tsdb_head_series"})))
    assert meta == {"prometheus_tsdb_head_series": [
        {"type": "gauge", "help": "Total number of series in the head block.", "unit": ""}]}


def test_promtool(pair, tmp_path):
    node, _ = pair
    url = node.url("prom")
    assert len(json.loads(promtool("query", "instant", "-o", "json", url, "up == 1"))) == 3
    assert 'up{instance="127.0.0.1:' in promtool("query", "instant", url, "up")
    now = time.time()
    times = ["--start", f"{now - 2:.3f}", "--end", f"{now:.3f}"]
    ranges = json.loads(promtool("query", "range", "-o", "json", *times, "--step", "500ms", url, "sum(up)"))
    assert ranges[0]["values"][-1][1] == "3"
    series = json.loads(promtool("query", "series", "-o", "json", "--match", 'up{job=~"n.*"}', "--match", "tercet_build_info", url))
    assert sorted(s["__name__"] for s in series) == ["tercet_build_info", "up"]
    assert json.loads(promtool("query", "labels", "-o", "json", url, "job")) == ["app", "node", "self"]
    assert "job" not in promtool("query", "labels", url, "no_such_label")
    promtool("query", "instant", url, "sum(", rc=1)
    promtool("query", "range", *times, "--step", "1us", url, "up", rc=1)
    at = promtool("query", "instant", "--time", f"{now:.3f}", "-o", "json", url, "count(up)")
    assert json.loads(at)[0]["value"][1] == "3"
    past = ["--start", "2001-01-01T00:00:00Z", "--end", "2001-01-02T00:00:00Z"]
    assert promtool("query", "series", *past, "--match", "up", url).strip() == ""
    assert promtool("query", "labels", *past, url, "job").strip() == ""
    promtool("query", "series", "--match", "up{", url, rc=1)
    promtool("debug", "metrics", url, cwd=tmp_path)
    with tarfile.open(tmp_path / "debug.tar.gz") as tar:
        page, = (tar.extractfile(m).read() for m in tar.getmembers() if m.isfile())
    assert b"tercet_build_info" in page
    assert promtool("check", "metrics", input=node.get("prom", "/metrics").body.decode()) == ""


def test_odd_values_exemplars_staleness(pair):
    node, prometheus = pair
    requests, = eventually(lambda: node.query("app_requests_total"))
    assert requests["metric"]["path"] == '/a"b\\c\n' and requests["metric"]["who"] == "ü" and requests["value"][1] == "5"
    odd = {r["metric"]["kind"]: r["value"][1] for r in node.query("app_odd")}
    assert odd == {"nan": "NaN", "inf": "-Inf", "tiny": "5e-324", "big": "1.7976931348623157e+308"}
    window = {"query": "rate(app_requests_total[5m])", "start": time.time() - 60, "end": time.time() + 60}
    got = eventually(lambda: ok(node.get("prom", "/api/v1/query_exemplars", params=window)))
    assert len(got) == 1 and got[0]["seriesLabels"]["job"] == "app"
    assert [(e["labels"], e["value"]) for e in got[0]["exemplars"]] == [({"trace_id": "0af7651916cd43dd8448eb211c80319c"}, "1")]
    # A series that is gone from the page is gone from instant queries with the next scrape; its samples stay.
    prometheus.app.page = "".join(line + "\n" for line in PAGE.splitlines() if "tiny" not in line) + "# EOF\n"
    assert eventually(lambda: not node.query('app_odd{kind="tiny"}'))
    assert len(node.query('app_odd{kind="tiny"}[5m]')[0]["values"]) >= 3 and len(node.query("app_odd")) == 3
    assert prometheus.query('app_odd{kind="tiny"}') == []


def test_nothing_lost_when_the_node_is_killed(pair):
    """What Prometheus has stored itself is what the node must hold: each sample once, also those scraped while it was away."""
    node, prometheus = pair
    start = time.time() - 1
    for _ in range(2):
        time.sleep(0.3)
        node.kill()
        time.sleep(0.6)
        node.start()
    time.sleep(0.5)
    end = round(time.time(), 3)
    mine = lambda q: {json.dumps(r["metric"], sort_keys=True): r["values"] for r in node.query(q, at=end)}

    def theirs(q):
        out = {}
        for r in prometheus.query(q, at=end):
            r["metric"]["replica"] = "a"
            out[json.dumps(r["metric"], sort_keys=True)] = r["values"]
        return out
    seconds = f"[{int(end - start)}s]"
    for q in ("up", "scrape_duration_seconds", 'go_goroutines{job="self"}', 'prometheus_http_requests_total{job="self"}',
              'prometheus_http_request_duration_seconds_bucket{job="self"}', "tercet_build_info", "app_requests_total",
              'process_cpu_seconds_total'):
        want = theirs(q + seconds)
        assert want, q
        eventually(lambda: mine(q + seconds) == want)
        assert mine(q + seconds) == want, q
    down = node.query(f'count_over_time((up{{job="node"}} == 0){seconds[:-1]}:250ms])', at=end)
    assert down and eventually(lambda: node.query("sum(up)")[0]["value"][1] == "3")
    # Restarted, it still refuses nothing: no sample was given up by the sender.
    for name in ("prometheus_remote_storage_samples_dropped_total", "prometheus_remote_storage_samples_failed_total"):
        assert [r["value"][1] for r in prometheus.query(name)] == ["0"], name
