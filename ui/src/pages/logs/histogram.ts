// The logs' histogram: from the search's aggregation to stacked series by severity, with the empty steps filled in.
import type { ChartSeries } from "../../components/Chart";
import type { Bucket } from "../../lib/api/quickwit";
import { type Severity, severityOf } from "../../lib/colour";
import { type Interval, niceStep, stepStarts } from "../../lib/time";

const bars = 60;
/** the most severe at the bottom, so that errors stand on the axis */
const order: Severity[] = ["fatal", "error", "warn", "info", "debug", "trace", "unset"];

export function stepOf(over: Interval): number {
  return niceStep(over, bars);
}

export function aggregation(step: number): Record<string, unknown> {
  return {
    over_time: {
      date_histogram: { field: "timestamp_nanos", fixed_interval: `${step}s`, min_doc_count: 1 },
      aggs: { severity: { terms: { field: "severity_text", size: 30 } } },
    },
  };
}

/** `colour` tells the colour of a severity as the theme has it. */
export function toSeries(buckets: Bucket[], over: Interval, step: number, colour: (s: Severity) => string): { times: number[]; series: ChartSeries[] } {
  const times = stepStarts(over, step);
  const first = times[0]!, count = times.length;
  const sums = new Map<Severity, number[]>();
  const add = (s: Severity, at: number, n: number) => {
    if (at < 0 || at >= count || n <= 0) return;
    if (!sums.has(s)) sums.set(s, Array<number>(count).fill(0));
    sums.get(s)![at]! += n;
  };
  for (const b of buckets) {
    const at = Math.round((Number(b.key) / 1000 - first) / step);
    const parts = (b["severity"] as { buckets?: Bucket[] } | undefined)?.buckets ?? [];
    let known = 0;
    for (const p of parts) {
      known += p.doc_count;
      add(severityOf(undefined, String(p.key)), at, p.doc_count);
    }
    add("unset", at, b.doc_count - known);
  }
  return { times, series: order.filter((s) => sums.has(s)).map((s) => ({ label: s, colour: colour(s), values: sums.get(s)! })) };
}
