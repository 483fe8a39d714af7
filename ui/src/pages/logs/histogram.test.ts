import { expect, it } from "vitest";
import { aggregation, stepOf, toSeries } from "./histogram";

const over = { start: 1000, end: 1060 };

it("asks for at most sixty bars", () => {
  expect(stepOf({ start: 0, end: 900 })).toBe(15);
  expect(JSON.stringify(aggregation(15))).toContain('"fixed_interval":"15s"');
});

it("stacks by severity, errors first, and fills empty steps", () => {
  const severity = (parts: [string, number][]) => ({ buckets: parts.map(([key, doc_count]) => ({ key, doc_count })) });
  const { times, series } = toSeries(
    [
      { key: 1_000_000, doc_count: 5, severity: severity([["INFO", 3], ["ERROR", 1]]) },
      { key: 1_040_000, doc_count: 2, severity: severity([["Information", 2]]) },
    ],
    over, 20, (s) => s,
  );
  expect(times).toEqual([1000, 1020, 1040]);
  expect(series).toEqual([
    { label: "error", colour: "error", values: [1, 0, 0] },
    { label: "info", colour: "info", values: [3, 0, 2] },
    { label: "unset", colour: "unset", values: [1, 0, 0] },
  ]);
});

it("ignores buckets outside the interval", () => {
  expect(toSeries([{ key: 5_000_000, doc_count: 1 }], over, 20, (s) => s).series).toEqual([]);
});
