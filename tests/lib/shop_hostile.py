"""Data that wants to hurt who shows it: part of shop.py's --hostile. Everything here is valid OTLP.

HTML and script in every string, quotes of every query language, control and bidi characters, very long values,
parents that were never sent, zero durations, clocks that disagree, a chain 200 deep, traces of 2,000 spans.
A page that shows one of these as markup runs `alert` or sets `window.hurt`: tests look for that.
"""
MARKUP = [
    '<script>window.hurt=1</script>',
    '<img src=x onerror="window.hurt=1">',
    '"><svg onload=window.hurt=1>',
    "javascript:window.hurt=1",
    "{{constructor.constructor('window.hurt=1')()}}",
    '</script><script>window.hurt=1</script>',
]
ODD = [
    "quotes \" ' ` \\ ${x} $(x) %s %n {} | } { ; -- /* */",
    "line one\nline two\r\n\ttab\x0b\x0c",
    "control \x01\x02\x07\x08\x1b[31mred\x1b[0m \x7f",
    "right to left \u202egnp.exe\u202c and \u2066isolated\u2069 zero\u200bwidth \ufeff",
    "combining Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d a\u0300\u0301\u0302\u0303",
    "emoji \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f4\u200d\u2620\ufe0f flags \U0001f1e9\U0001f1ea, plane 16 \U0010fffd",
    "\u4e2d\u6587 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea \u0e44\u0e17\u0e22",
    " ", "", "null", "undefined", "NaN", "__proto__", "constructor", "../../etc/passwd", "a" * 300,
]
STRINGS = MARKUP + ODD
LONG = "very long " * 6000  # 60 kB
SERVICE = '<script>window.hurt=1</script>'


def plan(shop, minutes):
    """Plans it all into the last half of the window, so that it lies among the good."""
    from shop import Service
    evil = Service(shop, SERVICE, {
        "service.name": SERVICE, "service.version": MARKUP[1], "service.instance.id": MARKUP[2], "telemetry.sdk.language": MARKUP[0],
        "deployment.environment.name": "demo", "<b>key</b>": MARKUP[1]}, MARKUP[0])
    shop.services[SERVICE] = evil
    # Not among what the export interval measures: its own metrics, once.
    shop.memory[SERVICE] = 1e6
    evil.has("process.memory.usage", "By", MARKUP[0], "updown")
    evil.has("process.cpu.utilization", "1", MARKUP[1], "gauge")
    evil.has('hurt<img src=x onerror="window.hurt=1">', MARKUP[0], MARKUP[1], "counter")
    half = minutes * 30
    at = lambda share: shop.start + half + half * share
    for i in range(60):
        shop.at(at(i / 60), odd_trace, shop, evil, i)
        shop.at(at(i / 60), odd_session, shop, i)
    for i in range(2):
        shop.at(at(0.3 + 0.4 * i), wide_trace, shop, evil, i)
    shop.at(at(0.5), deep_trace, shop, evil)


def odd_trace(shop, evil, i):
    """A few spans, wrong in one way each, with the i-th string everywhere."""
    from shop import ERROR, INFO, SERVER, CLIENT, Span
    t, text = shop.now, STRINGS[i % len(STRINGS)]
    root = Span(evil, text, SERVER, t, None, **{"http.request.method": text, "http.route": text, "url.full": MARKUP[3], text or "empty": text,
                "list": STRINGS[:6], "map": {"__proto__": {"hurt": text}, "<i>": 1}, "number": float("1e308"), "big": 2**63 - 1})
    shop.summary.note(shop.summary.hostile, root.trace)
    child = Span(evil, MARKUP[i % 6], CLIENT, t - 3600 if i % 6 == 1 else t, root, **{"db.system.name": text, "db.query.text": text, "server.address": text})
    if i % 6 == 0:
        child.parent = shop.id(8)  # never sent
    if i % 6 == 2:
        child.attrs["long"] = LONG
    child.fail(t, MARKUP[0], text, f"{MARKUP[1]}\n    at {text} (javascript:window.hurt=1)", log=False)
    child.event(t + 86400, text, {text or "k": MARKUP[0]})
    child.end(child.start if i % 6 == 3 else child.start + 0.01)  # zero duration
    root.end(t if i % 6 in (0, 3) else t + 0.02)
    evil.log(t, ERROR if i % 3 else INFO, LONG if i % 20 == 5 else text, child, **{text or "k": MARKUP[0], "exception.message": text})
    evil.log(t, None, {"html": MARKUP[i % 6], "deep": {"a": {"b": {"c": [text, 1, True]}}}})
    name = 'hurt<img src=x onerror="window.hurt=1">'
    evil.measure(t, name, 1, {"label": text[:200], '<b>"': MARKUP[i % 6]}, root)


def odd_session(shop, i):
    """Events of a browser with the i-th string as page, route and error."""
    from shop import ERROR, INFO, ROUTE, SESSION, VITAL
    t, text, web = shop.now, STRINGS[i % len(STRINGS)], shop.web[i % len(shop.web)]
    who = {SESSION: MARKUP[i % 6] if i % 2 else shop.id(16), ROUTE: f"/{text}", "url.full": MARKUP[3]}
    web.log(t, INFO, None, event="browser.web_vital", **who, **{
        f"{VITAL}.name": "lcp" if i % 4 else text, f"{VITAL}.value": [-1.0, 0.0, 1e308, 2500.0][i % 4], f"{VITAL}.rating": text})
    web.log(t, ERROR, None, event="exception", **who, **{
        "exception.type": MARKUP[0], "exception.message": text, "exception.stacktrace": f"{text}\n    at {MARKUP[2]}"})


def wide_trace(shop, evil, i):
    """2,000 spans: all under the root, or in a tree of tens."""
    from shop import INTERNAL, SERVER, Span
    t = shop.now
    names = list(shop.services)
    spans = [Span(evil, f"wide {i}", SERVER, t)]
    shop.summary.note(shop.summary.large, spans[0].trace)
    for n in range(1, 2000):
        parent = spans[0] if i == 0 else spans[(n - 1) // 10]
        spans.append(Span(shop.services[names[n % len(names)]], f"step {n % 40}", INTERNAL, parent.start + 0.0005 * (n % 10 + 1), parent, n=n))
    for n, s in enumerate(spans):
        s.end(t + 2 if n == 0 else s.start + 0.0004 * (1 + n % 50))


def deep_trace(shop, evil):
    """A chain of 200 spans."""
    from shop import INTERNAL, Span
    t, chain = shop.now, []
    for n in range(200):
        chain.append(Span(evil, f"level {n}", INTERNAL, t + n * 0.0001, chain[-1] if chain else None))
    shop.summary.note(shop.summary.large, chain[0].trace)
    for s in reversed(chain):
        s.end(t + 0.5)
