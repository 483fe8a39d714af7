// Series of several queries as the chart wants them: one list of times, a value or null of each series at each.
import { type Answer, seriesName } from "../../lib/api/prometheus";
import { seriesColour } from "../../lib/colour";
import type { ChartSeries } from "../../components/Chart";

/** As many series as a chart can show so that one still tells them apart. */
export const shownMax = 60;

export interface FrameSeries extends ChartSeries {
  last: number;
  min: number;
  max: number;
  mean: number;
}

export interface Frame {
  times: number[];
  series: FrameSeries[];
  /** series that were left out */
  hidden: number;
}

function stats(values: (number | null)[]): { last: number; min: number; max: number; mean: number } {
  let last = NaN, min = Infinity, max = -Infinity, sum = 0, n = 0;
  for (const v of values) {
    if (v === null) continue;
    last = v;
    if (v < min) min = v;
    if (v > max) max = v;
    sum += v;
    n++;
  }
  return n ? { last, min, max, mean: sum / n } : { last: NaN, min: NaN, max: NaN, mean: NaN };
}

/** `answers` in the order of the queries; `names` ("A", "B") stand before the labels when there is more than one query. */
export function toFrame(answers: { name: string; answer: Answer }[], start: number, end: number, step: number): Frame {
  const count = Math.floor((end - start) / step + 1e-9) + 1;
  const times = Array.from({ length: count }, (_, i) => start + i * step);
  const all: FrameSeries[] = [];
  const many = answers.length > 1;
  for (const { name, answer } of answers) {
    answer.series.forEach((s) => {
      const values = Array<number | null>(count).fill(null);
      s.times.forEach((t, i) => {
        const at = Math.round((t - start) / step);
        const v = s.values[i]!;
        if (at >= 0 && at < count) values[at] = Number.isFinite(v) ? v : null;
      });
      all.push({ label: (many ? `${name}: ` : "") + (seriesName(s.labels) || name), colour: "", values, ...stats(values) });
    });
  }
  const kept = all.length > shownMax ? [...all].sort((a, b) => (b.mean || 0) - (a.mean || 0)).slice(0, shownMax) : all;
  kept.forEach((s, i) => (s.colour = seriesColour(i)));
  return { times, series: kept, hidden: all.length - kept.length };
}
