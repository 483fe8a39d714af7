import { expect, it } from "vitest";
import { rate, readVitals, vitalText } from "./vitals";

it("rates by the published thresholds, their ends included", () => {
  expect([rate("lcp", 2500), rate("lcp", 2501), rate("lcp", 4000), rate("lcp", 4001)]).toEqual(["good", "needs-improvement", "needs-improvement", "poor"]);
  expect(rate("cls", 0.3)).toBe("poor");
});

it("writes values with their unit", () => {
  expect(vitalText("lcp", 2345)).toBe("2.35 s");
  expect(vitalText("cls", 0.123)).toBe("0.12");
  expect(vitalText("cls", 0.034)).toBe("0.034");
});

it("reads shares and percentiles over all and by route", () => {
  const ratings = { buckets: [{ key: "good", doc_count: 3 }, { key: "poor", doc_count: 1 }] };
  const got = readVitals([
    { key: "lcp", doc_count: 4, p75: { values: { "75.0": 2600 } }, ratings, routes: { buckets: [{ key: "/cart", doc_count: 4, p75: { values: { "75.0": 2600 } }, ratings }] } },
    { key: "unheard-of", doc_count: 1 },
    { key: "inp", doc_count: 0, p75: { values: { "75.0": null } } },
  ]);
  expect(got.overall.lcp).toEqual({ count: 4, p75: 2600, shares: { good: 0.75, "needs-improvement": 0, poor: 0.25 } });
  expect(got.overall.inp!.p75).toBeUndefined();
  expect(got.routes).toEqual([{ route: "/cart", vitals: { lcp: got.overall.lcp } }]);
});
