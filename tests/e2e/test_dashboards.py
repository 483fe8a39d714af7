"""Every PromQL target of community dashboards, and every rule, parses and answers: as panel (range) or table (instant), with Grafana's variables
and macros filled in. The dashboards are other projects' data: they are looked for in $CORPORA (default ../shared/corpora)."""
import glob
import json
import os
import re
import urllib.parse

import pytest
import yaml

import prompb
from node import ROOT, Node

CORPORA = os.environ.get("CORPORA", os.path.join(ROOT, "../shared/corpora")) + "/dashboards"
FILES = sorted(glob.glob(CORPORA + "/**/*.json", recursive=True) + glob.glob(CORPORA + "/**/*.yaml", recursive=True))
NOW = 1_700_000_100

# What Grafana puts in the place of its own variables; the others are the dashboard's, with one value or with several.
GLOBAL = {"__rate_interval": "1m0s", "__interval": "15s", "__interval_ms": "15000", "__range": "3600s", "__range_s": "3600", "__range_ms": "3600000",
          "__from": str((NOW - 3600) * 1000), "__to": str(NOW * 1000), "__name": "panel", "__org": "1", "__user": "1", "timeFilter": "", "__auto": "15s"}
VARIABLE = re.compile(r"\$\{([A-Za-z_][\w.]*)(?::([\w:%.-]+))?\}|\$([A-Za-z_]\w*)|\[\[([A-Za-z_]\w*)(?::(\w+))?\]\]")


def escape(text):
    return re.sub(r"[\\^$*+?.()|{}\[\]/]", lambda m: "\\\\" + m.group(0), text)


def value_of(variable, fmt):
    """As Grafana's Prometheus source writes a variable: of several values a regular expression, escaped twice."""
    kind, options = variable.get("type"), [o["value"] for o in variable.get("options", []) if isinstance(o.get("value"), str) and not o["value"].startswith("$__")]
    if kind == "interval":
        return options[0] if options else "5m"
    current = (variable.get("current") or {}).get("value")
    several = bool(variable.get("multi") or variable.get("includeAll"))
    if kind in ("custom", "constant", "textbox") and options and not several:
        return options[0]
    if kind in ("constant", "textbox"):
        return str(current or variable.get("query") or "")
    if kind == "adhoc":
        return ""
    if several:
        if variable.get("allValue"):
            return variable["allValue"]
        values = options or ["one.of:them", "another-9100"]
        return {"pipe": "|".join(values), "raw": ",".join(values), "csv": ",".join(values)}.get(fmt, "(" + "|".join(map(escape, values)) + ")")
    return current if isinstance(current, str) and current and not current.startswith("$") else "value"


def filled_in(expr, variables):
    def one(m):
        name, fmt = m.group(1) or m.group(3) or m.group(4), m.group(2) or m.group(5)
        if name in GLOBAL:
            return GLOBAL[name]
        if name in variables:
            return value_of(variables[name], fmt)
        return "value"
    for _ in range(3):  # a variable's value may hold another
        expr = VARIABLE.sub(one, expr)
    return expr


def walk(node, found, others, source=""):
    """Targets of panels and rows whose data source is none of the others."""
    if isinstance(node, dict):
        own = node.get("datasource")
        source = json.dumps(own) if own else source
        if isinstance(node.get("expr"), str) and node["expr"].strip() and not any(o in source for o in others):
            found.append((node["expr"], bool(node.get("instant"))))
        for v in node.values():
            walk(v, found, others, source)
    elif isinstance(node, list):
        for v in node:
            walk(v, found, others, source)


def targets(path):
    with open(path) as f:
        if path.endswith(".yaml"):
            return [(r["expr"], True) for g in (yaml.safe_load(f) or {}).get("groups", []) for r in g["rules"]]
        board = json.load(f)
    variables = {v["name"]: v for v in board.get("templating", {}).get("list", [])}
    found = []
    others = ["loki"] + [f % v["name"] for f in ("${%s}", '"$%s"') for v in variables.values() if v.get("type") == "datasource" and v.get("query") != "prometheus"]
    walk(board, found, others)
    for v in variables.values():
        query = v.get("query")
        text = query.get("query", "") if isinstance(query, dict) else query if isinstance(query, str) else ""
        m = re.fullmatch(r"\s*query_result\((.*)\)\s*", text, re.S) or re.fullmatch(r"\s*label_values\((.*),\s*\w+\s*\)\s*", text, re.S)
        if v.get("type") == "query" and m and not any(o in json.dumps(v.get("datasource")) for o in others):
            found.append((m.group(1), True))
    return [(filled_in(e, variables), instant) for e, instant in found]


def selectors(tree, found):
    """Of a query as parse_query gives it: each selector's matchers."""
    if isinstance(tree, dict):
        if tree.get("type") in ("vectorSelector", "matrixSelector"):
            found.append(tree["matchers"])
        for v in tree.values():
            selectors(v, found)
    elif isinstance(tree, list):
        for v in tree:
            selectors(v, found)


def labels_for(matchers, nth):
    """Labels that they match; None where a guess does not."""
    labels = {"__name__": "made_up", "instance": "one.of:them", "job": "value", "namespace": "value", "cluster": "value"}
    for m in matchers:
        name, value = m["name"], m["value"]
        if m["type"] == "=":
            labels[name] = value
        elif m["type"] == "=~":
            choices = [labels.get(name, ""), f"x{nth}", "200", *re.sub(r"[()^$]", "", value).replace("\\.", ".").replace(".+", "x").replace(".*", "").split("|")]
            fits = [c for c in choices if c and re.fullmatch(value, c)]
            if not fits:
                return None
            labels[name] = fits[nth % len(fits)]
    if labels["__name__"].endswith("_bucket"):
        labels.setdefault("le", ("1", "+Inf")[nth])
    return {k: v for k, v in labels.items() if v}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """With an hour of series made up for the selectors of all targets, so that functions and joins meet data."""
    node = Node(tmp_path_factory.mktemp("dashboards") / "data").start()
    wanted = {}
    for expr, _ in (t for f in FILES for t in targets(f)):
        found = []
        a = node.post("prom", "/api/v1/parse_query", "query=" + urllib.parse.quote(expr), "application/x-www-form-urlencoded")
        selectors(a.json.get("data"), found)
        for labels in (labels_for(m, nth) for m in found for nth in (0, 1)):
            if labels:
                wanted[json.dumps(labels, sort_keys=True)] = labels
    t = range(NOW - 3600, NOW + 1, 60)
    series = [(labels, [(s * 1000, float((s - NOW + 3600) * (i % 7 + 1))) for s in t]) for i, labels in enumerate(wanted.values())]
    for at in range(0, len(series), 500):
        a = node.post("prom", "/api/v1/write", prompb.write_request(series[at:at + 500]), "application/x-protobuf", headers={"Content-Encoding": "snappy"})
        assert a.status == 204, a
    yield node
    assert node.stop() == 0, node.log_text()[-3000:]


def ask(node, expr, instant):
    path, params = ("query", {"query": expr, "time": NOW}) if instant else ("query_range", {"query": expr, "start": NOW - 3600, "end": NOW, "step": 15})
    return node.post("prom", "/api/v1/" + path, urllib.parse.urlencode(params), "application/x-www-form-urlencoded")


@pytest.mark.skipif(not FILES, reason=f"no dashboards in {CORPORA}")
def test_every_target_answers(node):
    asked, with_data, failed = 0, 0, []
    for path in FILES:
        for expr, instant in targets(path):
            a = ask(node, expr, instant)
            asked += 1
            if a.status != 200 or a.json["status"] != "success":
                # Joins that the made-up series make ambiguous are for the query's author to see: parsed and answered.
                if a.status == 422 and re.search("many-to-many|multiple matches|same labelset", a.json["error"]):
                    continue
                failed.append((os.path.relpath(path, CORPORA), expr, a))
                continue
            with_data += bool(a.json["data"]["result"])
            again = node.get("prom", "/api/v1/format_query", params={"query": expr}) if len(expr) < 4000 else None
            assert again is None or again.status == 200, (expr, again)
    assert not failed, (len(failed), asked, failed[:5])
    assert asked > 1000 and with_data > asked / 2, (asked, with_data)
