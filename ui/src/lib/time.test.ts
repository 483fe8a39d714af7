import { describe, expect, it } from "vitest";
import { ago, niceStep, parseDuration, parseTime, rangeLabel, resolve } from "./time";

const now = 1_790_000_000;

describe("parseDuration", () => {
  it("reads units in a row", () => {
    expect(parseDuration("1h30m")).toBe(5400);
    expect(parseDuration("250ms")).toBe(0.25);
    expect(parseDuration("1.5h")).toBe(5400);
  });
  it("refuses what is none", () => {
    for (const t of ["", "15", "m", "15 m", "-5m", "1x"]) expect(parseDuration(t)).toBeUndefined();
  });
});

describe("parseTime", () => {
  it("reads relative, epoch and dates", () => {
    expect(parseTime("now", now)).toBe(now);
    expect(parseTime("now-15m", now)).toBe(now - 900);
    expect(parseTime("now + 1h", now)).toBe(now + 3600);
    expect(parseTime("1790000000", now)).toBe(now);
    expect(parseTime("1790000000250", now)).toBe(now + 0.25);
    expect(parseTime("1790000000250000000", now)).toBeCloseTo(now + 0.25, 6);
    expect(parseTime("2026-11-22T14:00:00Z", now)).toBe(Date.UTC(2026, 10, 22, 14) / 1000);
  });
  it("refuses what is none", () => {
    for (const t of ["", "yesterday", "now-", "now-5", "12", "2026"]) expect(parseTime(t, now)).toBeUndefined();
  });
});

describe("resolve", () => {
  it("wants the earlier first", () => {
    expect(resolve("now", "now-1h", now)).toBeUndefined();
    expect(resolve("now-1h", "now", now)).toEqual({ start: now - 3600, end: now });
  });
});

it("niceStep gives at most the points asked for", () => {
  for (const [span, points] of [[900, 300], [86400, 200], [30 * 86400, 500]] as const) {
    const step = niceStep({ start: now - span, end: now }, points);
    expect(span / step).toBeLessThanOrEqual(points);
  }
});

it("labels a range as people say it", () => {
  expect(rangeLabel("now-15m", "now", "utc", now)).toBe("Last 15 min");
  expect(rangeLabel("now-15m", "now-5m", "utc", now)).toBe("now-15m to now-5m");
  expect(rangeLabel("2026-11-22T14:00:00Z", "2026-11-22T15:00:00Z", "utc", now)).toBe("2026-11-22 14:00:00 to 2026-11-22 15:00:00");
});

it("says how long ago", () => {
  expect(ago(now - 2, now)).toBe("just now");
  expect(ago(now - 30, now)).toBe("30 s ago");
  expect(ago(now - 600, now)).toBe("10 min ago");
  expect(ago(now - 7200, now)).toBe("2 h ago");
});
