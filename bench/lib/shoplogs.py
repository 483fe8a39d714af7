"""The demo shop's log records (tests/lib/shop.py: seeded, what the SDKs of its services and pages send), as OTLP.

    shoplogs.py PORT RECORDS      sends about so many, a request for every five seconds of the shop's time, the last one now

Prints: records, bytes as OTLP protobuf (requests with their resources and scopes), as JSON lines (each record's OTLP/JSON
with its service's name), and how many bytes of ids there are (16 of a trace, 8 of a span) raw.
"""
import http.client
import json
import struct
import sys
import time

sys.path.insert(0, "tests/lib")
from shop import Shop  # noqa: E402


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def number(n, v):
    return varint(n << 3) + varint(v & (1 << 64) - 1)


def value(v):
    (kind, x), = v.items()
    if kind == "stringValue":
        return field(1, x.encode())
    if kind == "boolValue":
        return number(2, int(x))
    if kind == "intValue":
        return number(3, int(x))
    if kind == "doubleValue":
        return b"\x21" + struct.pack("<d", x)
    if kind == "arrayValue":
        return field(5, b"".join(field(1, value(e)) for e in x["values"]))
    return field(6, attributes(1, x["values"]))


def attributes(n, kvs):
    return b"".join(field(n, field(1, kv["key"].encode()) + field(2, value(kv["value"]))) for kv in kvs)


def record(r):
    out = b"\x09" + struct.pack("<Q", int(r["timeUnixNano"]))
    if "severityNumber" in r:
        out += number(2, r["severityNumber"]) + field(3, r["severityText"].encode())
    if "body" in r:
        out += field(5, value(r["body"]))
    out += attributes(6, r["attributes"])
    if "traceId" in r:
        out += b"\x45" + struct.pack("<I", r["flags"]) + field(9, bytes.fromhex(r["traceId"])) + field(10, bytes.fromhex(r["spanId"]))
    out += b"\x59" + struct.pack("<Q", int(r["observedTimeUnixNano"]))
    return out + (field(12, r["eventName"].encode()) if "eventName" in r else b"")


def request(groups):
    out = []
    for g in groups:
        scopes = [field(1, field(1, s["scope"]["name"].encode()) + field(2, s["scope"]["version"].encode())) +
                  b"".join(field(2, record(r)) for r in s["logRecords"]) for s in g["scopeLogs"]]
        out.append(field(1, field(1, attributes(1, g["resource"]["attributes"])) + b"".join(field(2, s) for s in scopes)))
    return b"".join(out)


def post(door, body):
    door.request("POST", "/v1/logs", body, {"content-type": "application/x-protobuf"})
    answer = door.getresponse()
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"{answer.status}: {text[:300]}")


def main(port, wanted):
    begin, rate, step = 1_790_000_000.0, 100.0, 5.0
    shop = Shop(seed=7, start=begin, minutes=600, rate=rate)
    requests, t = [], begin
    while shop.summary.logs < wanted:
        t += step
        requests += [payload["resourceLogs"] for path, payload in shop.run(t) if path == "/v1/logs"]
    later = int((time.time() - t) * 1e9)
    door = http.client.HTTPConnection("127.0.0.1", port)
    records = protobuf = lines = ids = 0
    for groups in requests:
        for g in groups:
            service = next(a["value"]["stringValue"] for a in g["resource"]["attributes"] if a["key"] == "service.name")
            for r in (r for s in g["scopeLogs"] for r in s["logRecords"]):
                for key in ("timeUnixNano", "observedTimeUnixNano"):
                    r[key] = str(int(r[key]) + later)
                records += 1
                ids += 24 * ("traceId" in r)
                lines += len(json.dumps({"service": service, **r}, ensure_ascii=False, separators=(",", ":")).encode()) + 1
        body = request(groups)
        protobuf += len(body)
        post(door, body)
    print(records, protobuf, lines, ids)


main(int(sys.argv[1]), int(sys.argv[2]))
