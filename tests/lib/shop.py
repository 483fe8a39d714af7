#!/usr/bin/env python3
"""Synthetic telemetry of the demo shop, without the demo: what the SDKs of the four services and of the browser would
send, as OTLP/JSON to a node's port 4318. For tests of the UI and of the APIs. Standard library only.

    tests/lib/shop.py --endpoint http://127.0.0.1:4318 --minutes 30 --seed 1 [--rate 1] [--live] [--hostile] [--end T]

The same seed, length, rate and end give the same bytes. As a module: `send(endpoint, minutes=5)` posts and returns
what was sent (a Summary, also the last line of the program's output, as JSON), `Shop` gives the payloads themselves.

The shop's time is a heap of events: a visitor's step runs at once and plans each of its spans, log records and
measurements at the time when its SDK would have seen it, so that what is sent by any moment is whole up to it.
One incident: from 60 % to 85 % of the window the ledger query for one currency takes 1.5 to 2.5 s. Some 4 % of the
charges are declined at any time. --live goes on from the end of the window at the clock's pace until stopped.
"""
import argparse
import dataclasses
import gzip
import heapq
import http.client
import json
import math
import random
import sys
import time
import urllib.parse

INTERNAL, SERVER, CLIENT = 1, 2, 3
DEBUG, INFO, WARN, ERROR = (5, "DEBUG"), (9, "INFO"), (13, "WARN"), (17, "ERROR")
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]  # semconv's, in seconds
VALUE_BOUNDS = [10, 25, 50, 100, 250, 500, 1000]
EXPORT_S = 5  # as the demo's SDKs
LISTED = 20  # the most ids of one kind in a Summary
SLICE_S = 30  # the most time in one request while the past is sent
PRODUCTS = {"anchor": 18900, "bilge-pump": 7450, "buoy": 3990, "compass": 24900, "ensign": 1250, "fender": 2790, "halyard": 9900,
            "logbook": 1890, "winch-handle": 4990}  # euro cents
CURRENCIES = {"EUR": 55, "USD": 20, "GBP": 20, "JPY": 5}  # how many of a hundred pay in it
SLOW_CURRENCY = "GBP"  # the demo's fault slow-query

# The browser's records: names of its attributes, as demo/frontend sends them.
SESSION, ROUTE, PAGE, VITAL = "session.id", "url.template", "browser.document.url.full", "browser.web_vital"
VITAL_LIMITS = {"lcp": (2500, 4000), "inp": (200, 500), "cls": (0.1, 0.25), "fcp": (1800, 3000), "ttfb": (800, 1800)}
# Route -> its path and the median of each vital: the checkout is the slow page.
ROUTES = {
    "/": ("/", {"lcp": 1400, "inp": 90, "cls": 0.03, "fcp": 800, "ttfb": 120}),
    "/products/[id]": ("/products/{}", {"lcp": 2100, "inp": 140, "cls": 0.08, "fcp": 1200, "ttfb": 260}),
    "/cart": ("/cart", {"lcp": 1700, "inp": 180, "cls": 0.12, "fcp": 1000, "ttfb": 180}),
    "/checkout": ("/checkout", {"lcp": 2900, "inp": 320, "cls": 0.19, "fcp": 1900, "ttfb": 640}),
}
AGENTS = [
    ("Linux", False, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"),
    ("Windows", False, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"),
    ("Android", True, "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36"),
]
# Service -> language, instrumentation of HTTP, port, version.
SERVICES = {
    "storefront": ("nodejs", "@opentelemetry/instrumentation-http", 3001, "1.0.0"),
    "orders": ("go", "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", 8002, "1.0.0"),
    "catalogue": ("python", "opentelemetry.instrumentation.fastapi", 8001, "1.0.0"),
    "payments": ("rust", "payments", 8003, "1.0.0"),
}
# Service -> what it counts beside its requests.
BUSINESS = {
    "catalogue": [("shop.products.viewed", "{product}", "Products looked at", "counter")],
    "orders": [("shop.orders.placed", "{order}", "Orders by outcome", "counter"),
               ("shop.order.value", "{EUR}", "Value of placed orders, in euro.", "histogram", VALUE_BOUNDS)],
    "payments": [("shop.payments.charged", "{charge}", "Charges by outcome", "counter")],
    "storefront": [("shop.carts.checked_out", "{cart}", "Carts checked out", "counter")],
}
STACKS = {
    "payments": "0: payments::charge::authorise\n             at src/charge.rs:71:9\n   1: payments::charge::charge\n             at src/charge.rs:38:14",
    "orders": "main.(*shop).charge\n\t/src/orders/checkout.go:118\nmain.(*shop).checkout\n\t/src/orders/checkout.go:64",
    "catalogue": "Traceback (most recent call last):\n  File \"/src/app.py\", line 96, in error\n    raise StockError(name)\n"
                 "app.StockError: no stock of anchor",
    "storefront": "Error: orders answered 502\n    at POST (/src/app/api/checkout/route.ts:31:11)",
    "browser": "TypeError: Cannot read properties of undefined (reading 'total')\n"
               "    at Basket (http://localhost:3001/_next/static/chunks/app/cart/page.js:1:2301)\n"
               "    at onClick (http://localhost:3001/_next/static/chunks/app/cart/page.js:1:1187)",
}


def value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        return {"doubleValue": v}
    if isinstance(v, (list, tuple)):
        return {"arrayValue": {"values": [value(x) for x in v]}}
    if isinstance(v, dict):
        return {"kvlistValue": {"values": attributes(v)}}
    return {"stringValue": v}


def attributes(pairs):
    return [{"key": k, "value": value(v)} for k, v in pairs.items()]


def ns(t):
    return str(round(t * 1e9))


@dataclasses.dataclass
class Summary:
    """What was sent. The lists hold the first of each, in order of time, at most LISTED."""
    spans: int = 0
    logs: int = 0
    points: int = 0
    traces: int = 0
    checkouts: list = dataclasses.field(default_factory=list)  # whole flows without an error
    failed: list = dataclasses.field(default_factory=list)
    slow: list = dataclasses.field(default_factory=list)
    sessions: list = dataclasses.field(default_factory=list)
    hostile: list = dataclasses.field(default_factory=list)
    large: list = dataclasses.field(default_factory=list)  # two traces of 2,000 spans and a chain of 200
    start: float = 0
    end: float = 0

    def note(self, where, what):
        if len(where) < LISTED:
            where.append(what)


class Instrument:
    """A cumulative metric of one service: series by their attributes, and exemplars since the last export."""

    def __init__(self, name, unit, help, kind, bounds=None):
        self.name, self.unit, self.help, self.kind, self.bounds = name, unit, help, kind, bounds
        self.series = {}

    def add(self, t, v, attrs, span=None):
        key = tuple(sorted(attrs.items()))
        s = self.series.setdefault(key, {"n": 0, "sum": 0.0, "min": math.inf, "max": -math.inf, "exemplars": {},
                                         "counts": [0] * (len(self.bounds or []) + 1)})
        at = sum(v > b for b in self.bounds or [])
        s["n"] += 1
        s["sum"] = s["sum"] + v if self.kind != "gauge" else v
        s["min"], s["max"] = min(s["min"], v), max(s["max"], v)
        s["counts"][at] += 1
        if span:
            number = {"asDouble": v} if isinstance(v, float) else {"asInt": str(v)}
            s["exemplars"][at] = {"timeUnixNano": ns(t), "traceId": span.trace, "spanId": span.id, **number}

    def export(self, start, t):
        points = []
        for key, s in self.series.items():
            p = {"attributes": attributes(dict(key)), "startTimeUnixNano": ns(start), "timeUnixNano": ns(t)}
            if self.kind == "histogram":
                p.update(count=str(s["n"]), sum=s["sum"], min=s["min"], max=s["max"], explicitBounds=self.bounds,
                         bucketCounts=[str(c) for c in s["counts"]])
            else:
                p["asDouble"] = float(s["sum"])
            if s["exemplars"]:
                p["exemplars"], s["exemplars"] = list(s["exemplars"].values()), {}
            points.append(p)
        data = {"dataPoints": points}
        if self.kind != "gauge":
            data["aggregationTemporality"] = 2
        if self.kind in ("counter", "updown"):
            data["isMonotonic"] = self.kind == "counter"
        field = {"histogram": "histogram", "gauge": "gauge"}.get(self.kind, "sum")
        return {"name": self.name, "unit": self.unit, "description": self.help, field: data}, len(points)


class Span:
    """An open span; what it needs to be a parent, and its attributes until it ends."""

    def __init__(self, service, name, kind, start, parent=None, scope=None, **attrs):
        shop = service.shop
        self.service, self.name, self.kind, self.start = service, name, kind, start
        self.scope = scope or service.http_scope
        self.trace = parent.trace if parent else shop.id(16)
        self.parent = parent.id if parent else ""
        self.id = shop.id(8)
        self.root = parent.root if parent else self
        self.attrs, self.events, self.status = attrs, [], None
        if not parent:
            shop.summary.traces += 1

    def set(self, **attrs):
        self.attrs.update({k.replace("__", "."): v for k, v in attrs.items()})
        return self

    def event(self, t, name, attrs=None):
        self.events.append({"timeUnixNano": ns(t), "name": name, "attributes": attributes(attrs or {})})

    def fail(self, t, kind, message, stack, log=True):
        """An exception: the span's event, its status and the ERROR log of the same."""
        what = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
        self.event(t, "exception", what)
        self.status = {"code": 2, "message": message}
        self.attrs["error.type"] = kind
        if log:
            self.service.log(t, ERROR, message, self, **what)

    def end(self, t):
        out = {"traceId": self.trace, "spanId": self.id, "name": self.name, "kind": self.kind, "flags": 257,
               "startTimeUnixNano": ns(self.start), "endTimeUnixNano": ns(t), "attributes": attributes(self.attrs)}
        if self.parent:
            out["parentSpanId"] = self.parent
        if self.events:
            out["events"] = self.events
        if self.status:
            out["status"] = self.status
        self.service.shop.at(t, self.service.emit, "spans", self.scope, out)
        return t


class Service:
    """A process with its resource; gathers what its SDK would export."""

    def __init__(self, shop, name, resource, http_scope):
        self.shop, self.name, self.resource, self.http_scope = shop, name, resource, http_scope
        self.out = {"spans": {}, "logRecords": {}, "metrics": {}}
        self.instruments = {}

    def emit(self, signal, scope, record):
        self.out[signal].setdefault(scope, []).append(record)

    def log(self, t, severity, body, span=None, event="", **attrs):
        record = {"timeUnixNano": ns(t), "observedTimeUnixNano": ns(t), "attributes": attributes(attrs)}
        if severity:
            record["severityNumber"], record["severityText"] = severity
        if body is not None:
            record["body"] = value(body)
        if span:
            record["traceId"], record["spanId"], record["flags"] = span.trace, span.id, 1
        if event:
            record["eventName"] = event
        self.shop.at(t, self.emit, "logRecords", self.name if not event else "@opentelemetry/browser-instrumentation", record)

    def measure(self, t, instrument, v, attrs=None, span=None):
        self.shop.at(t, self.instruments[instrument].add, t, v, attrs or {}, span)

    def has(self, *args, **kw):
        self.instruments[args[0]] = Instrument(*args, **kw)

    def export(self, t):
        for i in self.instruments.values():
            metric, points = i.export(self.shop.start, t)
            if points:
                self.shop.summary.points += points
                self.emit("metrics", self.name, metric)

    def take(self, signal):
        """This signal's resourceSpans, resourceLogs or resourceMetrics since the last take, or None."""
        scopes, self.out[signal] = self.out[signal], {}
        if not scopes:
            return None
        group = {"spans": "scopeSpans", "logRecords": "scopeLogs", "metrics": "scopeMetrics"}[signal]
        return {"resource": {"attributes": attributes(self.resource)},
                group: [{"scope": {"name": s, "version": "1.0.0"}, signal: records} for s, records in scopes.items()]}


class Shop:
    def __init__(self, seed=1, start=0.0, minutes=30, rate=1.0, hostile=False):
        self.rng = random.Random(seed)
        self.start, self.now, self.rate = start, start, rate
        self.incident = (start + minutes * 60 * 0.6, start + minutes * 60 * 0.85)
        self.heap, self.order = [], 0
        self.summary = Summary(start=start)
        self.services = {name: self.backend(name) for name in SERVICES}
        self.web = [self.browser(i) for i in range(len(AGENTS))]
        self.memory = {"storefront": 180e6, "orders": 42e6, "catalogue": 110e6, "payments": 18e6}
        self.at(start, self.tick)
        self.at(start, self.visitor)
        self.at(start, self.caller)
        if hostile:
            import shop_hostile
            shop_hostile.plan(self, minutes)

    # -- time and chance ------------------------------------------------------------------------------
    def at(self, t, fn, *args):
        self.order += 1
        heapq.heappush(self.heap, (t, self.order, fn, args))

    def id(self, n):
        return self.rng.randbytes(n).hex()

    def took(self, median_ms, sigma=0.35):
        return self.rng.lognormvariate(math.log(median_ms), sigma) / 1000

    def currency(self):
        return self.rng.choices(list(CURRENCIES), list(CURRENCIES.values()))[0]

    def chance(self, p):
        return self.rng.random() < p

    # -- who sends ------------------------------------------------------------------------------------
    def backend(self, name):
        language, scope, port, version = SERVICES[name]
        s = Service(self, name, {
            "service.name": name, "service.version": version, "service.instance.id": f"{name}-{self.id(4)}",
            "deployment.environment.name": "demo", "telemetry.sdk.language": language, "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": "1.45.0", "host.name": "localhost", "process.pid": 1000 + port}, scope)
        s.port = port
        s.has("http.server.request.duration", "s", "Duration of HTTP server requests.", "histogram", BOUNDS)
        s.has("process.memory.usage", "By", "The amount of physical memory in use.", "updown")
        s.has("process.cpu.utilization", "1", "CPU time over wall time.", "gauge")
        for instrument in BUSINESS[name]:
            s.has(*instrument)
        return s

    def browser(self, i):
        platform, mobile, agent = AGENTS[i]
        return Service(self, "storefront-web", {
            "service.name": "storefront-web", "service.version": "1.0.0", "deployment.environment.name": "demo",
            "telemetry.sdk.language": "webjs", "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.version": "2.12.0",
            "browser.platform": platform, "browser.mobile": mobile, "browser.language": "en-GB",
            "browser.brands": ["Chromium 156", "Not)A;Brand 8"], "user_agent.original": agent}, "@opentelemetry/instrumentation-fetch")

    def tick(self):
        """An export interval of every SDK."""
        t = self.now
        for name, s in self.services.items():
            self.memory[name] *= 1 + self.rng.uniform(-0.004, 0.0042)
            i = s.instruments
            i["process.memory.usage"].series.clear()
            i["process.memory.usage"].add(t, int(self.memory[name]), {})
            i["process.cpu.utilization"].add(t, abs(self.rng.gauss(0.06, 0.02)), {})
            s.export(t)
        self.at(t + EXPORT_S, self.tick)

    # -- requests ---------------------------------------------------------------------------------------
    def served(self, span, end, status, route):
        """The end of a server span: its status and the histogram of requests."""
        method = span.attrs["http.request.method"]
        span.attrs["http.response.status_code"] = status
        span.end(end)
        attrs = {"http.request.method": method, "http.route": route, "http.response.status_code": status,
                 "url.scheme": "http", "network.protocol.version": "1.1"}
        if status >= 500:
            attrs["error.type"] = span.attrs.setdefault("error.type", str(status))
        span.service.measure(end, "http.server.request.duration", end - span.start, attrs, span)
        return end

    def server(self, name, method, route, path, t, parent=None):
        s = self.services[name]
        return Span(s, f"{method} {route}", SERVER, t, parent, **{
            "http.request.method": method, "http.route": route, "url.path": path, "url.scheme": "http",
            "server.address": "127.0.0.1", "server.port": s.port, "network.protocol.version": "1.1", "client.address": "127.0.0.1"})

    def client(self, of, method, to, path, t, parent, route=""):
        port = self.services[to].port
        return Span(of, f"{method} {route}".strip(), CLIENT, t, parent, **{
            "http.request.method": method, "url.full": f"http://127.0.0.1:{port}{path}",
            "server.address": "127.0.0.1", "server.port": port})

    def database(self, name, namespace, text, t, parent, took, rows, **attrs):
        """A CLIENT span of a query; the end of it."""
        verb, table = text.split()[0], text.split(" FROM " if " FROM " in text else " INTO ")[1].split()[0]
        span = Span(self.services[name], f"{verb} {table}", CLIENT, t, parent, name, **{
            "db.system.name": "postgresql", "db.namespace": namespace, "db.operation.name": verb, "db.collection.name": table,
            "db.query.text": text, "server.address": f"{namespace}-db", "server.port": 5432, "db.response.returned_rows": rows, **attrs})
        return span.end(t + took)

    def product(self, t, parent, item):
        """catalogue: GET /products/{id}; returns (end, price)."""
        span = self.server("catalogue", "GET", "/products/{product_id}", f"/products/{item}", t, parent)
        s = span.service
        at = self.database("catalogue", "catalogue", "SELECT * FROM products WHERE id = $1", t + 0.0006, span, self.took(6), 1)
        s.log(at, INFO, "product viewed", span, **{"shop.product.id": item, "price": PRODUCTS[item], "currency": "EUR"})
        if self.chance(0.15):
            s.log(at, DEBUG, f"price cache miss for {item}, ttl {self.rng.randint(10, 60)} s", span)
        s.measure(at, "shop.products.viewed", 1, {"shop.product.id": item}, span)
        return self.served(span, at + 0.0008, 200, "/products/{product_id}"), PRODUCTS[item]

    def charge(self, t, parent, amount, currency, order):
        """payments: POST /charge; returns (end, accepted)."""
        span = self.server("payments", "POST", "/charge", "/charge", t, parent)
        s, who = span.service, {"order_id": order, "currency": currency, "amount": amount}
        slow = currency == SLOW_CURRENCY and self.incident[0] <= t < self.incident[1]
        took = self.rng.uniform(1.5, 2.5) if slow else self.took(9)
        text = "SELECT sum(amount) FROM entries WHERE currency = $1"
        at = self.database("payments", "ledger", text, t + 0.0004, span, took, 1, **{
            "db.query.parameter.currency": currency, **({"shop.ledger.slow": True} if slow else {})})
        if slow:
            s.log(at, WARN, f"slow ledger query: {took * 1000:.0f} ms for {currency}", span, **who, **{
                "db.query.text": text, "duration_ms": round(took * 1000)})
            self.summary.note(self.summary.slow, span.trace)
        if amount > 20000:  # the bank is asked too: a service outside
            bank = Span(s, "POST", CLIENT, at, span, **{"http.request.method": "POST", "server.port": 443, "url.full":
                        "https://cards.example.com/v1/authorise", "server.address": "cards.example.com", "http.response.status_code": 200})
            at = bank.end(at + self.took(28))
        accepted = not self.chance(0.04)
        s.measure(at, "shop.payments.charged", 1, {"outcome": "accepted" if accepted else "declined", "currency": currency}, span)
        if accepted:
            at = self.database("payments", "ledger", "INSERT INTO entries (id, order_id, currency, amount) VALUES ($1, $2, $3, $4)",
                               at, span, self.took(4), 1)
            s.log(at, INFO, "charged", span, **who)
        else:
            span.fail(at, "payments::Declined", f"card declined for order {order}: insufficient funds", STACKS["payments"])
        return self.served(span, at + 0.0005, 200 if accepted else 502, "/charge"), accepted

    def checkout(self, t, parent, items, currency):
        """orders: POST /checkout with its calls; returns (end, accepted)."""
        span = self.server("orders", "POST", "/checkout", "/checkout", t, parent)
        s, order, at, total = span.service, f"ord_{self.id(5)}", t + 0.001, 0
        cart = Span(s, "price cart", INTERNAL, at, span, "orders")
        for item in items:
            out = self.client(s, "GET", "catalogue", f"/products/{item}", at, cart, "/products/{id}")
            end, price = self.product(at + 0.0007, out, item)
            total += price
            out.set(http__response__status_code=200)
            at = out.end(end + 0.0006)
        cart.end(at)
        span.set(shop__order__id=order, shop__order__items=len(items), shop__order__total=total, shop__order__currency=currency)
        s.log(at, INFO, f"order {order} of {len(items)} items priced at {total / 100:.2f} {currency}", span, order_id=order)
        out = self.client(s, "POST", "payments", "/charge", at, span, "/charge")
        end, accepted = self.charge(at + 0.0008, out, total, currency, order)
        out.set(http__response__status_code=200 if accepted else 502)
        if not accepted:
            out.status = {"code": 2}
            out.attrs["error.type"] = "502"
        at = out.end(end + 0.0007)
        if accepted:
            at = self.database("orders", "orders", "INSERT INTO orders (id, currency, total, payment_id) VALUES ($1, $2, $3, $4)",
                               at, span, self.took(3), 1)
            s.measure(at, "shop.orders.placed", 1, {"currency": currency}, span)
            s.measure(at, "shop.order.value", total / 100, {"currency": currency}, span)
            s.log(at, INFO, "order placed", span, order_id=order, currency=currency, total=total, items=len(items))
        else:
            span.fail(at, "*errors.errorString", f"checkout {order}: payments answered 502: card declined", STACKS["orders"])
        return self.served(span, at + 0.0006, 200 if accepted else 502, "/checkout"), accepted

    def storefront_checkout(self, t, parent, items, currency):
        """storefront: POST /api/checkout; returns (end, accepted)."""
        span = self.server("storefront", "POST", "/api/checkout", "/api/checkout", t, parent)
        s = span.service
        route = Span(s, "executing api route (app) /api/checkout/route", INTERNAL, t + 0.002, span, "next.js", **{
            "next.route": "/api/checkout", "next.span_type": "AppRouteRouteHandlers.runHandler"})
        out = self.client(s, "POST", "orders", "/checkout", t + 0.003, route)
        end, accepted = self.checkout(t + 0.0045, out, items, currency)
        status = 200 if accepted else 502
        out.set(http__response__status_code=status)
        if not accepted:
            out.status = {"code": 2}
            out.attrs["error.type"] = "502"
        at = out.end(end + 0.001)
        if accepted:
            s.log(at, INFO, "cart checked out", span, **{"shop.order.lines": len(items)})
            s.measure(at, "shop.carts.checked_out", 1, {"currency": currency, "outcome": "placed"}, span)
        else:
            route.fail(at, "Error", "orders answered 502", STACKS["storefront"])
            span.status = {"code": 2}
        route.end(at + 0.001)
        return self.served(span, at + 0.0025, status, "/api/checkout"), accepted

    # -- people -----------------------------------------------------------------------------------------
    def visitor(self):
        """A browser's session: some pages, a cart, perhaps a checkout."""
        t, rng = self.now, self.rng
        web, session = rng.choice(self.web), self.id(16)
        self.summary.note(self.summary.sessions, session)
        web.log(t, INFO, None, event="session.start", **{SESSION: session, ROUTE: "/", PAGE: "http://localhost:3001/", "url.path": "/"})
        pages = ["/"] + rng.choices(["/products/[id]", "/"], [4, 1], k=rng.randint(1, 3)) + rng.choice([[], ["/cart"], ["/cart", "/checkout"]])
        for route in pages:
            item = rng.choice(list(PRODUCTS))
            self.at(t, self.page, web, session, route, ROUTES[route][0].format(item), item)
            t += rng.uniform(4, 25)
        if pages[-1] == "/checkout":
            items = rng.sample(list(PRODUCTS), rng.randint(1, 3))
            self.at(t, self.buy, web, session, items, self.currency())
        self.at(self.now + rng.expovariate(self.rate / 5), self.visitor)

    def page(self, web, session, route, path, item):
        """A page load: the server's span, the document's spans under it, the events of the page."""
        t, rng = self.now, self.rng
        url = f"http://localhost:3001{path}"
        who = {SESSION: session, ROUTE: route, PAGE: url}
        said = {**who, "url.path": path}
        span = self.server("storefront", "GET", route, path, t + 0.004, None)
        render = Span(span.service, f"render route (app) {route}", INTERNAL, t + 0.006, span, "next.js", **{
            "next.route": route, "next.span_type": "AppRender.getBodyResult"})
        at = t + 0.007
        if route == "/products/[id]":
            out = self.client(span.service, "GET", "catalogue", f"/products/{item}", at, render)
            end, _ = self.product(at + 0.0006, out, item)
            at = out.set(http__response__status_code=200).end(end + 0.0006)
        at = render.end(at + self.took(14))
        span.service.log(at, INFO, f"GET {path} 200 in {(at - t) * 1000:.0f} ms", span, **{"url.path": path})
        at = self.served(span, at + 0.001, 200, route)
        vitals = {name: rng.lognormvariate(math.log(median), 0.45) for name, median in ROUTES[route][1].items()}
        vitals["ttfb"] = max(vitals["ttfb"], (at - t) * 1000 + 5)
        vitals["fcp"] = vitals["ttfb"] + vitals["fcp"] * 0.8
        vitals["lcp"] = max(vitals["lcp"], vitals["fcp"])
        done = t + vitals["lcp"] / 1000 + 0.05
        scope = "@opentelemetry/instrumentation-document-load"
        load = Span(web, "documentLoad", INTERNAL, t, render, scope, **who, **{"url.full": url})
        for name, ms in (("fetchStart", 0), ("domInteractive", vitals["ttfb"] + 60), ("domContentLoadedEventEnd", vitals["ttfb"] + 90),
                         ("firstPaint", vitals["fcp"]), ("firstContentfulPaint", vitals["fcp"]), ("domComplete", (done - t) * 1000 - 8),
                         ("loadEventEnd", (done - t) * 1000)):
            load.event(t + ms / 1000, name)
        Span(web, "documentFetch", INTERNAL, t, load, scope, **who, **{"url.full": url, "http.response_content_length": 5200}).end(t + vitals["ttfb"] / 1000)
        for part in ("webpack", "main-app", f"app{path if path != '/' else ''}/page"):
            begin = t + vitals["ttfb"] / 1000 + rng.uniform(0.001, 0.02)
            Span(web, "resourceFetch", INTERNAL, begin, load, scope, **who, **{
                "url.full": f"http://localhost:3001/_next/static/chunks/{part}.js"}).end(begin + self.took(25))
        load.end(done)
        web.log(t + 0.001, INFO, None, event="browser.navigation", **said, **{
            "url.full": url, "browser.navigation.same_document": False, "browser.navigation.hash_change": False})
        web.log(done + 0.02, INFO, None, event="browser.navigation_timing", **said, **{
            "url.full": url, "browser.navigation_timing.type": "navigate", "browser.resource_timing.duration": (done - t) * 1000,
            "browser.resource_timing.response_start": vitals["ttfb"], "browser.navigation_timing.dom_interactive": vitals["ttfb"] + 60,
            "browser.navigation_timing.load_event_end": (done - t) * 1000, "browser.resource_timing.transfer_size": 5500})
        for name, v in vitals.items():
            v = round(v, 4)
            good, poor = VITAL_LIMITS[name]
            rating = "good" if v <= good else "needs-improvement" if v <= poor else "poor"
            when = done + (rng.uniform(1, 4) if name in ("cls", "inp") else 0)  # those two are known when the page hides
            web.log(when, INFO, None, event="browser.web_vital", **said, **{
                f"{VITAL}.name": name, f"{VITAL}.value": v, f"{VITAL}.delta": v, f"{VITAL}.id": f"v5-{self.id(6)}",
                f"{VITAL}.rating": rating, f"{VITAL}.navigation_type": "navigate"})
        if route == "/cart" and self.chance(0.2):
            web.log(done + 1.5, ERROR, None, event="exception", **said, **{
                "exception.type": "TypeError", "exception.message": "Cannot read properties of undefined (reading 'total')",
                "exception.stacktrace": STACKS["browser"]})

    def buy(self, web, session, items, currency):
        """The click on "Buy": one trace through the browser and the four services."""
        t = self.now
        who = {SESSION: session, ROUTE: "/checkout", PAGE: "http://localhost:3001/checkout"}
        said = {**who, "url.path": "/checkout"}
        web.log(t, INFO, None, event="browser.user_action.click", **said, **{
            "browser.tag_name": "BUTTON", "browser.css_selector": "html > body > main > p.actions > button",
            "browser.element.attributes": {"name": "buy"}, "browser.mouse_event.button": "left", "browser.page.x": 1069, "browser.page.y": 326})
        out = Span(web, "POST /api/checkout", CLIENT, t + 0.002, None, **who, **{
            "http.request.method": "POST", "url.full": "http://localhost:3001/api/checkout",
            "server.address": "localhost", "server.port": 3001})
        end, accepted = self.storefront_checkout(t + 0.006, out, items, currency)
        out.set(http__response__status_code=200 if accepted else 502)
        if not accepted:
            out.status = {"code": 2}
            out.attrs["error.type"] = "502"
            web.log(end + 0.005, ERROR, None, event="exception", **said, **{
                "exception.type": "Error", "exception.message": "checkout failed with 502", "exception.stacktrace":
                "Error: checkout failed with 502\n    at buy (http://localhost:3001/_next/static/chunks/app/checkout/page.js:1:811)"})
        out.end(end + 0.004)
        self.summary.note(self.summary.checkouts if accepted else self.summary.failed, out.trace)

    def caller(self):
        """The HTTP load generator beside the browsers: checkouts, data and errors straight at the services."""
        t, rng = self.now, self.rng
        what = rng.choices(["checkout", "data", "error"], [5, 4, 0.4])[0]
        name = rng.choice(list(SERVICES))
        if what == "checkout":
            self.storefront_checkout(t, None, rng.sample(list(PRODUCTS), rng.randint(1, 3)), self.currency())
        elif what == "data":
            span = self.server(name, "GET", "/data", "/data", t)
            at = self.database(name, name, "SELECT name, stock FROM items WHERE stock > $1", t + 0.001, span, self.took(11, 0.6), rng.randint(1, 20))
            span.service.log(at, INFO, f"read items in {(at - t) * 1000:.1f} ms", span, rows=rng.randint(1, 20))
            self.served(span, at + 0.0007, 200, "/data")
        else:
            span = self.server(name, "GET", "/error", "/error", t)
            item = rng.choice(list(PRODUCTS))
            span.fail(t + 0.003, "StockError", f"no stock of {item}", STACKS[name])
            self.served(span, t + 0.004, 500, "/error")
        self.at(t + rng.expovariate(self.rate), self.caller)

    # -- out ----------------------------------------------------------------------------------------------
    def run(self, until):
        """All that happens up to `until`: [(path, payload)] of what was exported."""
        while self.heap and self.heap[0][0] <= until:
            self.now, _, fn, args = heapq.heappop(self.heap)
            fn(*args)
        self.now = self.summary.end = until
        out = []
        for signal, path, key in (("spans", "/v1/traces", "resourceSpans"), ("logRecords", "/v1/logs", "resourceLogs"),
                                  ("metrics", "/v1/metrics", "resourceMetrics")):
            groups = [g for s in [*self.services.values(), *self.web] if (g := s.take(signal))]
            for g in groups:
                n = sum(len(scope[signal]) for k in g if k.startswith("scope") for scope in g[k])
                self.summary.spans += n * (signal == "spans")
                self.summary.logs += n * (signal == "logRecords")
            if groups:
                out.append((path, {key: groups}))
        return out


class Door:
    """A kept connection to an OTLP/HTTP port. A refusal is tried again as an SDK would, then raised."""

    def __init__(self, endpoint, tenant=None):
        at = urllib.parse.urlsplit(endpoint)
        self.http = http.client.HTTPConnection(at.hostname, at.port or 4318, timeout=30)
        self.headers = {"content-type": "application/json", "content-encoding": "gzip"}
        if tenant:
            self.headers["X-Scope-OrgID"] = tenant

    def post(self, path, payload):
        body = gzip.compress(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(), 1, mtime=0)
        for attempt in range(5):
            try:
                self.http.request("POST", path, body, self.headers)
                answer = self.http.getresponse()
                text = answer.read().decode("utf-8", "replace")
                if answer.status == 200:
                    if "partialSuccess" in text:
                        raise RuntimeError(f"{path}: not all was taken: {text[:500]}")
                    return
                if answer.status not in (429, 502, 503, 504):
                    raise RuntimeError(f"{path}: {answer.status} {text[:500]}")
                why = f"{answer.status} {text[:500]}"
            except (OSError, http.client.HTTPException) as e:
                self.http.close()
                why = str(e)
            time.sleep(0.2 * 2**attempt)
        raise RuntimeError(f"{path}: {why}")


def send(endpoint, minutes=30, seed=1, rate=1.0, hostile=False, end=None, live=False, tenant=None):
    """Posts a window that ends at `end` (now, without it), then goes on at the clock's pace if `live`."""
    end = end or time.time()
    start = end - minutes * 60
    shop, door = Shop(seed, start, minutes, rate, hostile), Door(endpoint, tenant)
    t = start
    while t < end or live:
        if t < end:
            t = min(t + SLICE_S, end)
        else:
            time.sleep(1)
            t = time.time()
        for path, payload in shop.run(t):
            door.post(path, payload)
    return shop.summary


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--endpoint", default="http://127.0.0.1:4318")
    p.add_argument("--minutes", type=float, default=30)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rate", type=float, default=1, help="requests a second beside the visitors' own, at most 100")
    p.add_argument("--end", type=float, help="unix seconds; now without it")
    p.add_argument("--live", action="store_true", help="go on at the clock's pace until stopped")
    p.add_argument("--hostile", action="store_true", help="also data that wants to hurt who shows it (shop_hostile)")
    p.add_argument("--tenant")
    a = p.parse_args()
    try:
        summary = send(a.endpoint, a.minutes, a.seed, min(max(a.rate, 0.01), 100), a.hostile, a.end, a.live, a.tenant)
    except KeyboardInterrupt:
        return 130
    except RuntimeError as e:
        print(f"shop: {e}", file=sys.stderr)
        return 1
    print(json.dumps(dataclasses.asdict(summary)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
