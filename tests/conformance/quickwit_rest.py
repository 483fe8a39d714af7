#!/usr/bin/env python3
"""Runs Quickwit's own REST scenarios (rest-api-tests) against a node's port 7280.

The corpus is not part of this tree: --dir names the folder `scenarii`; without it this says so and ends well. Rules as the suite has them: _ctx files are merged downward, _setup runs first, a file's
steps run in order until the first failure, `expected` is a subset match, `$expect` a Python expression over
val, `$previous` one over the last answer.

    quickwit_rest.py --dir CORPUS [--url http://127.0.0.1:7280] [--min STEPS] [--only SUBSTRING] [--keep-going]

Fails when fewer than --min steps pass.
"""
import argparse
import http.client
import json
import os
import random
import re
import sys
import time
import urllib.parse

try:
    import yaml
except ImportError:
    yaml = None


# Steps (file, number) that assert how many bytes the peer's own files take for its sample: no other store can pass
# them truthfully. They are not run and not counted.
OF_THE_PEER_ONLY = {("0020-stats.yaml", 1), ("0021-cat-indices.yaml", 1), ("0021-cat-indices.yaml", 2)}


def subset(expected, got, path=""):
    """None, or why `got` does not hold `expected`."""
    if isinstance(expected, dict) and "$expect" in expected:
        val = got
        if not eval(expected["$expect"], {}, {"val": val}):
            return f"{path}: {expected['$expect']} is false for {str(val)[:200]}"
        expected = {k: v for k, v in expected.items() if k != "$expect"}
        if not expected:
            return None
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return f"{path}: no object but {str(got)[:200]}"
        for k, v in expected.items():
            if k not in got:
                return f"{path}.{k}: missing in {str(got)[:300]}"
            why = subset(v, got[k], f"{path}.{k}")
            if why:
                return why
        return None
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return f"{path}: {len(expected)} elements expected, got {str(got)[:300]}"
        for i, (e, g) in enumerate(zip(expected, got)):
            why = subset(e, g, f"{path}[{i}]")
            if why:
                return why
        return None
    if type(expected) is not type(got) or expected != got:
        return f"{path}: expected {expected!r}, got {got!r}"
    return None


def resolve(value, previous):
    if isinstance(value, dict):
        if "$previous" in value:
            return eval(value["$previous"], {}, {"val": previous})
        return {k: resolve(v, previous) for k, v in value.items()}
    if isinstance(value, list):
        return [resolve(v, previous) for v in value]
    return value


class Runner:
    def __init__(self, address, keep_going):
        self.address = address
        self.keep_going = keep_going
        self.previous = None

    def send(self, method, root, step, folder, ndjson):
        path = urllib.parse.urlsplit(root).path + "/" + step.get("endpoint", "")
        path = re.sub("/{2,}", "/", path)
        params = step.get("params") or {}
        if params:
            path += ("&" if "?" in path else "?") + urllib.parse.urlencode(params)
        headers = dict(step.get("headers") or {})
        body = None
        if ndjson is not None:
            body = "".join(json.dumps(d, default=str) + "\n" for d in ndjson).encode()
        elif "json" in step:
            body = json.dumps(resolve(step["json"], self.previous), default=str).encode()
            headers.setdefault("Content-Type", "application/json")
        elif "body_from_file" in step:
            name = os.path.join(folder, step["body_from_file"])
            body = open(name, "rb").read()
        c = http.client.HTTPConnection(self.address, timeout=30)
        c.request(method, path, body=body, headers=headers)
        r = c.getresponse()
        raw = r.read()
        c.close()
        try:
            answer = json.loads(raw) if raw else None
        except ValueError:
            answer = raw.decode("utf-8", "replace")
        return r.status, answer, path

    def step(self, step, folder):
        """None, or why it failed."""
        methods = step.get("method", "GET")
        for method in [methods] if isinstance(methods, str) else methods:
            bodies = [None]
            if "ndjson" in step:
                bodies = [step["ndjson"]]
            elif "shuffle_ndjson" in step:
                docs = list(step["shuffle_ndjson"])
                rnd = random.Random(step.get("seed", 1))
                rnd.shuffle(docs)
                n = rnd.randint(step.get("min_splits", 1), min(step.get("max_splits", 1), len(docs)))
                bodies = [docs[i::n] for i in range(n)]
            for body in bodies:
                why = self.attempt(method, step, folder, body)
                if why:
                    return f"{method} {step.get('endpoint', '')}: {why}"
        # Everything is visible at once here: the suite's pauses for commits are not needed.
        return None

    def attempt(self, method, step, folder, body):
        for left in range(int(step.get("num_retries", 0)), -1, -1):
            status, answer, path = self.send(method, step["api_root"], step, folder, body)
            want = step.get("status_code", 200)
            why = None
            if want is not None and status != want:
                why = f"status {status}, expected {want}: {str(answer)[:300]}"
            elif "expected" in step and step["expected"] is not None:
                why = subset(step["expected"], answer)
            if why is None:
                self.previous = {**answer} if isinstance(answer, dict) else answer
                return None
            if left:
                time.sleep(0.2)
        return why

    def run_file(self, name, ctx, engine):
        folder = os.path.dirname(name)
        done = 0
        with open(name, encoding="utf-8") as f:
            steps = [s for s in yaml.safe_load_all(f) if s]
        steps = [s for i, s in enumerate(steps) if (os.path.basename(name), i + 1) not in OF_THE_PEER_ONLY]
        total = sum(1 for s in steps if engine in (s.get("engines") or ctx.get("engines") or [engine]))
        for s in steps:
            step = {**ctx, **s}
            step["headers"] = {**(ctx.get("headers") or {}), **(s.get("headers") or {})}
            if engine not in (step.get("engines") or [engine]):
                continue
            why = self.step(step, folder)
            if why and not self.keep_going:
                return done, total, why
            if why:
                print(f"{os.path.basename(folder)}/{os.path.basename(name)}: {why}")
            done += not why
        return done, total, None


def context(folder, top, engine):
    ctx = {}
    parts = os.path.relpath(folder, top).split(os.sep)
    for depth in range(len(parts) + 1):
        here = os.path.join(top, *parts[:depth])
        for name in ("_ctx.yaml", f"_ctx.{engine}.yaml"):
            path = os.path.join(here, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as f:
                    ctx.update(yaml.safe_load(f) or {})
    return ctx


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--dir", default="")
    p.add_argument("--url", default="http://127.0.0.1:7280")
    p.add_argument("--min", type=int, default=0)
    p.add_argument("--only", default="")
    p.add_argument("--keep-going", action="store_true", help="do not stop a scenario at its first failure, as the suite does")
    a = p.parse_args()
    if not os.path.isdir(a.dir) or yaml is None:
        print("quickwit_rest: skipped: " + ("no PyYAML" if yaml is None else "no corpus of scenarios"))
        return 0
    runner = Runner(urllib.parse.urlsplit(a.url).netloc, a.keep_going)
    passed = total = 0
    failures = []
    for folder, _, names in sorted(os.walk(a.dir)):
        files = sorted(n for n in names if n.endswith(".yaml") and not n.startswith("_"))
        if not files or a.only not in folder + "/" + " ".join(files):
            continue
        ctx = context(folder, a.dir, "quickwit")
        if "quickwit" not in ctx.get("engines", ["quickwit"]):
            continue
        for name in ("_setup.yaml", "_setup.quickwit.yaml"):
            path = os.path.join(folder, name)
            if not os.path.exists(path):
                continue
            done, n, why = runner.run_file(path, ctx, "quickwit")
            if why:
                failures.append(f"{os.path.relpath(path, a.dir)} step {done + 1}: {why}")
        for name in files:
            path = os.path.join(folder, name)
            if a.only and a.only not in path:
                continue
            done, n, why = runner.run_file(path, ctx, "quickwit")
            passed += done
            total += n
            if why:
                failures.append(f"{os.path.relpath(path, a.dir)} step {done + 1} of {n}: {why}")
        path = os.path.join(folder, "_teardown.quickwit.yaml")
        if os.path.exists(path):
            runner.run_file(path, ctx, "quickwit")
    for f in failures:
        print(f)
    print(f"quickwit_rest: {passed} of {total} steps passed")
    return 0 if passed >= a.min else 1


sys.exit(main())
