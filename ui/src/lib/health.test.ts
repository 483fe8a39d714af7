import { expect, it } from "vitest";
import type { Service } from "./api/native";
import { health, median, slowdown } from "./health";

function service(over: Partial<Service>): Service {
  const n = 8;
  return {
    name: "a", language: "go", spans: 100, requests: 100, errors: 0, p50_ms: 5, p95_ms: 20, p99_ms: 30, last_seen: 990,
    rate: Array(n).fill(1), error_rate: Array(n).fill(0), p95: Array(n).fill(20), ...over,
  };
}

const end = 1000;
const judge = (s: Service) => health(s, end);

it("a service that answers well is ok, one without requests idle", () => {
  expect(judge(service({})).level).toBe("ok");
  expect(judge(service({ requests: 0 })).level).toBe("idle");
});

it("errors now are worse than slowness, slowness worse than few errors", () => {
  const failing = judge(service({ errors: 30, error_rate: [0, 0, 0, 0, 0, 0, 0.5, 0.5] }));
  const slow = judge(service({ p95: [20, 20, 20, 20, 20, 20, 90, 90] }));
  const few = judge(service({ errors: 2, error_rate: [0, 0, 0, 0, 0, 0, 0.02, 0.02] }));
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

it("a service that stopped sending is the worst of all", () => {
  const gone = judge(service({ last_seen: 700 }));
  expect(gone).toMatchObject({ level: "bad", text: "silent for 5 min 0 s" });
  expect(gone.score).toBeGreaterThan(judge(service({ errors: 90, error_rate: Array(8).fill(0.9) })).score);
  expect(judge(service({ last_seen: 900 })).level).toBe("ok");
});
