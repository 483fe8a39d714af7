import { describe, expect, it } from "vitest";
import type { OtlpSpan, OtlpTrace } from "./api/tempo";
import { hexId, microsOf, nanos, readTrace, type Span, unixSeconds } from "./trace";
import { find, nextMatch, revealed, rowOf, visibleRows } from "./traceFind";
import { criticalPath } from "./tracePath";
import { flames, operations } from "./traceStats";

const base = 1795364838147602944n;

/** Start and end in microseconds. */
function span(id: string, parent: string, start: number, end: number, more: Partial<OtlpSpan> = {}): OtlpSpan {
  return {
    traceId: "t", spanId: id, parentSpanId: parent, name: id,
    startTimeUnixNano: String(base + BigInt(start) * 1000n), endTimeUnixNano: String(base + BigInt(end) * 1000n), ...more,
  };
}

function otlp(services: Record<string, OtlpSpan[]>): OtlpTrace {
  return {
    resourceSpans: Object.entries(services).map(([name, spans]) => ({
      resource: { attributes: [{ key: "service.name", value: { stringValue: name } }] }, scopeSpans: [{ scope: { name: "lib", version: "1" }, spans }],
    })),
  };
}

const read = (spans: OtlpSpan[]) => readTrace("t", otlp({ shop: spans }));
const names = (spans: Span[]) => spans.map((s) => "  ".repeat(s.depth) + (s.group ?? s.name));
const byName = (spans: Span[], name: string) => spans.find((s) => s.name === name)!;

describe("ids and times", () => {
  it("reads hex and base64 ids", () => {
    expect(hexId("EUSIYjyvHyw=")).toBe("114488623caf1f2c");
    expect(hexId("83sl0T017sOPsKkttBWY0g==")).toBe("f37b25d13d35eec38fb0a92db41598d2");
    expect(hexId("114488623CAF1F2C")).toBe("114488623caf1f2c");
    expect(hexId("0000000000000000")).toBe("");
    expect(hexId("AAAAAAAAAAA=")).toBe("");
    expect(hexId(undefined)).toBe("");
    expect(hexId("not base64!")).toBe("not base64!");
  });
  it("keeps nanoseconds above 2^53 exact", () => {
    const t = read([
      span("a", "", 0, 10, { startTimeUnixNano: "1795364838147602945", endTimeUnixNano: "1795364838147602946" }),
      span("b", "a", 0, 10, { startTimeUnixNano: "1795364838147602946", endTimeUnixNano: "1795364838147602953" }),
    ]);
    expect(t.startNs).toBe(1795364838147602945n);
    expect(byName(t.spans, "a").duration).toBe(0.001);
    expect(byName(t.spans, "b").start).toBe(0.001);
    expect(byName(t.spans, "b").duration).toBe(0.007);
    expect(microsOf(t, "1795364838147602948")).toBe(0.003);
    expect(unixSeconds(t, 0)).toBeCloseTo(1795364838.147603, 5);
  });
  it("takes what is no time for none", () => {
    for (const bad of ["", "abc", "-5", "1.5", "0", "9".repeat(40), undefined]) expect(nanos(bad)).toBeUndefined();
    expect(nanos(1_000_000)).toBe(1_000_000n);
    const t = read([span("a", "", 0, 100), span("b", "a", 5, 6, { startTimeUnixNano: "0", endTimeUnixNano: "0" }), span("c", "a", 50, 40)]);
    expect(t.duration).toBe(100);
    expect(byName(t.spans, "b").start).toBe(0);
    expect(byName(t.spans, "c").duration).toBe(0);
    expect(t.problems).toEqual(["1 span has no start time.", "1 span ends before the start, or never."]);
  });
});

describe("the tree", () => {
  it("orders children by start, counts depth and size", () => {
    const t = read([span("c", "a", 50, 60), span("a", "", 0, 100), span("b", "a", 10, 20), span("d", "b", 11, 12)]);
    expect(names(t.spans)).toEqual(["a", "  b", "    d", "  c"]);
    expect(t.spans.map((s) => s.size)).toEqual([4, 2, 1, 1]);
    expect(t.spans.map((s) => s.index)).toEqual([0, 1, 2, 3]);
    expect(t.problems).toEqual([]);
    expect([t.count, t.duration, t.root!.name]).toEqual([4, 100, "a"]);
  });
  it("puts spans without their parents below a group", () => {
    const t = read([span("a", "", 0, 100), span("b", "gone", 10, 20), span("c", "lost", 30, 60), span("d", "c", 31, 32)]);
    expect(names(t.spans)).toEqual(["a", "missing", "  b", "  c", "    d"]);
    const group = t.spans[1]!;
    expect([group.start, group.duration, group.size]).toEqual([10, 50, 4]);
    expect(t.count).toBe(4);
    expect(t.problems).toEqual(["2 spans have parents that were not received."]);
  });
  it("has the first orphan for a root when no root came", () => {
    const t = read([span("b", "gone", 10, 20), span("c", "gone", 5, 60)]);
    expect(names(t.spans)).toEqual(["missing", "  c", "  b"]);
    expect(t.root!.name).toBe("c");
  });
  it("cuts cycles at their earliest span and loses nothing", () => {
    const t = read([
      span("a", "", 0, 100), span("x", "z", 10, 20), span("y", "x", 11, 20), span("z", "y", 5, 20), span("tail", "x", 13, 14), span("self", "self", 50, 60),
    ]);
    expect(names(t.spans)).toEqual(["a", "cycle", "  z", "    x", "      y", "      tail", "  self"]);
    expect(t.count).toBe(6);
    expect(t.problems).toEqual(["2 circles of spans that are each other's parents, cut at the earliest span."]);
  });
  it("says when there are several roots", () => {
    expect(read([span("a", "", 0, 10), span("b", "", 5, 20)]).problems).toEqual(["2 roots."]);
  });
  it("drops what came twice, keeps ids that two spans share", () => {
    const twice = read([span("a", "", 0, 10), span("a", "", 0, 10)]);
    expect([twice.count, twice.problems]).toEqual([1, ["1 span was received more than once."]]);
    const shared = readTrace("t", otlp({ client: [span("a", "", 0, 10), span("mine", "a", 1, 2)], server: [span("a", "", 2, 8), span("theirs", "a", 3, 4)] }));
    expect(names(shared.spans)).toEqual(["a", "  mine", "a", "  theirs"]);
    expect(shared.problems).toContain("1 span has the id of another one.");
  });
  it("reads an empty trace", () => {
    const t = readTrace("t", {});
    expect([t.count, t.duration, t.root, t.spans.length]).toEqual([0, 0, undefined, 0]);
    expect(criticalPath(t.roots)).toEqual([]);
    expect(flames(t.spans)).toHaveLength(1);
  });
  it("counts services and errors", () => {
    const t = readTrace("t", otlp({ web: [span("a", "", 0, 10)], api: [span("b", "a", 1, 9, { status: { code: "STATUS_CODE_ERROR" }, kind: 2 }), span("c", "b", 2, 3, { status: { code: 2 } })] }));
    expect(t.services).toEqual([{ name: "web", spans: 1, errors: 0 }, { name: "api", spans: 2, errors: 2 }]);
    expect(t.errors).toBe(2);
    expect(byName(t.spans, "b").kind).toBe("server");
  });
});

describe("clocks", () => {
  const skewed = (gap: number) => otlp({
    web: [span("a", "", 0, 100, { kind: "SPAN_KIND_CLIENT" })],
    api: [span("b", "a", 20 + gap, 80 + gap, { kind: "SPAN_KIND_SERVER" }), span("c", "b", 30 + gap, 40 + gap)],
  });
  it("moves a process that starts before its caller, with all that is below", () => {
    for (const gap of [-3_600_000_000, 3_600_000_000]) {
      const t = readTrace("t", skewed(gap));
      expect(t.skewed).toBe(true);
      expect(t.duration).toBe(100);
      expect([byName(t.spans, "b").start, byName(t.spans, "c").start]).toEqual([20, 30]);
      expect(byName(t.spans, "c").shift).toBe(-gap);
      expect(t.startNs).toBe(base);
    }
  });
  it("shows them as recorded when asked to", () => {
    const t = readTrace("t", skewed(-3_600_000_000), false);
    expect(t.skewed).toBe(true);
    expect(t.duration).toBe(3_600_000_000 + 80);
    expect(byName(t.spans, "b").start).toBe(0);
    expect(t.startNs).toBe(base + 20_000n - 3_600_000_000_000n);
  });
  it("moves a span that was over before its parent in the same process began", () => {
    const t = read([span("a", "", 5000, 6000), span("b", "a", 0, 400)]);
    expect([t.skewed, t.duration, byName(t.spans, "b").start]).toEqual([true, 1000, 300]);
  });
  it("leaves a child of the same process and late consumers alone", () => {
    expect(read([span("a", "", 10, 20), span("b", "a", 0, 15)]).skewed).toBe(false);
    const queue = otlp({ web: [span("a", "", 0, 10, { kind: 4 })], job: [span("b", "a", 500, 600, { kind: 5 })] });
    expect(readTrace("t", queue).skewed).toBe(false);
  });
});

describe("self time and the critical path", () => {
  it("counts overlapping children once and clips them to their parent", () => {
    const t = read([span("a", "", 0, 100), span("b", "a", 10, 40), span("c", "a", 30, 50), span("d", "a", 90, 120), span("e", "a", 200, 210)]);
    expect(byName(t.spans, "a").self).toBe(50);
    expect(byName(t.spans, "b").self).toBe(30);
  });
  it("follows the child that ended last", () => {
    const t = read([span("a", "", 0, 100), span("b", "a", 10, 40), span("c", "a", 20, 90), span("d", "c", 30, 80), span("e", "a", 5, 15)]);
    const path = criticalPath(t.roots).map((s) => [s.span.name, s.from, s.to]);
    expect(path).toEqual([["a", 90, 100], ["c", 80, 90], ["d", 30, 80], ["c", 20, 30], ["a", 15, 20], ["e", 5, 15], ["a", 0, 5]]);
    expect(path.reduce((n, p) => n + (p[2] as number) - (p[1] as number), 0)).toBe(100);
  });
  it("takes spans that overlap by next to nothing for one after the other", () => {
    const t = read([span("a", "", 0, 1000), span("b", "a", 0, 502), span("c", "a", 500, 1000), span("d", "a", 0, 700)]);
    expect(criticalPath(t.roots).map((s) => [s.span.name, s.from, s.to])).toEqual([["c", 500, 1000], ["b", 0, 500]]);
  });
  it("waits for a child that outlives its parent only to the parent's end", () => {
    const t = read([span("a", "", 0, 100), span("b", "a", 50, 300), span("c", "b", 60, 290)]);
    expect(criticalPath(t.roots).map((s) => [s.span.name, s.from, s.to])).toEqual([["c", 60, 100], ["b", 50, 60], ["a", 0, 50]]);
  });
  it("goes through groups without counting them", () => {
    const t = read([span("b", "gone", 0, 20), span("c", "gone", 30, 60)]);
    expect(criticalPath(t.roots).map((s) => [s.span.name, s.from, s.to])).toEqual([["c", 30, 60], ["b", 0, 20]]);
  });
});

describe("sums", () => {
  it("adds up operations", () => {
    const many = Array.from({ length: 100 }, (_, i) => span(`s${i}`, "a", i, 2 * i + 1, { name: "GET", status: i === 3 ? { code: 2 } : undefined }));
    const rows = operations(read([span("a", "", 0, 1000), ...many]).spans);
    const get = rows.find((r) => r.name === "GET")!;
    expect([get.count, get.errors, get.total, get.p95, get.max]).toEqual([100, 1, 5050, 95, 100]);
  });
  it("merges spans of one path in the flame graph; widths are self times", () => {
    const t = read([span("a", "", 0, 100), span("b", "a", 0, 30, { name: "x" }), span("c", "a", 20, 60, { name: "x" }), span("d", "c", 30, 40, { name: "y" })]);
    const all = flames(t.spans);
    expect(all.map((f) => [f.name, f.depth, f.count, f.self, f.width, f.left])).toEqual([
      ["", 0, 0, 0, 110, 0], ["a", 1, 1, 40, 110, 0], ["x", 2, 2, 60, 70, 0], ["y", 3, 1, 10, 10, 0],
    ]);
  });
});

describe("rows and finding", () => {
  const t = read([span("a", "", 0, 100), span("b", "a", 1, 50), span("c", "b", 2, 3, { attributes: [{ key: "db.query.text", value: { stringValue: "SELECT Price" } }] }), span("d", "a", 60, 70)]);
  it("hides what is below a collapsed span", () => {
    expect([...visibleRows(t.spans, new Set([1]))]).toEqual([0, 1, 3]);
    expect([...visibleRows(t.spans, new Set([0]))]).toEqual([0]);
    expect(rowOf(visibleRows(t.spans, new Set([1])), 2)).toBe(1);
    expect(rowOf(visibleRows(t.spans, new Set([1])), 3)).toBe(2);
    expect([...revealed(t.spans, new Set([0, 1, 3]), 2)]).toEqual([3]);
  });
  it("finds names, attributes and services, all words", () => {
    expect(find(t.spans, "select price")).toEqual([2]);
    expect(find(t.spans, "SHOP")).toEqual([0, 1, 2, 3]);
    expect(find(t.spans, " ")).toEqual([]);
    expect([nextMatch([1, 5], 1, 1), nextMatch([1, 5], 5, 1), nextMatch([1, 5], 1, -1), nextMatch([], 0, 1)]).toEqual([5, 1, 5, undefined]);
  });
});

describe("size", () => {
  it("reads a chain of 100,000 spans", () => {
    const chain = Array.from({ length: 100_000 }, (_, i) => span(`s${i}`, i ? `s${i - 1}` : "", i, 200_000 - i));
    const t = read(chain.reverse());
    expect(t.spans.at(-1)!.depth).toBe(99_999);
    expect(criticalPath(t.roots)).toHaveLength(199_999);
    expect(flames(t.spans)).toHaveLength(100_001);
    expect(operations(t.spans)).toHaveLength(100_000);
  }, 20_000);
  it("reads 100,000 spans below one, and a cycle of 100,000", () => {
    const wide = Array.from({ length: 100_000 }, (_, i) => span(`s${i}`, "root", i, i + 5));
    expect(read([span("root", "", 0, 200_000), ...wide]).spans).toHaveLength(100_001);
    const ring = Array.from({ length: 100_000 }, (_, i) => span(`s${i}`, `s${(i + 1) % 100_000}`, i, i + 5));
    const t = read(ring);
    expect([t.count, t.spans[0]!.group, t.spans[1]!.name]).toEqual([100_000, "cycle", "s0"]);
  }, 20_000);
});
