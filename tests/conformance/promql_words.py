"""Random PromQL over a promql_world.World, as trees that can be made smaller. Everything that the language has is in here; a few
queries in a hundred are wrong on purpose. Standard library only."""
import re

SCALAR, VECTOR, MATRIX, STRING, MAYBE = "scalar", "vector", "matrix", "string", "maybe"
IDENTIFIER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")

MATH = ("abs acos acosh asin asinh atan atanh ceil cos cosh deg exp floor ln log10 log2 rad sgn sin sinh sqrt tan tanh").split()
DATES = "day_of_month day_of_week day_of_year days_in_month hour minute month year".split()
OVER_TIME = ("avg_over_time count_over_time max_over_time min_over_time sum_over_time last_over_time first_over_time present_over_time "
             "stddev_over_time stdvar_over_time mad_over_time ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time "
             "ts_of_min_over_time absent_over_time changes resets deriv").split()
RATES = "rate increase delta irate idelta".split()
HIST = "histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar".split()
AGGREGATES = "sum avg count min max group stddev stdvar".split()
ARITHMETIC = ("+", "-", "*", "/", "%", "^", " atan2 ")
COMPARISON = ("==", "!=", "<", ">", "<=", ">=")
SETS = (" and ", " or ", " unless ")
TRIM = ("</", ">/")


class N:
    """A node: parts are texts and nodes. Its type says what it may be put in place of."""
    __slots__ = ("type", "parts")

    def __init__(self, kind, *parts):
        self.type, self.parts = kind, list(parts)

    def text(self):
        return "".join(p if isinstance(p, str) else p.text() for p in self.parts)

    def walk(self, path=()):
        """(path, node) of it and all below."""
        yield path, self
        for i, p in enumerate(self.parts):
            if isinstance(p, N):
                yield from p.walk(path + (i,))

    def put(self, path, node):
        """A copy in which `node` stands at `path`."""
        if not path:
            return node
        out = N(self.type, *self.parts)
        out.parts[path[0]] = self.parts[path[0]].put(path[1:], node)
        return out


def smaller(tree):
    """Trees with one node replaced by something shorter, the shortest first."""
    out = {}
    for path, node in tree.walk():
        for down, other in node.walk():
            if down and other.type == node.type:
                text = tree.put(path, other)
                out.setdefault(text.text(), text)
        plain = {MAYBE: "", SCALAR: "1", STRING: '"a"'}.get(node.type)
        if plain is not None and node.text() != plain:
            other = tree.put(path, N(node.type, plain))
            out.setdefault(other.text(), other)
    size = len(tree.text())
    return [t for _, t in sorted((x for x in out.items() if len(x[0]) < size), key=lambda x: len(x[0]))]


def quoted(text, quote='"'):
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n") + quote


class Words:
    def __init__(self, rng, world):
        self.rng, self.world = rng, world
        values = {}
        for key in world.series:
            for name, value in key:
                values.setdefault(name, set()).add(value)
        self.values = {n: sorted(v) for n, v in sorted(values.items())}
        self.labels = sorted(self.values)
        self.metrics = self.values["__name__"]

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, *choices):
        return self.rng.choice(choices)

    def maybe(self, p, *parts):
        return N(MAYBE, *parts) if self.chance(p) else N(MAYBE)

    # -- leaves -------------------------------------------------------------------------------------------
    def number(self):
        return N(SCALAR, self.pick("0", "1", "2", "3", "5", "0.5", "0.25", "10", "100", "-1", "-0.5", "0.9", "0.99", "1e3", "1.5e-3", "0x1F", "1_000",
                                   "Inf", "-Inf", "NaN", "+inf", ".5", "2.", "1m", "1h30m", "5s", "017", "0b11", "1e400", "1e308", "0.1", "-0"))

    def string(self, *given):
        text = self.rng.choice(given) if given else self.pick("", "a", "x y", "ä", "$1", "api", "le", "job", 'q"', "back\\slash", "{a=b}")
        return N(STRING, quoted(text, self.pick('"', '"', "'")))

    def seconds(self, low=1):
        return self.pick("1s", "7s", "15s", "30s", "1m", "61s", "90s", "2m", "3m", "5m", "299s", "5m1ms", "10m", "20m", "1h", "500ms", "90", "0.5", "120.5", "1e2",
                         "1m30s", "0x20")

    def duration(self, depth=2):
        """Inside [ ], as text or as an expression."""
        if not self.chance(0.12) or not depth:
            return self.seconds()
        a, b = self.duration(depth - 1), self.duration(depth - 1)
        return self.pick(f"{a}+{b}", f"{a} - {b}", f"{a}*2", f"{a} / 3", f"2^{self.pick('3', '5')}", f"-{a}+{b}", f"({a})", f"step()", f"range()", f"step()*2",
                         f"max_of({a}, {b})", f"min_of({a},{b})", f"{a} % 7s", f"max_of(step(), {a})", f"({a}+{b})*2", f"range()/10", f"+{a}", "step()+1s")

    def offset(self):
        if self.chance(0.15):
            return " offset " + self.pick("(1m+30s)", "step()", "-step()", "(step()*2)", "-(1m)", "range()", "min_of(step(), 1m)", "(-2m)", "2m*2", "max_of(1m, 3s)")
        return " offset " + self.pick("", "", "-", "+") + self.seconds()

    def at(self):
        w = self.world
        t = self.pick("start()", "end()", str(self.rng.randrange(w.start_ms - 600_000, w.end_ms + 600_000) / 1000), str(w.start_ms // 1000 + 3600), f"-{self.pick('1', '3.5')}")
        return " @ " + t

    def shift(self, p=0.2):
        if not self.chance(p):
            return N(MAYBE)
        a, b = N(MAYBE, self.offset()), N(MAYBE, self.at())
        return self.pick(a, b, a, b, N(MAYBE, a, b), N(MAYBE, b, a))

    def regex(self, label):
        values = self.values.get(label, ["x"])
        v, w = re.sub(r"([.\\+*?()|\[\]{}^$])", r"\\\1", self.rng.choice(values)), self.rng.choice(values)
        return self.pick(v, v + "|" + re.escape(w) if w.isascii() and w.isalnum() else v + "|zz", ".*", ".+", "", v[:1] + ".*", ".*" + v[-1:] if v[-1:].isalnum() else ".+", "(" + v + ")", "(?i)" + v.upper(), "[a-c].*",
                         "[^a].*", r"\d+", r".*\d+.*", "^" + v + "$", "(?:" + v + "|x)", ".{1,3}", "a*", "(a|b|c):80", r"[[:alpha:]]+.*", "(?s).*", ".?", v + "?", r"\w+", r"(?i:API|db)",
                         r"\pL+", r"[\w.]+", "5..|200", ".+_total", "(nh|temp)", "nh.*", r"a\:80", "|api", "api|", "(?U)a+.*", r"\Qa:80\E", r"[^\n]*", "(?m)^api$", r"\bapi\b", r"\x61.*"
                         ) if not self.chance(0.01) else self.pick("(", "[", "a{2,1}", "*", r"\8", "(?=a)", "(?P<n", "a**", r"\pX", "a{1001}")

    def matcher(self, label=None):
        label = label or self.pick(*self.labels, "job", "job", "instance", "code", "nolabel", "le", "__name__")
        name = label if IDENTIFIER.match(label) and not self.chance(0.05) else quoted(label)
        op = self.pick("=", "=", "!=", "=~", "=~", "!~")
        value = self.regex(label) if "~" in op else self.pick(*self.values.get(label, [""]), "", "nothing")
        return N(MAYBE, name, self.pick("", "", " "), op, self.pick("", "", " "), quoted(value, self.pick('"', '"', "'")) if "`" in value or self.chance(0.9) else f"`{value}`")

    def metric(self, kind=None):
        w = self.world
        if kind:
            return self.rng.choice({"float": w.floats, "classic": w.classic, "native": w.native, "info": w.infos, "counter": ("requests_total", "errors_total", "born_total", "nh", "nh_custom", "latency_seconds_count")}[kind])
        return self.pick(self.rng.choice(w.floats), self.rng.choice(w.floats), self.rng.choice(w.floats), self.rng.choice(self.metrics), self.rng.choice(self.metrics), "nothing", self.rng.choice(w.native))

    def selector(self, kind=None, plain=False):
        """Without its offset and @."""
        name, matchers = self.metric(kind), [self.matcher() for _ in range(self.pick(0, 0, 0, 1, 1, 2, 3))]
        form = self.rng.random()
        if METRIC.match(name) and form < 0.85:
            head, first = name, None
        elif form < 0.95:
            head, first = "", quoted(name)
        else:
            head, first = "", self.matcher("__name__").text()
        body = []
        if first:
            body.append(first)
        for m in matchers:
            body.append(N(MAYBE, ", " if body else "", m))
        if not body and not first:
            return N(MAYBE, head, self.pick("", "", "{}"))
        return N(MAYBE, head, N(MAYBE, "{", *body, self.pick("", "", ","), "}") if head else N("braces", "{", *body, "}"))

    def instant(self, kind=None):
        return N(VECTOR, N("sel", self.selector(kind)), self.maybe(0.03, self.pick(" anchored", " smoothed", " smoothed")), self.shift())

    def matrix(self, depth, kind=None, extended=0.0):
        if depth > 0 and self.chance(0.25):
            return N(MATRIX, self.shiftable(depth - 1), "[", self.pick("5m", "10m", "20m", "1h", "7m", "90s", self.duration()), ":", self.maybe(0.7, self.pick("1m", "30s", "47s", "2m", "5m", "15s", "step()", "60", "10s+7s")), "]", self.shift())
        return N(MATRIX, N("sel", self.selector(kind)), "[", self.duration(), "]", self.maybe(extended, self.pick(" anchored", " smoothed")), self.shift())

    def shiftable(self, depth):
        """What a subquery may stand behind without changing what it belongs to."""
        return N(VECTOR, "(", self.vector(depth), ")") if self.chance(0.5) else self.pick(self.instant_bare, self.call)(depth)

    def instant_bare(self, _):
        return N(VECTOR, N("sel", self.selector()))

    # -- expressions --------------------------------------------------------------------------------------
    def scalar(self, depth):
        if depth <= 0 or self.chance(0.55):
            return self.number()
        d = depth - 1
        return self.pick(
            lambda: N(SCALAR, self.pick("time()", "pi()", "start()", "end()", "step()", "range()")),
            lambda: N(SCALAR, "scalar(", self.vector(d), ")"),
            lambda: N(SCALAR, self.scalar(d), self.rng.choice(ARITHMETIC), self.scalar(d)),
            lambda: N(SCALAR, "(", self.scalar(d), " ", self.rng.choice(COMPARISON), " bool ", self.scalar(d), ")"),
            lambda: N(SCALAR, self.pick("max_of(", "min_of("), self.scalar(d), ", ", self.scalar(d), ")"),
            lambda: N(SCALAR, self.pick("-", "+"), self.scalar(d)),
            lambda: N(SCALAR, "(", self.scalar(d), ")"))()

    def names(self, n=None):
        count = self.pick(0, 1, 1, 1, 2, 2, 3) if n is None else n
        names = [self.pick("job", "job", "instance", "instance", "code", "le", "zone", "nolabel", "__name__", self.rng.choice(self.labels)) for _ in range(count)]
        return [n if IDENTIFIER.match(n) and not self.chance(0.03) else quoted(n) for n in names]

    def grouping(self):
        return N(MAYBE, self.pick(" by", " without"), self.pick(" ", ""), "(", ", ".join(self.names()), self.pick("", "", "", ","), ")")

    def aggregate(self, depth):
        d = depth - 1
        op = self.pick(*AGGREGATES, *AGGREGATES, "topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio")
        by = self.grouping() if self.chance(0.75) else N(MAYBE)
        head, tail = (by, N(MAYBE)) if self.chance(0.6) else (N(MAYBE), by)
        if op in ("topk", "bottomk", "limitk"):
            param = [self.pick(N(SCALAR, self.pick("1", "2", "3", "5", "0", "-1", "2.7", "1000")), self.scalar(d)), ", "]
        elif op == "quantile":
            param = [self.pick(N(SCALAR, self.pick("0", "0.5", "0.9", "1", "0.25", "1.1", "-1")), self.scalar(d)), ", "]
        elif op == "limit_ratio":
            param = [self.pick(N(SCALAR, self.pick("0.5", "-0.5", "1", "-1", "0.1", "0", "-0.3", "2", "-3")), self.scalar(d)), ", "]
        elif op == "count_values":
            param = [self.string("v", "job", "le", "__name__", "host.name", ""), ", "]
        else:
            param = []
        kind = self.pick(None, "float", "native", "classic") if d <= 0 else None
        return N(VECTOR, op, head, "(", *param, self.instant(kind) if kind else self.vector(d), ")", tail)

    def matching(self, sets):
        if self.chance(0.4):
            return N(MAYBE)
        on = self.pick("on", "on", "ignoring")
        parts = [self.pick(" ", ""), on, self.pick("", " "), "(", ", ".join(self.names()), ")"]
        if not sets or self.chance(0.03):
            parts.append(self.maybe(0.45, self.pick(" group_left", " group_right"), self.pick("", "()", f"({', '.join(self.names(1))})", f"({', '.join(self.names())})")))
        parts.append(" ")
        return N(MAYBE, *parts)

    def fill(self):
        value = lambda: self.pick("0", "1", "-1", "NaN", "2.5", "Inf")
        return self.pick(f" fill({value()}) ", f" fill_left({value()}) ", f" fill_right({value()}) ", f" fill_left({value()}) fill_right({value()}) ", f" fill_right({value()}) fill_left({value()}) ")

    def binary(self, depth):
        d = depth - 1
        form = self.rng.random()
        if form < 0.25:
            op = N("op", self.pick(*SETS))
            return N(VECTOR, self.vector(d), op, self.matching(True), self.vector(d))
        op = self.pick(*ARITHMETIC, *COMPARISON, *COMPARISON, *TRIM)
        bool_ = self.maybe(0.4, " bool ") if op in COMPARISON else N(MAYBE)
        if form < 0.5:
            sides = [self.vector(d), self.scalar(d)]
            self.rng.shuffle(sides)
            return N(VECTOR, sides[0], " ", op, " ", bool_, sides[1])
        name = self.metric()
        # Two selectors of the same labels match more often than any two expressions.
        if self.chance(0.4):
            other = self.pick(name, self.metric("float"))
            left, right = (N(VECTOR, n if METRIC.match(n) else "{" + quoted(n) + "}", self.maybe(0.3, "{", self.matcher(), "}")) for n in (name, other))
        else:
            left, right = self.vector(d), self.vector(d)
        fill = N(MAYBE, self.fill()) if self.chance(0.15) else N(MAYBE)
        return N(VECTOR, left, " ", op, " ", bool_, self.matching(False), fill, " ", right)

    def call(self, depth):
        d = depth - 1
        v, s = lambda *k: self.vector(d, *k), lambda: self.scalar(d)
        q = lambda: N(SCALAR, self.pick("0.5", "0.9", "0.99", "0", "1", "-1", "1.5", "NaN", "0.1")) if self.chance(0.9) else s()
        return self.pick(
            lambda: N(VECTOR, self.rng.choice(MATH), "(", v(), ")"),
            lambda: N(VECTOR, self.rng.choice(OVER_TIME), "(", self.matrix(d), ")"),
            lambda: N(VECTOR, self.rng.choice(OVER_TIME), "(", self.matrix(d, self.pick("float", "native")), ")"),
            lambda: N(VECTOR, self.rng.choice(RATES), "(", self.matrix(d, "counter", 0.25), ")"),
            lambda: N(VECTOR, self.rng.choice(RATES + ["changes", "resets"]), "(", self.matrix(d, self.pick("counter", "native", None), 0.25), ")"),
            lambda: N(VECTOR, "quantile_over_time(", q(), ", ", self.matrix(d), ")"),
            lambda: N(VECTOR, "predict_linear(", self.matrix(d, "float"), ", ", s(), ")"),
            lambda: N(VECTOR, "double_exponential_smoothing(", self.matrix(d, "float"), ", ", self.pick(N(SCALAR, self.pick("0.1", "0.5", "0.9", "0", "1")), s()), ", ", self.pick(N(SCALAR, self.pick("0.1", "0.5")), s()), ")"),
            lambda: N(VECTOR, self.pick("clamp_min", "clamp_max"), "(", v(), ", ", s(), ")"),
            lambda: N(VECTOR, "clamp(", v(), ", ", s(), ", ", s(), ")"),
            lambda: N(VECTOR, "round(", v(), self.maybe(0.6, ", ", s()), ")"),
            lambda: N(VECTOR, self.rng.choice(HIST), "(", v(self.pick("native", "native", None)), ")"),
            lambda: N(VECTOR, "histogram_quantile(", q(), ", ", self.histograms(d), ")"),
            lambda: N(VECTOR, "histogram_fraction(", q(), ", ", q(), ", ", self.histograms(d), ")"),
            lambda: N(VECTOR, "histogram_quantiles(", self.histograms(d), ", ", self.string("q", "le", "job", "__name__"), ", ", q(), self.maybe(0.6, ", ", q()), ")"),
            lambda: N(VECTOR, "label_replace(", v(), ", ", self.string("job", "new", "instance", "__name__", "le", "host.name"), ", ",
                      self.string("$1", "x-$1", "${1}y", "", "$2", "fix", "$name", "$$1", "${n}"), ", ", self.string("job", "instance", "code", "__name__", "no", "host.name"), ", ",
                      self.string("(.*)", "(.+)", "(a).*", "(?P<name>.*):(.*)", "api", "(.)(.*)", "", "[a-z]+", "(?P<n>x?).*"), ")"),
            lambda: N(VECTOR, "label_join(", v(), ", ", self.string("new", "job", "__name__", "a.b"), ", ", self.string("-", "", ","), N(MAYBE, ", ", self.string("job", "instance", "no")), self.maybe(0.5, ", ", self.string("code", "job", "le")), ")"),
            lambda: N(VECTOR, self.pick("absent", "timestamp", "timestamp", "start_timestamp"), "(", self.pick(self.instant, v)(), ")"),
            lambda: N(VECTOR, "vector(", s(), ")"),
            lambda: N(VECTOR, self.rng.choice(DATES), "(", self.maybe(0.8, self.pick(v, lambda: N(VECTOR, "timestamp(", self.instant(), ")"), lambda: N(VECTOR, "vector(", self.pick(N(SCALAR, self.pick("1e9", "-1e9", "951782400", "1709210096.5")), s()), ")"))()), ")"),
            lambda: N(VECTOR, "info(", v(), self.maybe(0.4, ", ", self.info_matchers()), ")"),
            lambda: N(VECTOR, "info(", self.instant("float"), self.maybe(0.4, ", ", self.info_matchers()), ")"),
            lambda: N(VECTOR, self.pick("sort", "sort_desc"), "(", v(), ")"),
            lambda: N(VECTOR, self.pick("sort_by_label", "sort_by_label_desc"), "(", v(), ", ", self.string("job", "instance", "le", "code"), self.maybe(0.3, ", ", self.string("job", "code")), ")"),
        )()

    def histograms(self, depth):
        """What quantiles are asked of."""
        d = depth - 1
        return self.pick(
            lambda: self.instant("classic"), lambda: self.instant("native"),
            lambda: N(VECTOR, "rate(", self.matrix(0, "classic"), ")"), lambda: N(VECTOR, "rate(", self.matrix(0, "native"), ")"),
            lambda: N(VECTOR, "sum", self.pick(" by (le)", " by (le, job)", " without (instance)", ""), "(rate(", self.matrix(0, self.pick("classic", "native")), "))"),
            lambda: N(VECTOR, "sum", self.pick(" by (le)", " by (le, job)", " without (instance)", ""), "(", self.instant(self.pick("classic", "native")), ")"),
            lambda: self.vector(d))()

    def info_matchers(self):
        inside = [self.pick(self.matcher("version"), self.matcher("region"), self.matcher("env"), N(MAYBE, '__name__="', self.pick(*self.world.infos), '"'), N(MAYBE, '__name__=~".*_info"'), self.matcher()) for _ in range(self.pick(1, 1, 2))]
        return N("info", "{", ", ".join(m.text() for m in inside), "}")

    def vector(self, depth, kind=None):
        if kind and self.chance(0.7):
            return self.instant(kind)
        if depth <= 0 or self.chance(0.12):
            return self.instant(kind)
        form = self.rng.random()
        if form < 0.45:
            return self.call(depth)
        if form < 0.68:
            return self.aggregate(depth)
        if form < 0.92:
            return self.binary(depth)
        return self.pick(lambda: N(VECTOR, self.pick("-", "-", "+"), self.vector(depth - 1)), lambda: N(VECTOR, "(", self.vector(depth - 1), ")"))()

    def query(self):
        form, depth = self.rng.random(), self.pick(1, 1, 2, 2, 3, 4)
        if form < 0.88:
            return self.vector(depth)
        if form < 0.94:
            return self.scalar(depth)
        return self.matrix(depth) if form < 0.985 else self.string()

    # -- wrong ones ---------------------------------------------------------------------------------------
    TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|[a-zA-Z_:][\w:]*|[\d.]+[a-z]*|[=!<>]=|[=!]~|</|>/|\s+|.', re.S)
    EXTRA = ("(", ")", "[", "]", "{", "}", ",", "=", "!=", "=~", "+", "-", "*", "/", "%", "^", "==", "<", ">", "</", "by", "on", "offset", "@", "bool", "and", "or", "unless", "group_left", "5m",
             "1", '"x"', "foo", "sum", "rate", "without", "ignoring", "fill", "fill_left", "(1)", ":", "anchored", "smoothed", "start()", "end()", "step()", "NaN", "inf", "#", "'", '"', "`", "\\", "é", "$", "~", "!",
             "1.2.3", "0x", "1e", "5mm", "5h5", "_", "\n", "max_of", "topk", "count_values", "info", "time()", "atan2", "\x00", ";", "&", "0", "[5m]", "[5m:1m]", "{}", "=5", "-1m", "\t", "\"\\x\"", "le", "vector(1)")

    def broken(self):
        """A query of which tokens were taken out, put in, doubled or exchanged."""
        tokens = self.TOKEN.findall(self.query().text())
        for _ in range(self.pick(1, 1, 1, 2, 3)):
            i = self.rng.randrange(len(tokens)) if tokens else 0
            form = self.rng.randrange(6)
            if form == 0 and tokens:
                del tokens[i]
            elif form in (1, 2):
                tokens.insert(i, self.rng.choice(self.EXTRA))
            elif form == 3 and tokens:
                tokens[i] = self.rng.choice(self.EXTRA)
            elif form == 4 and tokens:
                j = self.rng.randrange(len(tokens))
                tokens[i], tokens[j] = tokens[j], tokens[i]
            elif tokens:
                tokens = tokens[:i]
        return "".join(tokens)
