"""Log lines for bench/storage.d/logs: seeded, made line by line, and sent as OTLP.

    loglines.py generate KIND MEGABYTES >FILE     KIND: text, json, logfmt
    loglines.py send PORT FILE [ids] [TENANTS]    every line a record, one a microsecond; ids: random trace and span ids;
                                                  to as many tenants, all of it to each; prints the bytes of requests
"""
import http.client
import random
import struct
import sys
import time

WORDS = "cache queue order cart payment user session index shard leader replica snapshot token worker batch".split()
SERVICES = ["checkout", "catalogue", "payments", "search", "gateway", "auth", "mailer", "billing", "ledger", "stock", "media", "geo"]
TEXT = [
    "{ts} INFO  [{svc}] {w}-{n3} handled request id={hex16} from {ip}:{port} in {ms} ms",
    "{ts} DEBUG [{svc}] cache hit for key {w}:{n6} ({n3} entries, {n6} bytes)",
    "{ts} INFO  [{svc}] user {user} signed in from {ip}",
    "{ts} WARN  [{svc}] retry {n1} of 5 for {w} {uuid}: connection reset by peer",
    "{ts} ERROR [{svc}] failed to write {w} {n6}: no space left on device\n\tat {w}.write({w}.c:{n3})\n\tat {w}.flush({w}.c:{n3})",
    "{ts} INFO  [{svc}] GET /api/v1/{w}/{n6}/items?page={n1}&limit=50 200 {n4} {ms}ms",
    "{ts} INFO  [{svc}] compacted {n3} segments into {n1}, {n6} rows, {f} s",
    "{ts} DEBUG [{svc}] lease {hex16} renewed until {n9}",
]


def zipf(r, n):
    return min(n - 1, int(n ** r.random()) - 1)


def lines(kind, size, seed=7):
    r = random.Random(seed)
    now, made, users = 1_790_000_000.0, 0, [f"{r.choice(WORDS)}.{r.choice(WORDS)}{i}" for i in range(2000)]
    while made < size:
        now += r.expovariate(400)
        whole = int(now)
        ts = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + ".%03dZ" % int((now - whole) * 1000)
        v = {"ts": ts, "svc": SERVICES[zipf(r, len(SERVICES))], "w": WORDS[zipf(r, len(WORDS))], "n1": r.randrange(10), "n3": r.randrange(1000),
             "n4": r.randrange(10000), "n6": r.randrange(10**6), "n9": r.randrange(10**9), "ms": int(r.lognormvariate(3, 1)), "f": "%.3f" % r.expovariate(1),
             "ip": f"10.{zipf(r, 8)}.{zipf(r, 64)}.{r.randrange(256)}", "port": r.randrange(32768, 61000), "hex16": "%016x" % r.getrandbits(64),
             "uuid": "%08x-%04x-%04x-%04x-%012x" % tuple(r.getrandbits(b) for b in (32, 16, 16, 16, 48)), "user": users[zipf(r, len(users))]}
        if kind == "text":
            line = TEXT[zipf(r, len(TEXT))].format(**v)
        elif kind == "json":
            line = ('{{"time":"{ts}","level":"{lvl}","service":"{svc}","msg":"handled request","trace_id":"{t}","method":"{m}","path":"/api/v1/{w}/{n6}",'
                    '"status":{st},"duration_ms":{f},"client":"{ip}","user":"{user}","bytes":{n6}}}').format(
                        lvl=r.choice(["info"] * 9 + ["warn"]), t="%032x" % r.getrandbits(128), m=r.choice(["GET", "GET", "POST", "PUT"]), st=r.choice([200] * 9 + [404, 500]), **v)
        else:
            line = 'ts={ts} level={lvl} caller={w}.go:{line} component={svc} msg="done {w}" trace_id={t} user={user} took={f}s rows={n4} err={err}'.format(
                lvl=r.choice(["info"] * 9 + ["warn"]), line=r.choice([31, 77, 104, 212]), t="%032x" % r.getrandbits(128), err=r.choice(["null"] * 9 + ['"context deadline exceeded"']), **v)
        made += len(line) + 1
        yield line


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def record(line, at_ns, ids):
    r = b"\x09" + struct.pack("<Q", at_ns) + field(5, field(1, line))
    return r + (field(9, ids.randbytes(16)) + field(10, ids.randbytes(8)) if ids else b"")


def send(port, path, with_ids, tenant):
    ids = random.Random(1) if with_ids else None
    resource = field(1, field(1, field(1, b"service.name") + field(2, field(1, b"bench"))))
    door = http.client.HTTPConnection("127.0.0.1", port)
    at, batch, size, sent = time.time_ns() - 10**9, [], 0, 0

    def post():
        nonlocal sent
        body = field(1, resource + field(2, b"".join(batch)))
        sent += len(body)
        door.request("POST", "/v1/logs", body, {"content-type": "application/x-protobuf", "X-Scope-OrgID": tenant})
        answer = door.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"{answer.status}: {text[:300]}")

    with open(path, "rb") as f:
        text = f.read()
    for line in text.split(b"\n\n" if path.endswith(".multi") else b"\n"):
        if not line:
            continue
        at += 1000
        one = field(2, record(line, at, ids))
        batch.append(one)
        size += len(one)
        if len(batch) == 1000 or size > 2 << 20:
            post()
            batch, size = [], 0
    if batch:
        post()
    return sent


if sys.argv[1] == "generate":
    for text in lines(sys.argv[2], float(sys.argv[3]) * 1e6):
        sys.stdout.write(text + ("\n\n" if sys.argv[2] == "text" else "\n"))
else:
    tenants = int(sys.argv[-1]) if sys.argv[-1].isdigit() else 1
    print(sum(send(int(sys.argv[2]), sys.argv[3], "ids" in sys.argv, f"bench{number}") for number in range(tenants)))
