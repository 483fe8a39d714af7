"""Port 3000: the pages of the UI, and every API that they read under its prefix."""
import gzip
import os
import re
import socket
import time

import pytest

import otlp
from node import PORTS, eventually

BUCKETS = {"size": 0, "query": {"match_all": {}},
           "aggs": {"t": {"date_histogram": {"field": "timestamp", "fixed_interval": "60s"}}}}
# Of the same request through the API's own port and through the prefix: (prefix, door, method, path, body)
SAME = [
    ("/prometheus", "prom", "GET", "/api/v1/query?query=orders&time=@NOW", None),
    ("/prometheus", "prom", "GET", "/api/v1/query_range?query=orders&start=@START&end=@NOW&step=15", None),
    ("/prometheus", "prom", "POST", "/api/v1/query", b"query=sum(orders)&time=@NOW"),
    ("/prometheus", "prom", "GET", "/api/v1/label/__name__/values", None),
    ("/prometheus", "prom", "GET", "/api/v1/labels?match[]=orders", None),
    ("/prometheus", "prom", "GET", "/api/v1/metadata", None),
    ("/prometheus", "prom", "GET", "/api/v1/query?query=sum(", None),
    ("/prometheus", "prom", "GET", "/-/ready", None),
    ("/tempo", "tempo", "GET", "/api/search?q=%7B%7D&start=@START&end=@NOW", None),
    ("/tempo", "tempo", "GET", "/api/search?q=%7B", None),
    ("/tempo", "tempo", "GET", "/api/traces/00000000000000000000000000000007", None),
    ("/tempo", "tempo", "GET", "/api/v2/traces/00000000000000000000000000000099", None),
    ("/tempo", "tempo", "GET", "/api/v2/search/tag/resource.service.name/values", None),
    ("/quickwit", "quickwit", "GET", "/api/v1/otel-logs-v0_9/search?query=*&max_hits=3", None),
    ("/quickwit", "quickwit", "GET", "/api/v1/otel-logs-v0_9/search?query=a:(", None),
    ("/quickwit", "quickwit", "GET", "/api/v1/_elastic/nothing-here/_count", None),
    ("/quickwit", "quickwit", "POST", "/api/v1/_elastic/otel-logs-v0_9/_search", BUCKETS),
    ("/quickwit", "quickwit", "GET", "/api/v1/indexes/otel-logs-v0_9", None),
    ("/quickwit", "quickwit", "GET", "/api/v1/_elastic/no/such/route", None),
]
FLEETING = {"elapsed_time_micros", "took", "inspectedBytes", "inspectedTraces", "totalBlocks", "totalJobs", "completedJobs"}


def settled(value):
    """An answer without what differs between two calls of the same."""
    if isinstance(value, dict):
        return {k: settled(v) for k, v in value.items() if k not in FLEETING}
    return [settled(v) for v in value] if isinstance(value, list) else value


def content(answer):
    try:
        return settled(answer.json)
    except ValueError:
        return answer.body


@pytest.fixture
def filled(node):
    for path, rq in [("/v1/metrics", otlp.gauge("shop", "orders", {1: 2.5, 2: 4})), ("/v1/traces", otlp.traces("shop", range(1, 9))),
                     ("/v1/logs", otlp.logs("shop", range(5)))]:
        a = node.post("otlp", path, rq.SerializeToString(), otlp.PROTO)
        assert a.status == 200, a
    return node


def test_prefixes_answer_as_the_ports_do(filled):
    now = int(time.time())

    def at_now(text):
        return text.replace("@NOW", str(now + 1)).replace("@START", str(now - 300))
    for prefix, door, method, path, body in SAME:
        path = at_now(path)
        if isinstance(body, bytes):
            body = at_now(body.decode()).encode()
        kind = "application/x-www-form-urlencoded" if isinstance(body, bytes) else "application/json"

        def ask(d, p):
            return filled.post(d, p, body, kind) if method == "POST" else filled.get(d, p)
        there, here = ask(door, path), ask("ui", prefix + path)
        assert (here.status, here.headers["content-type"]) == (there.status, there.headers["content-type"]), (path, here, there)
        assert content(here) == content(there), path
        assert here.headers["x-content-type-options"] == "nosniff"
        assert here.headers["referrer-policy"] == "same-origin"


def test_what_lies_outside_of_the_prefixes_is_not_there(filled):
    for path in ["/api/v1/query?query=1", "/api/search", "/prometheus", "/prometheus/", "/prometheus/tempo/api/search",
                 "/tempo/prometheus/api/v1/query", "/prometheusapi/v1/query", "/prometheus%2Fapi/v1/labels", "/quickwit/../metrics"]:
        assert filled.get("ui", path).status == 404, path
    # Each in its API's form.
    assert filled.get("ui", "/prometheus/api/v1/nope").json["status"] == "error"
    assert filled.get("ui", "/quickwit/api/v1/_elastic/no/such").json == {"message": "Route not found"}
    assert filled.get("ui", "/tempo/api/nope").headers["content-type"].startswith("text/plain")
    # Remote write belongs to its own port.
    assert filled.post("ui", "/prometheus/api/v1/write", b"").status in (404, 405)


# -- /api/ui/status -------------------------------------------------------------------------------------------

def status(node, **kw):
    a = node.get("ui", "/api/ui/status", **kw)
    assert a.status == 200 and a.headers["cache-control"] == "no-store", a
    return a.json


def texts(answer):
    return " ".join(f"{b['level']}: {b['text']}" for b in answer["banners"])


def test_status_says_what_there_is(make_node):
    node = make_node(args=["--set", "storage.seal_age=1h"]).start()
    s = status(node)
    assert s["ready"] is True and s["version"] and s["backend"] == node.backend and s["banners"] == []
    names = {"otlp_grpc": "grpc", "otlp_http": "otlp", "prometheus": "prom", "tempo": "tempo", "quickwit": "quickwit", "ui": "ui"}
    assert s["ports"] == {name: PORTS[door] + node.offset for name, door in names.items()}
    assert s["data"] == {"spans": False, "logs": False, "series": False}
    have = dict(s["data"])
    for path, what, rq in [("/v1/traces", "spans", otlp.traces("shop", range(1, 3))), ("/v1/logs", "logs", otlp.logs("shop", range(3))),
                           ("/v1/metrics", "series", otlp.gauge("shop", "orders", {1: 1}))]:
        assert node.post("otlp", path, rq.SerializeToString(), otlp.PROTO).status == 200
        have[what] = True
        assert status(node)["data"] == have
    assert status(node, tenant="somebody-else")["data"] == {"spans": False, "logs": False, "series": False}
    bad = node.get("ui", "/api/ui/status", tenant="a/b")
    assert bad.status == 400 and "tenant" in bad.json["error"]
    assert node.get("ui", "/api/ui/nothing").json["error"].startswith("no such path")
    # The same from segments, after a restart.
    assert node.stop() == 0
    node.args = ["--set", "storage.seal_age=100ms"]
    node.start()
    assert eventually(lambda: b"tercet_segments 0\n" not in node.get("ui", "/metrics").body)
    assert status(node)["data"] == have


def segment_bytes(node):
    return int(re.search(rb"^tercet_segment_bytes (\d+)", node.get("prom", "/metrics").body, re.M)[1])


def test_status_tells_of_a_disk_over_its_marks(make_node, tmp_path):
    fs = os.statvfs(tmp_path)
    blocks = fs.f_blocks - fs.f_bfree + fs.f_bavail  # as df counts
    used = 1 - fs.f_bavail / blocks

    def told(*args):
        node = make_node(str(len(args)) + args[-1], args=[a for arg in args for a in ("--set", arg)]).start()
        return node, texts(eventually(lambda: (lambda s: s if s["banners"] else None)(status(node))))
    node, text = told(f"storage.refuse_share={used * 1.02}")
    assert text.startswith(f"warn: The disk is {100 * used:.0f}"[:-2]) and "ingest is refused" in text and "error" not in text
    node, text = told("storage.retention_share=0", f"storage.refuse_share={used / 2}")
    assert "error: The disk is" in text and "ingest is refused" in text and "warn" not in text
    # Stored data that just fits into what it may take: nothing is deleted yet, and the status says that it will be.
    full = make_node("full", args=["--set", "storage.seal_age=100ms", "--set", "storage.refuse_share=1"]).start()
    assert full.post("otlp", "/v1/logs", otlp.logs("shop", range(3000)).SerializeToString(), otlp.PROTO).status == 200
    stored = eventually(lambda: segment_bytes(full))
    assert "Stored data" not in texts(status(full))
    full.stop()
    full.args += ["--set", f"storage.retention_share={stored * 1.02 / (blocks * fs.f_frsize):.15f}"]
    full.start()
    assert eventually(lambda: "warn: Stored data takes" in texts(status(full)))
    # A refusal is told for as long as it is recent, once somebody looks.
    assert node.post("otlp", "/v1/logs", otlp.logs("shop", range(3)).SerializeToString(), otlp.PROTO).status in (429, 503, 507)
    assert "warn: Ingest was refused within the last minute" in texts(status(node))
    assert "warn: Ingest was refused within the last minute" in texts(status(node))


def test_status_tells_of_merges_and_those_that_wait(make_node):
    node = make_node(args=["--set", "node.cores=1", "--set", "storage.seal_age=100ms", "--set", "storage.pause_share=0.0001",
                           "--set", "storage.refuse_share=1", "--set", "storage.read_only_share=1"]).start()
    for i in range(60):
        assert node.post("otlp", "/v1/logs", otlp.logs("shop", range(i * 100, i * 100 + 100)).SerializeToString(), otlp.PROTO).status == 200
        if status(node)["merges"]["waiting"]:
            break
        time.sleep(0.15)
    assert "warn: Merges of segments are due and wait: the disk is" in texts(status(node))
    assert status(node)["merges"]["done"] == 0
    node.stop()
    node.args += ["--set", "storage.pause_share=0"]
    node.start()
    assert eventually(lambda: status(node)["merges"]["done"] > 0)
    assert "Merges" not in texts(status(node)) and status(node)["merges"]["failed"] == 0


def test_status_tells_of_refusals(make_node):
    node = make_node(args=["--set", "ingest.bodies=16MiB", "--set", "query.memory_one=1MiB"]).start()
    for i in range(4):
        rq = otlp.gauge("shop", "orders", {n: n for n in range(i * 2000, i * 2000 + 2000)})
        assert node.post("otlp", "/v1/metrics", rq.SerializeToString(), otlp.PROTO).status == 200
    assert status(node)["banners"] == []
    assert node.post("otlp", "/v1/logs", b"x" * (20 << 20), otlp.PROTO).status == 429
    told = texts(status(node))
    assert "warn: Ingest was refused within the last minute" in told and "Queries" not in told
    a = node.get("prom", "/api/v1/query", params={"query": "orders"})
    assert a.status == 422 and "memory" in a.json["error"], a
    assert "warn: Queries were refused within the last minute" in texts(status(node))


def test_status_while_the_log_is_replayed(make_node):
    node = make_node(args=["--set", "storage.seal_age=1h", "--set", "storage.memory=1GiB"]).start()
    for i in range(8):
        rq = otlp.logs("shop", range(i * 5000, (i + 1) * 5000))
        assert node.post("otlp", "/v1/logs", rq.SerializeToString(), otlp.PROTO).status == 200
    node.kill()
    node.start(wait=False)
    seen = []

    def up():
        try:
            seen.append(status(node))
            if not seen[-1]["ready"]:
                assert node.get("ui", "/").status == 200
            return seen[-1]["ready"]
        except OSError:
            return False
    end = time.monotonic() + 30
    while not up() and time.monotonic() < end:
        pass
    first, last = seen[0], seen[-1]
    assert last["ready"] and last["banners"] == [] and last["data"]["logs"] is True
    assert not first["ready"] and first["data"] == {"spans": None, "logs": None, "series": None}
    assert "warn: The node is starting" in texts(first)


# -- the UI itself ----------------------------------------------------------------------------------------------

def raw(node, target, headers=""):
    """An answer to a path that no client library would send: (status, head, body)."""
    with socket.create_connection(("127.0.0.1", PORTS["ui"] + node.offset), timeout=10) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode("latin-1"))
        got = b"".join(iter(lambda: s.recv(65536), b""))
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1").lower(), body


def test_pages_and_assets(node):
    page = node.get("ui", "/")
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8" and page.headers["cache-control"] == "no-store"
    html = page.body.decode()
    nonce = re.search(r'<meta name="csp-nonce" content="([0-9a-f]{32})"', html)[1]
    policy = page.headers["content-security-policy"]
    assert f"style-src 'self' 'nonce-{nonce}'" in policy and "unsafe" not in policy and "default-src 'none'" in policy
    assert "__CSP_NONCE__" not in html and nonce not in node.get("ui", "/").body.decode()
    for path in ["/explore/metrics", "/explore/logs?q=a", "/trace/0af7651916cd43dd8448eb211c80319c", "/services/a%2Fb", "/rum/sessions/1"]:
        there = node.get("ui", path)
        assert there.status == 200 and re.sub("[0-9a-f]{32}", "", there.body.decode()) == re.sub("[0-9a-f]{32}", "", html), path
    named = re.findall(r'(?:src|href)="(/assets/[^"]+)"', html)
    assert any(n.endswith(".js") for n in named) and any(n.endswith(".css") for n in named)
    small = 0
    for name in named:
        plain = node.get("ui", name)
        assert plain.status == 200 and "immutable" in plain.headers["cache-control"] and "content-encoding" not in plain.headers
        assert plain.headers["x-content-type-options"] == "nosniff" and plain.headers["vary"] == "Accept-Encoding"
        packed = node.get("ui", name, headers={"accept-encoding": "gzip, br"})
        if "content-encoding" in packed.headers:
            small += 1
            assert len(packed.body) < len(plain.body) and gzip.decompress(packed.body) == plain.body
        else:
            assert packed.body == plain.body
        again = node.get("ui", name, headers={"if-none-match": plain.headers["etag"]})
        assert again.status == 304 and again.body == b"" and again.headers["etag"] == plain.headers["etag"]
        head = node.request("HEAD", "ui", name)
        assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) == len(plain.body)
    assert small
    missing = node.get("ui", "/assets/nothing-1.js")
    assert missing.status == 404 and missing.headers["content-type"].startswith("text/plain")


HOSTILE = ["/assets/../index.html", "/assets/..%2findex.html", "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/assets/..%5c..%5cx", "/assets//etc/passwd",
           "/assets/%2fetc%2fpasswd", "/assets/app.js%00", "/assets/.secret.js", "/assets/sub/../app.js", "/assets/%252e%252e/index.html",
           "/assets/out.js", "/assets/outdir/passwd", "/assets/pipe.js", "/assets/sub", "/assets/", "/assets/\xff"]


def test_a_folder_in_place_of_the_pack(make_node, tmp_path):
    """ui.dir: files as they are now, and nothing outside of the folder."""
    dist = tmp_path / "dist"
    (dist / "assets" / "sub").mkdir(parents=True)
    (dist / "index.html").write_text('<meta name="csp-nonce" content="__CSP_NONCE__">first')
    (dist / "assets" / "app.js").write_text("export const secret = 1;\n" * 200)
    (dist / "assets" / ".secret.js").write_text("export const secret = 2;\n")
    (tmp_path / "outside.js").write_text("export const secret = 3;\n")
    (dist / "assets" / "out.js").symlink_to(tmp_path / "outside.js")
    (dist / "assets" / "outdir").symlink_to("/etc")
    (dist / "assets" / "inside.js").symlink_to("app.js")
    os.mkfifo(dist / "assets" / "pipe.js")
    node = make_node(args=["--set", f"ui.dir={dist}"]).start()
    assert re.fullmatch(r'<meta name="csp-nonce" content="[0-9a-f]{32}">first', node.get("ui", "/").body.decode())
    (dist / "index.html").write_text("second")
    assert node.get("ui", "/services").body == b"second"
    js = (dist / "assets" / "app.js").read_bytes()
    for name in ("app.js", "inside.js"):
        a = node.get("ui", "/assets/" + name)
        assert a.status == 200 and a.body == js and a.headers["content-type"].startswith("text/javascript")
    a = node.get("ui", "/assets/app.js", headers={"accept-encoding": "gzip"})
    assert a.headers["content-encoding"] == "gzip" and gzip.decompress(a.body) == js
    assert node.get("ui", "/assets/app.js", headers={"if-none-match": a.headers["etag"]}).status == 304
    for path in HOSTILE:
        code, head, body = raw(node, path)
        assert code in (400, 404) and b"secret" not in body and b"root:" not in body, (path, code, body)
    (dist / "index.html").unlink()
    assert node.get("ui", "/").status == 404


def test_hostile_paths_into_the_pack(node):
    for path in HOSTILE:
        code, head, body = raw(node, path)
        assert code in (400, 404) and b"<script" not in body, (path, code, body)
