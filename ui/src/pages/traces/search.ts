// What the Traces page asks the node.
import { metricsRange, search, tags, tagValues } from "../../lib/api/tempo";
import { isResourceKey, traceqlCondition, traceqlName, traceqlNarrowed } from "../../lib/filters";
import { interval } from "../../lib/range";
import type { Interval } from "../../lib/time";
import { duration } from "../../lib/units";
import type { Suggestions } from "./TraceForm";
import { type Heat, heatOf, ratesOf } from "./heat";
import { type Summary, summary } from "./TraceRow";

/** matched spans of a trace that come with it */
const spansEach = 10;

/** The query, with what the list shows of the spans that match. Hints and the query's own select() stay as they are. */
export function searched(query: string): string {
  return /\bselect\s*\(|\bwith\s*\(/.test(query) ? query : `${query} | select(name, status, kind, resource.service.name)`;
}

export async function findTraces(query: string, over: Interval, limit: number, signal: AbortSignal): Promise<Summary[]> {
  return (await search(searched(query), over, limit, spansEach, signal)).traces.map(summary);
}

/** The query as the start of a metrics query: select() only adds to a list. */
export function measured(query: string): string {
  return query.replace(/\|\s*select\s*\([^()"`]*\)\s*$/, "").replace(/\bwith\s*\([^()]*\)\s*$/, "").trim();
}

/** What the list shows of all there is, in words. */
export function said(count: number, all: boolean, slow: boolean, bound: number): string {
  const n = count.toLocaleString("en");
  const traces = count === 1 ? "trace" : "traces";
  if (slow && bound) return `The ${n} slowest ${traces} with a matching span of at least ${duration(bound)}`;
  if (all) return `${n} ${traces}, ${slow ? "slowest" : "newest"} first`;
  return slow ? `The slowest of the ${n} newest traces; more match` : `The ${n} newest traces of at least ${(count + 1).toLocaleString("en")}`;
}

export interface Charts {
  heat: Heat;
  rates: ReturnType<typeof ratesOf>;
  p95: { times: number[]; values: number[] };
}

export async function measure(query: string, over: Interval, step: number, signal: AbortSignal): Promise<Charts> {
  const q = measured(query);
  const [heat, rates, p95] = await Promise.all([
    metricsRange(`${q} | histogram_over_time(duration)`, over, step, signal),
    metricsRange(`${q} | rate() by (status)`, over, step, signal),
    metricsRange(`${q} | quantile_over_time(duration, .95)`, over, step, signal),
  ]);
  return { heat: heatOf(heat, step), rates: ratesOf(rates), p95: { times: p95[0]?.times ?? [], values: p95[0]?.values ?? [] } };
}

async function names(signal: AbortSignal): Promise<string[]> {
  const scopes = await tags(interval.peek(), signal);
  return scopes.flatMap((s) => (s.name === "resource" || s.name === "span" ? s.tags.map((t) => (s.name === "resource" && isResourceKey(t) ? t : `${s.name}.${t}`)) : []));
}

async function values(name: string, service: string, signal: AbortSignal): Promise<string[]> {
  const q = service ? traceqlNarrowed("", [traceqlCondition("service.name", "=", service)]) : undefined;
  return (await tagValues(traceqlName(name), interval.peek(), q, signal)).sort();
}

export const suggestions: Suggestions = { names, values };
