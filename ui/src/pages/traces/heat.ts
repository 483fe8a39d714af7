// Durations over time as a grid of counts, from `histogram_over_time(duration)`: rows are powers of two of seconds.
import type { MetricSeries } from "../../lib/api/tempo";
import type { Interval } from "../../lib/time";

export interface Heat {
  /** unix seconds: where each column ends; all are `step` long */
  times: number[];
  step: number;
  /** seconds: where each row ends, upwards; a row begins where the one below ends, the first at 0 */
  edges: number[];
  /** counts[row][column] */
  counts: number[][];
  max: number;
  total: number;
}

const most = 64;

/** The lower end of a row, in seconds. */
export function lowEdge(h: Heat, row: number): number {
  return row ? h.edges[row - 1]! : 0;
}

/** Gaps between the buckets that came are filled, so that the axis is even. */
export function heatOf(series: MetricSeries[], step: number): Heat {
  const times = [...new Set(series.flatMap((s) => s.times))].sort((a, b) => a - b);
  const column = new Map(times.map((t, i) => [t, i]));
  const got = series.map((s) => ({ edge: Number(s.labels["__bucket"]), s })).filter((g) => Number.isFinite(g.edge)).sort((a, b) => a.edge - b.edge);
  const used = got.filter((g) => g.s.values.some((v) => v > 0));
  const edges: number[] = [];
  for (const { edge } of used) {
    let below = edges.at(-1);
    while (below && below * 2 < edge * 0.99 && edges.length < most) edges.push((below *= 2));
    edges.push(edge);
  }
  const counts = edges.map(() => new Array<number>(times.length).fill(0));
  let max = 0, total = 0;
  for (const { edge, s } of used) {
    const row = counts[edges.indexOf(edge)]!;
    s.times.forEach((t, i) => {
      const n = s.values[i]!;
      row[column.get(t)!] = n;
      max = Math.max(max, n);
      total += n;
    });
  }
  return { times, step, edges, counts, max, total };
}

/** The duration (seconds, an edge of the grid) that the `wanted` slowest spans reach; 0 when there are not so many. */
export function slowest(h: Heat, wanted: number): number {
  let have = 0;
  for (let row = h.edges.length - 1; row > 0; row--) {
    have += h.counts[row]!.reduce((a, b) => a + b, 0);
    if (have >= wanted) return lowEdge(h, row);
  }
  return 0;
}

/** A part of the grid, as shares 0..1 from the left and from the bottom. */
export interface Box {
  left: number;
  right: number;
  bottom: number;
  top: number;
}

/** What a box over the drawing selects: a time range, and durations in seconds (undefined: no limit on that side). */
export function selected(h: Heat, over: Interval, box: Box): { over: Interval; min: number | undefined; max: number | undefined } {
  const length = over.end - over.start;
  const rows = h.edges.length;
  const at = (share: number) => {
    const y = share * rows, row = Math.min(rows - 1, Math.floor(y));
    const low = lowEdge(h, row), high = h.edges[row]!;
    return low > 0 ? low * (high / low) ** (y - row) : high * (y - row);
  };
  return {
    over: { start: over.start + length * box.left, end: over.start + length * box.right },
    min: box.bottom <= 0 || at(box.bottom) <= 0 ? undefined : at(box.bottom),
    max: box.top >= 1 ? undefined : at(box.top),
  };
}

/** A duration for TraceQL with three digits, rounded outwards: 0.0083886 -> "8.38ms" down, "8.39ms" up. */
export function durationText(seconds: number, up: boolean): string {
  const [unit, scale] = seconds >= 1 ? ["s", 1] : seconds >= 1e-3 ? ["ms", 1e3] : seconds >= 1e-6 ? ["us", 1e6] : (["ns", 1e9] as const);
  const n = seconds * scale;
  const power = unit === "ns" ? 1 : 10 ** (2 - Math.floor(Math.log10(Math.max(n, 1))));
  const whole = up ? Math.ceil(n * power - 1e-9) : Math.floor(n * power + 1e-9);
  return `${Number((whole / power).toFixed(3))}${unit}`;
}

/** Rate, share of errors, over time, from `rate() by (status)`. */
export function ratesOf(series: MetricSeries[]): { times: number[]; rate: number[]; errors: (number | null)[] } {
  const times = [...new Set(series.flatMap((s) => s.times))].sort((a, b) => a - b);
  const column = new Map(times.map((t, i) => [t, i]));
  const rate = times.map(() => 0), bad = times.map(() => 0);
  for (const s of series)
    s.times.forEach((t, i) => {
      rate[column.get(t)!]! += s.values[i]!;
      if (s.labels["status"] === "error") bad[column.get(t)!]! += s.values[i]!;
    });
  return { times, rate, errors: rate.map((n, i) => (n > 0 ? bad[i]! / n : null)) };
}
