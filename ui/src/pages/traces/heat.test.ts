import { describe, expect, it } from "vitest";
import type { MetricSeries } from "../../lib/api/tempo";
import { durationText, heatOf, ratesOf, selected, slowest } from "./heat";

const series = (labels: Record<string, unknown>, times: number[], values: number[]): MetricSeries => ({ labels, times, values, exemplars: [] });
const heat = heatOf([series({ __bucket: 8 }, [10, 20], [0, 1]), series({ __bucket: 1 }, [10, 20], [5, 2]), series({ __bucket: 64 }, [10, 20], [0, 0]), series({ __bucket: "x" }, [10], [9])], 10);

describe("the heat map", () => {
  it("is an even grid of what came", () => {
    expect(heat.edges).toEqual([1, 2, 4, 8]);
    expect(heat.counts).toEqual([[5, 2], [0, 0], [0, 0], [0, 1]]);
    expect([heat.max, heat.total]).toEqual([5, 8]);
    expect(heatOf([], 10)).toEqual({ times: [], step: 10, edges: [], counts: [], max: 0, total: 0 });
  });
  it("keeps zero durations, in a row of their own", () => {
    expect(heatOf([series({ __bucket: 0 }, [1], [3]), series({ __bucket: 0.001 }, [1], [1])], 1).edges).toEqual([0, 0.001]);
  });
  it("knows where the slowest begin", () => {
    expect([slowest(heat, 1), slowest(heat, 2), slowest(heatOf([], 1), 5)]).toEqual([4, 0, 0]);
  });
  it("selects times and durations", () => {
    const over = { start: 0, end: 100 };
    expect(selected(heat, over, { left: 0.1, right: 0.5, bottom: 0.25, top: 0.75 })).toEqual({ over: { start: 10, end: 50 }, min: 1, max: 4 });
    expect(selected(heat, over, { left: 0, right: 1, bottom: 0, top: 1 })).toEqual({ over, min: undefined, max: undefined });
    expect(selected(heat, over, { left: 0, right: 1, bottom: 0.875, top: 1 }).min).toBeCloseTo(4 * Math.SQRT2);
  });
  it("writes durations rounded outwards", () => {
    expect([durationText(0.008388608, false), durationText(0.008388608, true)]).toEqual(["8.38ms", "8.39ms"]);
    expect([durationText(2, false), durationText(2, true), durationText(0.5, true), durationText(1e-9, false), durationText(123.456, true)]).toEqual(["2s", "2s", "500ms", "1ns", "124s"]);
  });
});

describe("rates", () => {
  it("adds up the states", () => {
    const r = ratesOf([series({ status: "error" }, [1, 2], [1, 0]), series({ status: "unset" }, [1, 2, 3], [3, 0, 2])]);
    expect(r).toEqual({ times: [1, 2, 3], rate: [4, 0, 2], errors: [0.25, null, 0] });
  });
});
