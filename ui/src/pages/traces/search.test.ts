import { describe, expect, it } from "vitest";
import { measured, said, searched } from "./search";
import { summary } from "./TraceRow";

describe("what is asked of a query", () => {
  it("the list asks for names, unless the query selects itself or has hints", () => {
    expect(searched("{ status = error }")).toBe("{ status = error } | select(name, status, kind, resource.service.name)");
    for (const q of ["{ } | select(span.x)", "{ } with (most_recent=true)"]) expect(searched(q)).toBe(q);
  });
  it("the charts ask without select() and hints", () => {
    expect(measured("{ } | select(name, span.x)")).toBe("{ }");
    expect(measured("{ } | count() > 2 with (most_recent=true)")).toBe("{ } | count() > 2");
    expect(measured('{ name = "| select(x)" }')).toBe('{ name = "| select(x)" }');
  });
});

describe("a found trace", () => {
  it("has its whole id and sums over its services", () => {
    const t = summary({ traceID: "abc", startTimeUnixNano: "1795364838147602944", durationMs: 1500, serviceStats: { a: { spanCount: 2, errorCount: 1 }, b: { spanCount: 5 } } });
    expect([t.id, t.spans, t.errors, t.length, t.services.map((s) => s.name)]).toEqual(["0".repeat(29) + "abc", 7, 1, 1.5, ["b", "a"]]);
    expect(t.start).toBeCloseTo(1795364838.1476, 3);
    expect(summary({ traceID: "1", startTimeUnixNano: "" }).spans).toBe(0);
  });
});

describe("the words above the list", () => {
  it("say what is shown of how much", () => {
    expect(said(12, true, false, 0)).toBe("12 traces, newest first");
    expect(said(1, true, false, 0)).toBe("1 trace, newest first");
    expect(said(100, false, false, 0)).toBe("The 100 newest traces of at least 101");
    expect(said(100, false, true, 2)).toBe("The 100 slowest traces with a matching span of at least 2 s");
    expect(said(100, false, true, 0)).toBe("The slowest of the 100 newest traces; more match");
    expect(said(7, true, true, 0)).toBe("7 traces, slowest first");
  });
});
