"""A seeded world of series for promql_diff.py: floats, counters with resets, gaps, stale markers, odd values, classic histograms,
native ones of every form, names in UTF-8, series that come and go. Most values are small multiples of 1/8: sums of them are exact
in any order, so that two right engines agree to the bit where they add in another order. Standard library only."""
import math

from promqltest import CUSTOM_SCHEMA, STALE, Hist, key_of

MINUTE = 60_000
JOBS = ("api", "db", "web-1")
INSTANCES = ("a:80", "b:80", "c:8080")
CODES = ("200", "404", "500", "5xx")


class World:
    """series: {labels as sorted pairs: [(t in ms, value, start timestamp or None)]} from start_ms to end_ms."""

    def __init__(self, rng):
        self.rng = rng
        self.start_ms = rng.choice((0, 1_700_000_000_000, 1_600_000_000_000 + rng.randrange(100_000_000)))
        self.end_ms = self.start_ms + 90 * MINUTE
        self.series = {}
        self.floats = ("requests_total", "errors_total", "temp", "memory_bytes", "odd", "sparse", "typed_total", "born_total", "up", "mixed")
        self.classic = ("latency_seconds_bucket", "broken_bucket")
        self.native = ("nh", "nh_gauge", "nh_custom", "nh_neg", "mixed", "nh_custom_other")
        self.infos = ("target_info", "build_info")
        self.utf8 = ("http.requests", "größe", "with space", 'quo"te')
        self.counters()
        self.gauges()
        self.classic_histograms()
        self.native_histograms()
        self.about()

    def add(self, name, points, **labels):
        if points:
            labels = {k.replace("__dot__", "."): v for k, v in labels.items()}
            self.series[key_of({"__name__": name, **labels})] = points

    def times(self, step=None):
        """A series' timestamps: regular, jittered, irregular or with gaps, sometimes of a part of the time only."""
        rng = self.rng
        step = step or rng.choice((15_000, 15_000, 30_000, 60_000, 20_000))
        first, last = self.start_ms + rng.choice((0, 0, rng.randrange(step))), self.end_ms
        if rng.random() < 0.25:
            first += rng.randrange(40) * MINUTE
        if rng.random() < 0.25:
            last -= rng.randrange(40) * MINUTE
        jitter = rng.choice((0, 0, 7, step // 3))
        gap = rng.choice((0, 0, 0, 0.02, 0.1))
        out, t = [], first
        while t <= last:
            out.append(t + (rng.randrange(jitter) if jitter else 0))
            t += step
            if rng.random() < gap:
                t += rng.randrange(1, 12) * MINUTE
        return out

    def stale(self, points):
        """Some samples are stale markers, often the last."""
        rng = self.rng
        if points and rng.random() < 0.3:
            points[-1] = (points[-1][0], STALE, None)
        if rng.random() < 0.15:
            for _ in range(3):
                i = rng.randrange(len(points))
                points[i] = (points[i][0], STALE, None)
        return points

    def count_up(self, unit, reset, born=False):
        rng, v, out, st = self.rng, 0.0, [], None
        for t in self.times():
            if born and (st is None or rng.random() < reset):
                st, v = max(t - rng.randrange(20_000), 1), 0.0
            elif rng.random() < reset:
                v = 0.0
            v += rng.choice((0, 0, 1, 1, 2, 5, 40)) * unit
            out.append((t, v, st))
        return out

    def counters(self):
        rng = self.rng
        for job in JOBS:
            for instance in INSTANCES[:rng.randrange(1, 4)]:
                for code in CODES:
                    if rng.random() < 0.7:
                        self.add("requests_total", self.stale(self.count_up(1, rng.choice((0, 0.02)))), job=job, instance=instance, code=code)
                    if rng.random() < 0.4:
                        self.add("errors_total", self.stale(self.count_up(0.125, 0.01)), job=job, instance=instance, code=code)
            self.add("born_total", self.count_up(1, 0.03, born=True), job=job, instance=INSTANCES[0])
            self.add("typed_total", self.count_up(2, 0.01), job=job, instance=INSTANCES[0], __type__="counter", __unit__="bytes")

    def gauges(self):
        rng = self.rng
        odd = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-7, 1e21, 1e300, -1e300, 5e-324, 1.5, -2.25, 1e15 + 0.5, 0.1, 0.3)
        for job in JOBS:
            for instance in INSTANCES:
                self.add("up", [(t, float(rng.random() < 0.8), None) for t in self.times(30_000)], job=job, instance=instance)
                if rng.random() < 0.8:
                    self.add("temp", self.stale([(t, rng.randrange(-80, 320) / 8, None) for t in self.times()]), job=job, instance=instance,
                             zone=rng.choice(("x", "y", "")) or "z")
                if rng.random() < 0.8:
                    self.add("memory_bytes", self.stale([(t, 1024.0 * rng.randrange(1 << 20), None) for t in self.times()]), job=job,
                             instance=instance)
                if rng.random() < 0.3:
                    self.add("odd", self.stale([(t, rng.choice(odd), None) for t in self.times()]), job=job, instance=instance)
            self.add("sparse", [(t, rng.randrange(100) / 4, None) for t in self.times(4 * MINUTE)], job=job)
        for name in self.utf8:
            for job in JOBS[:2]:
                self.add(name, [(t, rng.randrange(64) / 8, None) for t in self.times(30_000)], job=job, host__dot__name=rng.choice("ab"),
                         **{"ünï": rng.choice(("ä", "ö|x", "日本"))})

    def classic_histograms(self):
        rng = self.rng
        for job in JOBS[:2]:
            for instance in INSTANCES[:2]:
                bounds = rng.choice(((0.1, 0.5, 1.0, 2.5, 10.0), (-1.0, 0.0, 1.0, 4.0), (1.0, 5.0)))
                at = self.times(30_000)
                counts = [0.0] * (len(bounds) + 1)
                columns, total, sums = [[] for _ in counts], [], []
                for t in at:
                    if rng.random() < 0.02:
                        counts = [0.0] * len(counts)
                    for i in range(len(counts)):
                        counts[i] += rng.choice((0, 0, 1, 3))
                    running = 0.0
                    for i, c in enumerate(counts):
                        running += c
                        columns[i].append((t, running, None))
                    total.append((t, running, None))
                    sums.append((t, running * 0.5, None))
                for bound, column in zip((*bounds, math.inf), columns):
                    text = "+Inf" if bound == math.inf else f"{bound:g}"
                    self.add("latency_seconds_bucket", column, job=job, instance=instance, le=text)
                self.add("latency_seconds_count", total, job=job, instance=instance)
                self.add("latency_seconds_sum", sums, job=job, instance=instance)
        # Not monotonic, without +Inf, with a bound that is no number, with one bucket.
        for le in ("1", "2", "4", "+Inf"):
            self.add("broken_bucket", [(t, float(rng.randrange(20)), None) for t in self.times(MINUTE)], job="api", le=le)
        for le in ("1", "2"):
            self.add("broken_bucket", [(t, float(rng.randrange(20)), None) for t in self.times(MINUTE)], job="db", le=le)
        for le in ("1", "many", "+Inf"):
            self.add("broken_bucket", [(t, float(rng.randrange(20)), None) for t in self.times(MINUTE)], job="web-1", le=le)
        self.add("broken_bucket", [(t, 4.0, None) for t in self.times(MINUTE)], job="alone", le="+Inf")

    def hist(self, schema, zero=0.0, negative=False, hint=0):
        h, rng = Hist(), self.rng
        h.schema, h.zt, h.hint = schema, zero, hint
        if negative:  # on both sides always: Prometheus' chunks keep empty buckets, and which side a zero bucket lies on with them
            h.pos[9], h.neg[9], h.count = 1.0, 1.0, 2.0
        if schema == CUSTOM_SCHEMA:
            h.custom = list(rng.choice(((1.0, 2.0, 5.0), (1.0, 5.0, 10.0), (0.5, 1.0, 2.0, 5.0), (0.25, 2.0))))
        return h

    def observe(self, h):
        """Some more observations."""
        h, rng = h.copy(), self.rng
        for _ in range(rng.randrange(6)):
            n = float(rng.randrange(1, 5))
            side = h.neg if h.schema != CUSTOM_SCHEMA and rng.random() < 0.2 and h.hint_set else h.pos
            i = rng.randrange(len(h.custom) + 1) if h.schema == CUSTOM_SCHEMA else rng.choice((-3, -1, 0, 1, 2, 3, 4, 9))
            if h.schema != CUSTOM_SCHEMA and h.bound(i - 1) < h.zt:
                i = 9  # none lies in the zero bucket
            side[i] = side.get(i, 0.0) + n
            h.count += n
            h.sum += n * rng.randrange(-8 if h.hint_set else 0, 24) / 8
        if h.zt and rng.random() < 0.5:
            h.zc += 1.0
            h.count += 1.0
        return h

    def hist_points(self, schema, zero=0.0, negative=False, gauge=False, changing=False):
        rng, out = self.rng, []
        new = lambda s: self.hist(s, zero, negative, 3 if gauge else 0)
        h = new(schema)
        h.hint_set = negative
        for t in self.times(30_000):
            if rng.random() < (0.3 if gauge else 0.03):
                h = new(rng.choice((schema, schema + 1, schema - 1)) if changing and schema != CUSTOM_SCHEMA else schema)
                h.hint_set = negative
            h = self.observe(h)
            out.append((t, h, None))
        return out

    def native_histograms(self):
        rng = self.rng
        for job in JOBS:
            for instance in INSTANCES[:2]:
                schema, zero = rng.choice((-2, 0, 1, 3)), rng.choice((0.0, 0.001, 0.5))
                if rng.random() < 0.8:
                    self.add("nh", self.stale(self.hist_points(schema, zero, changing=rng.random() < 0.3)), job=job, instance=instance)
                self.add("nh_custom", self.stale(self.hist_points(CUSTOM_SCHEMA)), job=job, instance=instance)
            self.add("nh_gauge", self.hist_points(rng.choice((0, 2)), 0.001, gauge=True), job=job)
            self.add("nh_neg", self.hist_points(rng.choice((0, 1)), rng.choice((0.0, 0.25)), negative=True), job=job)
            self.add("nh_custom_other", self.hist_points(CUSTOM_SCHEMA, gauge=rng.random() < 0.5), job=job, instance=INSTANCES[0])
            points = self.hist_points(rng.choice((0, CUSTOM_SCHEMA)))
            floats = rng.choice((0.05, 0.5, 1.0))
            self.add("mixed", [(t, float(rng.randrange(50)) if rng.random() < floats else h, None) for t, h, _ in points], job=job)

    def about(self):
        rng = self.rng
        for job in JOBS:
            for instance in INSTANCES:
                at = self.times(MINUTE)
                cut = rng.randrange(len(at) + 1)
                self.add("target_info", [(t, 1.0, None) for t in at[:cut]], job=job, instance=instance, version="1", env="prod")
                self.add("target_info", [(t, 1.0, None) for t in at[cut - 1 if cut else 0:]], job=job, instance=instance,
                         version=rng.choice(("2", "2")), region=rng.choice(("eu", "us")), env="prod", host__dot__name="h1")
                if rng.random() < 0.5:
                    self.add("build_info", [(t, 1.0, None) for t in at], job=job, instance=instance, build_version=rng.choice(("7", "8")))
