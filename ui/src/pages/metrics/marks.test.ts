import { expect, it } from "vitest";
import type { Exemplar } from "../../lib/api/prometheus";
import { marksOf, thin } from "./marks";

const exemplar = (timestamp: number, value: number): Exemplar => ({ timestamp, value, labels: {}, series: {}, traceId: "abcdef0123456789", spanId: undefined });

it("thins a crowd but keeps the largest and the lonely", () => {
  const crowd = Array.from({ length: 1000 }, (_, i) => exemplar(100 + (i % 10) / 100, 0.01));
  const got = thin([...crowd, exemplar(100, 2), exemplar(150, 0.01)], 0, 1000);
  expect(got).toHaveLength(3);
  expect(got.map((e) => e.value)).toContain(2);
});

it("stands at its own value over quantiles, on the line over rates", () => {
  const frame = { times: [0, 10], hidden: 0, series: [{ label: "a", colour: "", values: [5, 7], last: 7, min: 5, max: 7, mean: 6 }] };
  expect(marksOf([exemplar(9, 0.3)], frame, ["histogram_quantile(0.9, x)"])[0]!.value).toBe(0.3);
  expect(marksOf([exemplar(9, 0.3)], frame, ["rate(x[1m])"])[0]!.value).toBe(7);
});
