import { describe, expect, it } from "vitest";
import { clip, panned, schema, ticks, zoomed } from "./state";

describe("the stretch that is shown", () => {
  it("is read from and written to the URL", () => {
    expect(schema.at.read(["1200-45000.5"])).toEqual({ from: 1200, to: 45000.5 });
    for (const bad of ["", "5-5", "9-3", "a-b", "1-2-3", "-1-2"]) expect(schema.at.read([bad])).toBeUndefined();
    expect(schema.at.write({ from: 0.12345, to: 7 })).toEqual(["0.123-7"]);
    expect(schema.at.write(undefined)).toEqual([]);
  });
  it("stays inside the trace", () => {
    expect(clip(undefined, 100)).toEqual({ from: 0, to: 100 });
    expect(clip({ from: 50, to: 900 }, 100)).toEqual({ from: 50, to: 100 });
    expect(clip({ from: 500, to: 900 }, 100)).toEqual({ from: 0, to: 100 });
    expect(clip(undefined, 0)).toEqual({ from: 0, to: 1 });
    expect(panned({ from: 80, to: 100 }, 0.5, 100)).toEqual({ from: 80, to: 100 });
    expect(panned({ from: 5, to: 25 }, -0.5, 100)).toEqual({ from: 0, to: 20 });
    expect(zoomed({ from: 0, to: 100 }, 0.5, 0.5, 100)).toEqual({ from: 25, to: 75 });
    expect(zoomed({ from: 25, to: 75 }, 2, 0.5, 100)).toBeUndefined();
  });
});

describe("the ruler", () => {
  it("has round values, of the clock from half a minute on", () => {
    expect(ticks({ from: 0, to: 101_000 }, 6)).toEqual([0, 20_000, 40_000, 60_000, 80_000, 100_000]);
    expect(ticks({ from: 0, to: 3600e6 }, 6)).toEqual([0, 600e6, 1200e6, 1800e6, 2400e6, 3000e6, 3600e6]);
    expect(ticks({ from: 30, to: 31 }, 6).length).toBeLessThanOrEqual(7);
    expect(ticks({ from: 0, to: 1e15 }, 6).length).toBeLessThanOrEqual(7);
  });
});
