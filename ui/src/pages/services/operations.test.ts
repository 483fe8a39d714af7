import { expect, it } from "vitest";
import { groups, merge } from "./operations";

const series = (labels: Record<string, unknown>, ...values: number[]) => ({ labels, values, times: values.map((_, i) => i), exemplars: [] });

it("merges counts, errors and quantiles by operation, the busiest first", () => {
  const got = merge(
    [series({ name: "GET /a" }, 10, 2), series({ name: "GET /b" }, 30)],
    [series({ name: "GET /a" }, 3)],
    [series({ name: "GET /a", p: 0.5 }, 0.1), series({ name: "GET /a", p: 0.95 }, 0.2, 0.4), series({ name: "GET /b", p: 0.95 }, 1)],
  );
  expect(got).toEqual([
    { name: "GET /b", requests: 30, errors: 0, p50: null, p95: 1 },
    { name: "GET /a", requests: 12, errors: 3, p50: 0.1, p95: 0.4 },
  ]);
});

it("groups errors, leaves out what did not happen", () => {
  const got = groups([series({ name: "a", statusMessage: "declined" }, 2), series({ name: "b", statusMessage: "nil" }, 5), series({ name: "c" }, 0)]);
  expect(got).toEqual([{ operation: "b", message: "", count: 5 }, { operation: "a", message: "declined", count: 2 }]);
});
