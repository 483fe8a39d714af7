import { describe, expect, it } from "vitest";
import { expandMacros, families, selector, typicalQuery } from "./promql";

const own = [{ key: "service.name", op: "=" as const, value: "a" }];

it("writes selectors of plain and of other names", () => {
  expect(selector("up")).toBe("up");
  expect(selector("up", own)).toBe('up{job="a"}');
  expect(selector("http.requests", own)).toBe('{"http.requests",job="a"}');
});

it("asks of each type what one would ask", () => {
  expect(typicalQuery("x_total", "counter")).toBe("rate(x_total[$__rate_interval])");
  expect(typicalQuery("x_seconds", "histogram", own)).toBe('histogram_quantile(0.95, sum by (le) (rate(x_seconds_bucket{job="a"}[$__rate_interval])))');
  expect(typicalQuery("x_seconds_bucket", "unknown")).toBe("histogram_quantile(0.95, sum by (le) (rate(x_seconds_bucket[$__rate_interval])))");
  expect(typicalQuery("x_bytes", "gauge")).toBe("x_bytes");
});

it("expands the macros", () => {
  const over = { start: 0, end: 3600 };
  expect(expandMacros("rate(a[$__rate_interval]) + b[$__interval] $__range_s ${__range}", 10, over)).toBe("rate(a[60s]) + b[10s] 3600 3600s");
  expect(expandMacros("rate(a[$__rate_interval])", 120, over)).toBe("rate(a[135s])");
});

describe("families", () => {
  it("takes the series of a histogram for one metric, and leaves the rest", () => {
    const m = (name: string, type: string) => ({ name, type });
    expect(families([m("d_seconds_bucket", "histogram"), m("d_seconds_count", "histogram"), m("d_seconds_sum", "histogram"), m("queue_count", "gauge"), m("x_total", "counter")]))
      .toEqual([m("d_seconds", "histogram"), m("queue_count", "gauge"), m("x_total", "counter")]);
  });
});
