import { expect, it } from "vitest";
import type { Answer } from "../../lib/api/prometheus";
import { shownMax, toFrame } from "./frame";

const answer = (series: Answer["series"]): Answer => ({ type: "matrix", series, warnings: [], infos: [] });

it("puts values at their steps, with gaps and without infinities", () => {
  const f = toFrame([{ name: "A", answer: answer([{ labels: { __name__: "x", a: "1" }, times: [100, 120, 130], values: [1, Infinity, 3] }]) }], 100, 130, 10);
  expect(f.times).toEqual([100, 110, 120, 130]);
  expect(f.series[0]).toMatchObject({ label: 'x{a="1"}', values: [1, null, null, 3], last: 3, min: 1, max: 3, mean: 2 });
});

it("names the query when there are several", () => {
  const one = answer([{ labels: {}, times: [0], values: [1] }]);
  expect(toFrame([{ name: "A", answer: one }, { name: "B", answer: one }], 0, 0, 1).series.map((s) => s.label)).toEqual(["A: {}", "B: {}"]);
});

it("keeps the largest of too many", () => {
  const many = answer(Array.from({ length: shownMax + 5 }, (_, i) => ({ labels: { i: String(i) }, times: [0], values: [i] })));
  const f = toFrame([{ name: "A", answer: many }], 0, 0, 1);
  expect(f.hidden).toBe(5);
  expect(f.series[0]!.last).toBe(shownMax + 4);
});
