import { expect, it } from "vitest";
import type { Service } from "./api/native";
import { health, median, slowdown } from "./health";

function service(over: Partial<Service>): Service {
  const n = 8;
  return {
    name: "a", language: "go", spans: 100, requests: 100, errors: 0, p50_ms: 5, p95_ms: 20, p99_ms: 30, last_seen: 0,
    rate: Array(n).fill(1), error_rate: Array(n).fill(0), p95: Array(n).fill(20), ...over,
  };
}

it("a service that answers well is ok, one without requests idle", () => {
  expect(health(service({})).level).toBe("ok");
  expect(health(service({ requests: 0 })).level).toBe("idle");
});

it("errors now are worse than slowness, slowness worse than few errors", () => {
  const failing = health(service({ errors: 30, error_rate: [0, 0, 0, 0, 0, 0, 0.5, 0.5] }));
  const slow = health(service({ p95: [20, 20, 20, 20, 20, 20, 90, 90] }));
  const few = health(service({ errors: 2, error_rate: [0, 0, 0, 0, 0, 0, 0.02, 0.02] }));
  expect([failing.level, slow.level, few.level]).toEqual(["bad", "warn", "warn"]);
  expect(failing.score).toBeGreaterThan(slow.score);
  expect(slow.score).toBeGreaterThan(few.score);
  expect(failing.text).toBe("50 % errors");
  expect(slow.text).toBe("4.5× slower");
});

it("steps without requests do not count", () => {
  expect(slowdown(service({ p95: [null, null, null, null, null, null, 20, 20] }))).toBeUndefined();
  expect(median([null, 3, 1, null, 2])).toBe(2);
  expect(median([])).toBeUndefined();
});
