// Exemplars as dots on the graph. Where the graph shows the measured quantity itself (quantiles, plain values) a dot
// stands at its own value; over a rate it stands on the line at its time.
import type { Mark } from "../../components/Chart";
import type { Exemplar } from "../../lib/api/prometheus";
import type { Frame } from "./frame";

const showsValues = /histogram_quantile|histogram_avg|_sum|quantile_over_time/;

export function marksOf(exemplars: Exemplar[], frame: Frame, queries: string[]): Mark[] {
  if (!frame.times.length || !frame.series.length) return [];
  const own = queries.some((q) => showsValues.test(q));
  const step = frame.times.length > 1 ? frame.times[1]! - frame.times[0]! : 1;
  return exemplars.map((e) => {
    const at = Math.min(frame.times.length - 1, Math.max(0, Math.round((e.timestamp - frame.times[0]!) / step)));
    const line = Math.max(...frame.series.map((s) => s.values[at] ?? 0));
    return { time: e.timestamp, value: own ? e.value : line, label: `${e.span ? "span" : "exemplar"}${e.traceId ? `, trace ${e.traceId.slice(0, 8)}` : ""}` };
  });
}

const columns = 80, rows = 10;

/** At most one exemplar in each cell of a raster over time and value (by powers of its size): the largest stays. */
export function thin(exemplars: Exemplar[], start: number, end: number): Exemplar[] {
  const top = Math.max(...exemplars.map((e) => e.value), Number.MIN_VALUE);
  const cells = new Map<string, Exemplar>();
  for (const e of exemplars) {
    const x = Math.floor(((e.timestamp - start) / (end - start)) * columns);
    const y = e.value > 0 ? Math.min(rows, Math.floor(-2 * Math.log2(e.value / top))) : rows;
    const cell = `${x} ${y}`;
    const there = cells.get(cell);
    if (!there || e.value > there.value) cells.set(cell, e);
  }
  return [...cells.values()].sort((a, b) => b.timestamp - a.timestamp);
}
