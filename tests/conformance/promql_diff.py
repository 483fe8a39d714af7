#!/usr/bin/env python3
"""Random questions to Tercet and to a live Prometheus that has the same data: values, labels, order, errors with their positions,
warnings and infos must be the same. Prometheus is tests/conformance/oracle (its engine, storage and HTTP API at one version);
a world of series is seeded (promql_world.py), and so are the questions (promql_words.py).

  promql_diff.py [--seed 1] [--seeds 0] [--seconds 60] [--queries 300] [--nodes 1|3 | --url U [--write-url U]]
  promql_diff.py --seed 7 --ask 'sum(temp)' [--time T | --range START,END,STEP]     both answers to one query in the world of a seed

Each seed is a world of its own with --queries questions. A difference is printed with its seed and with the smallest query that
still differs. Last line: "promql_diff: N questions, M differ". Needs Go (demo/lib/tool); says SKIP without."""
import argparse
import http.client
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
sys.path[:0] = [HERE, os.path.join(HERE, "../e2e")]
import promqltest  # noqa: E402
from promql_words import IDENTIFIER, N, Words, smaller  # noqa: E402
from promql_world import World  # noqa: E402

NEAR = 1e-11
ORDERED = re.compile(r"\s*(sort|sort_desc|sort_by_label|sort_by_label_desc|topk)\b[^()]*\(")


class Door:
    """A server's Prometheus API, for one tenant at a time."""

    def __init__(self, url, write_url=None):
        self.url, self.write_url, self.tenant, self.conns = url, write_url or url, None, {}

    def request(self, method, path, body=None, headers=None, base=None):
        u = urllib.parse.urlsplit(base or self.url)
        headers = {"X-Scope-OrgID": self.tenant, **(headers or {})}
        for attempt in (0, 1):
            conn = self.conns.pop(u.netloc, None) or http.client.HTTPConnection(u.netloc, timeout=130)
            try:
                conn.request(method, path, body, headers)
                r = conn.getresponse()
                status, data = r.status, r.read()
                self.conns[u.netloc] = conn
                return status, data
            except (OSError, http.client.HTTPException):
                conn.close()
                if attempt:
                    raise

    def write(self, series):
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                   "X-Prometheus-Remote-Write-Version": "2.0.0"}
        items = list(series.items())
        for i in range(0, len(items), 20):
            for batch in promqltest.split_runs(dict(items[i:i + 20])):
                status, reply = self.request("POST", "/api/v1/write", promqltest.snappy_literal(promqltest.write_v2(batch)), headers, self.write_url)
                if status >= 300:
                    raise SystemExit(f"{self.write_url}: remote write: {status} {reply[:500]!r}")

    def ask(self, path, params, headers=None):
        form = urllib.parse.urlencode(params, doseq=True)
        post = path.rsplit("/", 1)[1] in ("query", "query_range", "series", "labels", "format_query", "parse_query")
        status, reply = self.request("POST" if post else "GET", path if post else path + "?" + form, form if post else None,
                                     {**(headers or {}), **({"Content-Type": "application/x-www-form-urlencoded"} if post else {})})
        try:
            return status, json.loads(reply) if reply else {}
        except ValueError:
            return status, {"status": "not JSON", "error": repr(reply[:300])}


# -- comparing --------------------------------------------------------------------------------------------


def near(a, b):
    x, y = float(a), float(b)
    if x == y:
        return math.copysign(1, x) == math.copysign(1, y) or x != 0
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    return not (math.isinf(x) or math.isinf(y)) and abs(x - y) <= NEAR * max(abs(x), abs(y))


def same_value(a, b):
    """Of two samples, [time, "value"] or [time, histogram]."""
    if a[0] != b[0] or type(a[1]) is not type(b[1]):
        return False
    if isinstance(a[1], str):
        return a[1] == b[1] or near(a[1], b[1])
    x, y = a[1], b[1]
    bx, by = x.get("buckets", []), y.get("buckets", [])
    return near(x["count"], y["count"]) and near(x["sum"], y["sum"]) and len(bx) == len(by) and all(
        p[0] == q[0] and all(near(m, n) for m, n in zip(p[1:], q[1:])) for p, q in zip(bx, by))


def same_series(a, b):
    if a["metric"] != b["metric"]:
        return False
    for kind in ("values", "histograms"):
        p, q = a.get(kind, []), b.get(kind, [])
        if len(p) != len(q) or not all(same_value(m, n) for m, n in zip(p, q)):
            return False
    for kind in ("value", "histogram"):
        if (kind in a) != (kind in b) or kind in a and not same_value(a[kind], b[kind]):
            return False
    return True


def number(item):
    v = item.get("value")
    return float(v[1]) if v else math.nan


def one_call(query):
    """Does its first parenthesis close at its end?"""
    bare, depth = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`', "", query.strip()), 0
    for i, c in enumerate(bare):
        depth += (c == "(") - (c == ")")
        if c == ")" and depth == 0:
            return i == len(bare) - 1
    return False


def same_order(query, want, got):
    """Of what sorts: the order of the values, as elements of one value may come in any. By label: of all. topk's groups come in
    any order."""
    if "by_label" in query[:25]:
        return all(a["metric"] == b["metric"] for a, b in zip(want, got))
    return "topk" in query and ("by" in query or "without" in query) or all(near(number(a), number(b)) for a, b in zip(want, got))


DATES = re.compile(r"day_of|days_in|hour|minute|month|year")
MASKED = re.compile(r"found duplicate series for (?:the match group|info metric)")


def error_of(body):
    """Which of several duplicates is named is a matter of the order of series."""
    text = body.get("error")
    return re.sub(r"\{[^{}]*\}|\d+", "{}", text) if text and MASKED.match(text) else text


SUMMED = re.compile(r"PromQL warning: (?:vector contains a mix of histograms with exponential|encountered a mix of histograms and floats for aggregation)")


def notes(texts, infos):
    """Of what makes a group of series unfit Prometheus tells only what it met first, with the name of the series; of operators on
    samples of unlike types the last pair of a step."""
    texts = [re.sub(r"(?<=got )-?\d[\d.e+-]*", lambda m: f"{float(m[0]):.12g}", re.sub(r"over \d+ samples| \(\d+ occurrences\)", "", t)) for t in texts]  # Prometheus' count doubles as it goes
    if infos:
        return sorted({"incompatible types" if "incompatible sample types" in t else t for t in texts})
    return sorted({"unfit to be summed" if SUMMED.match(t) else t for t in texts})


def difference(params, want, got):
    """In words; None when the answers are the same. want and got: (status, JSON)."""
    if want[0] != got[0]:
        return "status"
    w, g = want[1], got[1]
    for key in ("status", "errorType"):
        if w.get(key) != g.get(key):
            return key
    if error_of(w) != error_of(g):
        return "error"
    for key in ("warnings", "infos"):
        a, b = notes(w.get(key, []), key == "infos"), notes(g.get(key, []), key == "infos")
        if a != b and (len(a) != len(b) or len(a) <= 10):
            return key
    if w["status"] != "success":
        return None
    w, g = w.get("data"), g.get("data")
    if not isinstance(w, dict) or "resultType" not in w:
        if isinstance(w, list) and isinstance(g, list) and w and isinstance(w[0], dict):  # series come in the order of any storage
            w, g = (sorted(json.dumps(x, sort_keys=True) for x in y) for y in (w, g))
        if isinstance(w, str) and isinstance(g, str) and "\n" in w:
            w, g = (re.sub(r"\s+", "", x) for x in (w, g))  # broken into lines, where Prometheus does it
        return None if w == g else "data"
    if w["resultType"] != g["resultType"]:
        return "type"
    kind, w, g = w["resultType"], w["result"], g["result"]
    if "limitk" in params["query"] and kind != "string":
        return None if bool(w) == bool(g) else "labels"  # any k will do
    if kind in ("scalar", "string"):
        return None if (w == g if kind == "string" else same_value(w, g)) else "value"
    key = lambda s: json.dumps(s["metric"], sort_keys=True)
    if kind == "vector":
        if len(w) == len(g) and ORDERED.match(params["query"]) and one_call(params["query"]) and not same_order(params["query"].lstrip(), w, g):
            return "order"
        w, g = sorted(w, key=key), sorted(g, key=key)
    if TIED.match(params["query"]) and picked(w) == picked(g):
        return None
    if [s["metric"] for s in w] != [s["metric"] for s in g]:
        return "labels"
    if DATES.search(params["query"]) and re.search(r"292277026596|(?i:inf|nan|odd|e300|1e308)", json.dumps(w) + params["query"]):
        return None  # the date of what is no time is the processor's in Go
    return None if all(same_series(a, b) for a, b in zip(w, g)) else "values"


def kind(what, want, got):
    """Of a difference, for the smallest query with the same one: what differs, and errors without their names and positions."""
    if what not in ("status", "error", "errorType"):
        return what
    bare = lambda answer: re.sub(r'"(?:[^"\\]|\\.)*"|\{.*\}|\d+', "_", answer[1].get("error", ""))
    return what, bare(want), bare(got)


def brief(answer):
    status, body = answer
    text = json.dumps({k: v for k, v in body.items() if k != "status"}, ensure_ascii=False, sort_keys=True)
    return f"{status} {text}"


def no_matter(params, what, want, got):
    """Differences that are meant: info() looks for info series where the series it is given were looked for, with their offset and @,
    as its documentation reads; Prometheus reads them at those times and looks for them at the query's. Its tree of a query with NaN
    is not JSON. Elements of one value may be picked in any order."""
    query = params.get("query", "")
    if "info(" in query and ("offset" in query or "@" in query) and what not in ("type", "errorType"):
        return True
    if re.search(r"(?:topk|bottomk)\b", query) and what in ("labels", "values", "status", "error") and not TIED.match(query):
        return True  # of elements with one value, any
    if "label_" in query and what == "status" and want[0] == 200 and "same labelset" in got[1].get("error", ""):
        return True  # Prometheus lets a float and a histogram of one time and one label set be one series
    if "count_values" in query and what == "labels":
        return True  # the last digit of a sum, as a label
    return "unsupported value: " in want[1].get("error", "")


TIED = re.compile(r"\s*(?:topk|bottomk)\b[^()]*(?:\([^()]*\)\s*)?\(")


def picked(result):
    """At each time the values alone: which of several with one value were picked does not matter."""
    out = {}
    for s in result:
        for t, v in s.get("values", [s["value"]] if "value" in s else []):
            out.setdefault(t, []).append(float(v))
    return {t: sorted(v, key=str) for t, v in out.items()}


def show(want, got):
    """Both answers around the first place where they part."""
    a, b = brief(want), brief(got)
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    low = 0 if at < 400 else at - 250
    cut = lambda s: ("... " if low else "") + s[low:at + 350] + (" ..." if len(s) > at + 350 else "")
    return f"  prometheus: {cut(a)}\n  tercet:     {cut(b)}"


# -- asking -----------------------------------------------------------------------------------------------


class Pair:
    def __init__(self, prometheus, tercet):
        self.doors = (prometheus, tercet)

    def fill(self, name, world):
        for door in self.doors:
            door.tenant = name
            door.write(world.series)

    def ask(self, path, params):
        want, got = (door.ask(path, params) for door in self.doors)
        what = difference(params, want, got)
        if what in ("labels", "status", "error", "values", "warnings", "infos") and "query" in path:
            # Names are dropped late or at once; where late has a flaw of its own, at once is as right.
            eager = self.doors[0].ask(path, params, {"X-Eager-Names": "1"})
            if not difference(params, eager, got):
                what = None
        if what and no_matter(params, what, want, got):
            what = None
        return what, want, got


class Asker:
    """The questions of one seed."""

    def __init__(self, rng, world, pair):
        self.rng, self.world, self.pair, self.words = rng, world, pair, Words(rng, world)

    def moment(self):
        rng, w = self.rng, self.world
        some = rng.choice(list(w.series.values()))
        return rng.choice((w.end_ms, rng.randrange(w.start_ms - 600_000, w.end_ms + 900_000), rng.randrange(w.start_ms, w.end_ms),
                           rng.choice(some)[0], rng.choice(some)[0] + rng.choice((300_000, 299_999, 300_001, 1, -1)))) / 1000

    def when(self):
        rng = self.rng
        if rng.random() < 0.5:
            return "/api/v1/query", {"time": self.moment()}
        start = self.moment()
        step = rng.choice((1, 7, 15, 30, 60, 60, 61.5, 90, 300, 301, 0.25, 1000))
        return "/api/v1/query_range", {"start": start, "end": start + step * rng.choice((0, 1, 5, 20, 60, 0.5, 33.3)), "step": step}

    def extras(self):
        rng, out = self.rng, {}
        if rng.random() < 0.05:
            out["lookback_delta"] = rng.choice(("1m", "30", "1h", "1ms"))
        return out

    def tree(self):
        form = self.rng.random()
        if form < 0.78:
            query, path, params = self.words.query(), *self.when()
        elif form < 0.90:
            query, path, params = N("broken", self.words.broken()), "/api/v1/query", {"time": self.moment()}
        else:
            return self.other(form)
        return query, path, {**params, **self.extras()}

    def other(self, form):
        rng, words = self.rng, self.words
        if form < 0.94:
            return words.query(), rng.choice(("/api/v1/format_query", "/api/v1/parse_query")), {}
        # Times in which all series are, or none: what lies between is cut by chunks and blocks in Prometheus, by samples here.
        w, span = self.world, {}
        if rng.random() < 0.6:
            span["start"], span["end"] = rng.choice(((w.start_ms / 1000 - 10, w.end_ms / 1000 + 600), (w.end_ms / 1000 + 86400, w.end_ms / 1000 + 90000)))
        path = rng.choice(("/api/v1/series", "/api/v1/series", "/api/v1/labels", "/api/v1/label/NAME/values"))
        if path.endswith("values"):
            name = rng.choice(words.labels + ["nothing", "__name__", "U__host_2e_name", "U__a_2e_b"])
            path = f"/api/v1/label/{urllib.parse.quote(name, safe='')}/values"
        count = rng.choice((0, 1, 1, 2)) if "series" not in path else rng.choice((1, 1, 2, 3))
        span["match[]"] = [words.selector().text() if rng.random() < 0.9 else words.broken() for _ in range(count)]
        return None, path, span

    def run(self, i, report):
        tree, path, params = self.tree()
        if tree is not None:
            params["query"] = tree.text()
        what, want, got = self.pair.ask(path, params)
        if what:
            if tree is not None:
                tree, params, want, got = self.shrink(tree, path, params, what, want, got)
            report(i, what, path, params, want, got)
        return want

    def shrink(self, tree, path, params, what, want, got):
        """The smallest query, and the shortest range, with the same kind of difference."""
        budget, again, same = 400, True, kind(what, want, got)
        while again and budget > 0:
            again = False
            for other in smaller(tree) if tree.type != "broken" else cut(tree):
                budget -= 1
                tried = {**params, "query": other.text()}
                now = self.pair.ask(path, tried)
                if kind(*now) == same:
                    tree, params, want, got, again = other, tried, now[1], now[2], True
                    break
                if budget <= 0:
                    break
        if path.endswith("query_range") and params["end"] > params["start"]:
            steps = int((params["end"] - params["start"]) / params["step"])
            for k in range(steps + 1):
                t = params["start"] + k * params["step"]
                tried = {**params, "start": t, "end": t}
                now = self.pair.ask(path, tried)
                if kind(*now) == same:
                    return tree, tried, now[1], now[2]
        return tree, params, want, got


def cut(tree):
    """Of a query that is no tree: with a part of its tokens taken out."""
    tokens = Words.TOKEN.findall(tree.text())
    for size in (len(tokens) // 2, len(tokens) // 4, 3, 2, 1):
        for i in range(0, len(tokens) - size + 1) if 0 < size < len(tokens) else ():
            yield N("broken", "".join(tokens[:i] + tokens[i + size:]))


# -- servers ----------------------------------------------------------------------------------------------


def build_oracle():
    """The path of the program, or None with a line that says why."""
    tool = subprocess.run([os.path.join(ROOT, "demo/lib/tool"), "go"], capture_output=True, text=True)
    if tool.returncode:
        print("SKIP promql_diff: no Go: " + tool.stderr.strip()[-200:])
        return None
    out = os.path.abspath(os.path.join(ROOT, "build/promql-oracle"))
    p = subprocess.run([tool.stdout.strip(), "build", "-o", out, "."], cwd=os.path.join(HERE, "oracle"), capture_output=True, text=True,
                       env=dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly -buildvcs=false"))
    if p.returncode:
        print("SKIP promql_diff: no oracle: " + p.stderr.strip()[-300:])
        return None
    return out


class Oracle:
    def __init__(self, path):
        self.dir = tempfile.TemporaryDirectory(prefix="promql-oracle-")
        self.process = subprocess.Popen([path, self.dir.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.dir.cleanup()


class Nodes:
    """Our side: what --url names, or nodes of our own."""

    def __init__(self, a):
        self.a = a

    def __enter__(self):
        a = self.a
        if a.url:
            self.cluster = None
            return Door(a.url, a.write_url)
        from node import Cluster
        self.folder = tempfile.TemporaryDirectory(prefix="promql-diff-")
        args = ["--set", "node.cores=2" if a.nodes == 1 else "node.cores=1", "--set", "storage.ballast=0"]
        if a.nodes > 1:
            args += ["--set", f"cluster.replicas={a.replicas}", "--set", f"cluster.write_quorum={min(2, a.replicas)}"]
        self.cluster = Cluster(self.folder.name, a.nodes, backends=("auto", "epoll", "auto"), args=args).__enter__()
        self.cluster.start()
        return Door(self.cluster[min(1, a.nodes - 1)].url("prom"), self.cluster[0].url("prom"))

    def __exit__(self, *what):
        if self.cluster:
            self.cluster.__exit__(*what)
            self.folder.cleanup()


def run_seed(seed, a, pair, seen, until):
    rng = random.Random(seed)
    world = World(rng)
    pair.fill(f"diff-{seed}-{os.getpid()}-{time.monotonic_ns()}", world)
    asker, differ = Asker(rng, world, pair), 0

    def report(i, what, path, params, want, got):
        nonlocal differ
        differ += 1
        print(f"DIFFERS in {what}: seed {seed}, question {i}: {path.removeprefix('/api/v1/')} {json.dumps(params, ensure_ascii=False)}")
        print(show(want, got), flush=True)

    count = 0
    for i in range(a.queries):
        if time.monotonic() > until:
            break
        status, body = asker.run(i, report)
        data = body.get("data")
        kind = status, "full" if (data.get("result", data) if isinstance(data, dict) else data) else "empty"
        seen[kind] = seen.get(kind, 0) + 1
        count += 1
    return count, differ


def ask_one(a, pair):
    world = World(random.Random(a.seed))
    pair.fill(f"ask-{a.seed}-{time.monotonic_ns()}", world)
    if a.range:
        path, params = "/api/v1/query_range", dict(zip(("start", "end", "step"), a.range.split(",")))
    else:
        path, params = "/api/v1/query", {"time": a.time if a.time is not None else world.end_ms / 1000}
    for query in a.ask:
        what, want, got = pair.ask(path, {**params, "query": query})
        print(f"{query}\n{'DIFFERS in ' + what if what else 'same'}\n  prometheus: {brief(want)}\n  tercet:     {brief(got)}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--seeds", type=int, default=0, help="how many; 0: until --seconds are over")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--queries", type=int, default=300)
    p.add_argument("--nodes", type=int, default=1)
    p.add_argument("--replicas", type=int, default=1)
    p.add_argument("--url")
    p.add_argument("--write-url")
    p.add_argument("--ask", action="append")
    p.add_argument("--time")
    p.add_argument("--range")
    a = p.parse_args()
    oracle = build_oracle()
    if not oracle:
        return 77
    questions = differ = 0
    seen, until = {}, time.monotonic() + a.seconds
    with Oracle(oracle) as prometheus, Nodes(a) as tercet:
        pair = Pair(Door(prometheus.url), tercet)
        if a.ask:
            ask_one(a, pair)
            return 0
        seed = a.seed
        while time.monotonic() < until and (not a.seeds or seed < a.seed + a.seeds):
            n, m = run_seed(seed, a, pair, seen, until)
            questions, differ, seed = questions + n, differ + m, seed + 1
    print(f"promql_diff: seeds {a.seed} to {seed - 1}; answers of Prometheus by status, and whether there was anything in them: "
          + ", ".join(f"{status} {full}: {n}" for (status, full), n in sorted(seen.items())))
    print(f"promql_diff: {questions} questions, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
