"""Histories of records with ids of their own: who wrote which and what became of it, who read which; and the check that a set that
only grows must pass (set-full): nothing acknowledged is lost or missing from an answer that does not say so, nothing is there twice,
and nothing that nobody wrote. Ids are spread over logs, spans and metrics. Standard library only."""
import dataclasses
import http.client
import json
import random
import threading
import time

PORTS = {"otlp": 4318, "prom": 9090, "quickwit": 7280}
TIMEOUT_S, WRITE_TRIES = 5, 4
SIGNALS = ("logs", "spans", "metrics")


def attribute(n):
    return [{"key": "n", "value": {"intValue": str(n)}}]


def body_of(n, at_ns):
    """(path, payload): the same for the same id, whichever node it is sent to."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "net"}}]}
    signal, at = SIGNALS[n % 3], str(at_ns)
    if signal == "logs":
        record = {"timeUnixNano": at, "severityNumber": 9, "body": {"stringValue": f"record {n}"}, "attributes": attribute(n)}
        return "/v1/logs", {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
    if signal == "spans":
        span = {"traceId": f"{n + 1:032x}", "spanId": f"{n + 1:016x}", "name": "net", "kind": 2, "startTimeUnixNano": at,
                "endTimeUnixNano": str(at_ns + 10**6), "attributes": attribute(n)}
        return "/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    point = {"timeUnixNano": at, "asDouble": n, "attributes": [{"key": "n", "value": {"stringValue": str(n)}}]}
    return "/v1/metrics", {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [{"name": "net_id", "gauge": {"dataPoints": [point]}}]}]}]}


def call(host, door, method, path, body=None, timeout=TIMEOUT_S):
    c = http.client.HTTPConnection(host, PORTS[door], timeout=timeout)
    try:
        c.request(method, path, json.dumps(body) if body is not None else None, {"content-type": "application/json"})
        answer = c.getresponse()
        return answer, answer.read()
    finally:
        c.close()


@dataclasses.dataclass
class Write:
    n: int
    began: float
    ended: float = None
    acked: bool = False


@dataclasses.dataclass
class Read:
    host: str
    signal: str
    began: float
    ended: float = None
    counts: dict = None  # None: it failed
    partial: str = None


class History:
    def __init__(self):
        self.lock, self.writes, self.reads, self.at_ns = threading.Lock(), {}, [], time.time_ns()
        self.wrong = []

    # -- one request ------------------------------------------------------------------------------------------------
    def write(self, first, hosts, rng):
        """A new id, sent until it is acknowledged: to the first, then at most WRITE_TRIES - 1 times to any node."""
        with self.lock:
            w = Write(len(self.writes), time.monotonic())
            self.writes[w.n] = w
        path, payload = body_of(w.n, self.at_ns)
        for i in range(WRITE_TRIES):
            try:
                answer, text = call(rng.choice(hosts) if i else first, "otlp", "POST", path, payload)
            except (OSError, http.client.HTTPException):
                continue
            if answer.status == 200:
                w.ended, w.acked = time.monotonic(), True
                return
            if answer.status not in (429, 503, 504) or (answer.status == 503 and not answer.getheader("retry-after")):
                self.wrong.append(("write", w.n, answer.status, text[:200]))
        w.ended = time.monotonic()

    def read(self, host, signal, timeout=TIMEOUT_S):
        r = Read(host, signal, time.monotonic())
        try:
            r.counts, r.partial = self.counts(host, signal, timeout)
        except (OSError, http.client.HTTPException):
            pass
        r.ended = time.monotonic()
        with self.lock:
            self.reads.append(r)
        return r

    def counts(self, host, signal, timeout):
        if signal == "metrics":
            answer, text = call(host, "prom", "GET", f"/api/v1/query?query=net_id&time={self.at_ns / 1e9 + 1:.3f}", timeout=timeout)
            if answer.status != 200:
                return self.failed(answer, text)
            d = json.loads(text)
            return {int(s["metric"]["n"]): 1 if float(s["value"][1]) == int(s["metric"]["n"]) else 2 for s in d["data"]["result"]}, d.get("warnings")
        index, field = {"logs": ("otel-logs-v0_9", "attributes.n"), "spans": ("otel-traces-v0_9", "span_attributes.n")}[signal]
        ask = {"size": 0, "aggs": {"n": {"terms": {"field": field, "size": 60000}}}}
        answer, text = call(host, "quickwit", "POST", f"/api/v1/_elastic/{index}/_search", ask, timeout)
        if answer.status != 200:
            return self.failed(answer, text)
        d = json.loads(text)
        return {int(b["key"]): b["doc_count"] for b in d["aggregations"]["n"]["buckets"]}, d["_shards"].get("failures")

    def failed(self, answer, text):
        if answer.status not in (429, 503, 504):
            self.wrong.append(("read", answer.status, text[:200]))
        return None, None

    # -- many --------------------------------------------------------------------------------------------------------
    def run(self, hosts, seed, done):
        """For each node threads that write to it and read from it until `done` is set: where one stands still, others go on."""
        def write(host, rng):
            while not done.is_set():
                self.write(host, hosts, rng)
                time.sleep(0.02)

        def read(host, rng):
            while not done.is_set():
                self.read(host, rng.choice(SIGNALS))
                time.sleep(0.05)
        threads = [threading.Thread(target=kind, args=(host, random.Random(seed * 100 + i)), daemon=True)
                   for kind in (write, read) for i, host in enumerate(hosts)]
        for t in threads:
            t.start()
        return threads

    def wait_whole(self, hosts, seconds):
        """After all is healed: until every node gives every acknowledged id. What it still lacked when time was up, in words."""
        end, lacking = time.monotonic() + seconds, "?"
        acked = {s: {w.n for w in self.writes.values() if w.acked and SIGNALS[w.n % 3] == s} for s in SIGNALS}
        while lacking and time.monotonic() < end:
            lacking = ""
            for host in hosts:
                for signal in SIGNALS:
                    r = self.read(host, signal, timeout=15)
                    if r.counts is None or r.partial:
                        lacking = f"{host} does not answer for all {signal}: {r.partial}"
                    elif acked[signal] - r.counts.keys():
                        lacking = f"{host} lacks {len(acked[signal] - r.counts.keys())} of {len(acked[signal])} {signal}"
            if lacking:
                time.sleep(0.2)
        return lacking

    def check(self):
        """(figures, what is wrong): stale, twice, never written."""
        wrong = [str(w) for w in self.wrong[:5]]
        by_signal = {s: [w for w in self.writes.values() if SIGNALS[w.n % 3] == s] for s in SIGNALS}
        seen = set()
        for r in self.reads:
            if r.counts is None:
                continue
            seen |= r.counts.keys()
            twice = [n for n, k in r.counts.items() if k != 1]
            strange = [n for n in r.counts if n not in self.writes or self.writes[n].began > r.ended]
            stale = [] if r.partial else [w.n for w in by_signal[r.signal] if w.acked and w.ended < r.began and w.n not in r.counts]
            for name, ids in (("twice", twice), ("nobody wrote", strange), ("stale", stale)):
                if ids:
                    wrong.append(f"{name}: {len(ids)} {r.signal} read from {r.host} at {r.began:.3f}, the first {ids[:3]}")
        acked = [w for w in self.writes.values() if w.acked]
        figures = {"written": len(self.writes), "acked": len(acked), "unknown and never read": len(self.writes.keys() - seen - {w.n for w in acked}),
                   "reads": len(self.reads), "failed": sum(r.counts is None for r in self.reads),
                   "partial": sum(bool(r.partial) for r in self.reads),
                   "slowest ack s": round(max((w.ended - w.began for w in acked), default=0), 2),
                   "slowest read s": round(max((r.ended - r.began for r in self.reads if r.counts is not None), default=0), 2)}
        return figures, wrong
