// A service's operations and error groups, put together from TraceQL metrics over the whole interval.
import { metricsRange, type MetricSeries } from "../../lib/api/tempo";
import { quoted } from "../../lib/filters";
import type { Interval } from "../../lib/time";

export interface Operation {
  name: string;
  requests: number;
  errors: number;
  p50: number | null;
  p95: number | null;
}

export interface ErrorGroup {
  operation: string;
  message: string;
  count: number;
}

function label(s: MetricSeries, key: string): string {
  const v = s.labels[key];
  return v === undefined || v === null || v === "nil" ? "" : String(v);
}

function sum(s: MetricSeries): number {
  return s.values.reduce((a, b) => a + b, 0);
}

/** The largest of the steps' values: with one step for the interval, the value of the whole. */
function top(s: MetricSeries | undefined): number | null {
  return s && s.values.length ? Math.max(...s.values) : null;
}

export function merge(counts: MetricSeries[], errors: MetricSeries[], quantiles: MetricSeries[]): Operation[] {
  const failed = new Map(errors.map((s) => [label(s, "name"), sum(s)]));
  const at = (name: string, q: number) => top(quantiles.find((s) => label(s, "name") === name && Math.abs(Number(s.labels["p"]) - q) < 1e-6));
  return counts
    .map((s) => {
      const name = label(s, "name");
      return { name, requests: sum(s), errors: failed.get(name) ?? 0, p50: at(name, 0.5), p95: at(name, 0.95) };
    })
    .sort((a, b) => b.requests - a.requests);
}

export function groups(series: MetricSeries[]): ErrorGroup[] {
  return series
    .map((s) => ({ operation: label(s, "name"), message: label(s, "statusMessage"), count: sum(s) }))
    .filter((g) => g.count > 0)
    .sort((a, b) => b.count - a.count);
}

/** One step that holds the whole interval. */
function whole(over: Interval): number {
  return Math.max(1, Math.ceil(over.end - over.start));
}

export async function operations(service: string, over: Interval, signal: AbortSignal): Promise<Operation[]> {
  const spans = `resource.service.name = ${quoted(service)} && (kind = server || kind = consumer)`;
  const ask = (filter: string, f: string) => metricsRange(`{ ${filter} } | ${f} by (name)`, over, whole(over), signal);
  const [counts, errors, quantiles] = await Promise.all([
    ask(spans, "count_over_time()"),
    ask(`${spans} && status = error`, "count_over_time()"),
    ask(spans, "quantile_over_time(duration, .5, .95)"),
  ]);
  return merge(counts, errors, quantiles);
}

export async function errorGroups(service: string, over: Interval, signal: AbortSignal): Promise<ErrorGroup[]> {
  const q = `{ resource.service.name = ${quoted(service)} && status = error } | count_over_time() by (name, statusMessage)`;
  return groups(await metricsRange(q, over, whole(over), signal));
}
