// Port 9090's API under /prometheus. Values stay numbers; the wire's texts are parsed here and nowhere else.
import type { Interval } from "../time";
import { call } from "./http";

const base = "/prometheus/api/v1";

export type Labels = Record<string, string>;

export interface Series {
  labels: Labels;
  /** unix seconds */
  times: number[];
  /** NaN where the series has no value */
  values: number[];
  /** a native histogram has these instead of plain values: count and sum at the same times */
  histogram?: boolean;
}

export interface Answer {
  type: "matrix" | "vector" | "scalar" | "string";
  series: Series[];
  /** the text of a string result */
  text?: string;
  warnings: string[];
  infos: string[];
}

interface WireSeries {
  metric: Labels;
  values?: [number, string][];
  value?: [number, string];
  histograms?: [number, { count: string; sum: string }][];
  histogram?: [number, { count: string; sum: string }];
}

interface Wire {
  data: { resultType: Answer["type"]; result: WireSeries[] | [number, string] };
  warnings?: string[];
  infos?: string[];
}

/** "+Inf" and "-Inf" are not what Number reads. */
export function parseValue(text: string): number {
  return text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : text === "NaN" ? NaN : Number(text);
}

function toSeries(w: WireSeries): Series {
  const floats = w.values ?? (w.value ? [w.value] : []);
  const hists = w.histograms ?? (w.histogram ? [w.histogram] : []);
  if (!floats.length && hists.length)
    return { labels: w.metric, times: hists.map((h) => h[0]), values: hists.map((h) => parseValue(h[1].count)), histogram: true };
  return { labels: w.metric, times: floats.map((v) => v[0]), values: floats.map((v) => parseValue(v[1])) };
}

function toAnswer(w: Wire): Answer {
  const rest = { warnings: w.warnings ?? [], infos: w.infos ?? [] };
  const { resultType, result } = w.data;
  if (resultType === "string") return { type: "string", series: [], text: (result as [number, string])[1], ...rest };
  if (resultType === "scalar") {
    const [t, v] = result as [number, string];
    return { type: "scalar", series: [{ labels: {}, times: [t], values: [parseValue(v)] }], ...rest };
  }
  return { type: resultType, series: (result as WireSeries[]).map(toSeries), ...rest };
}

export async function queryRange(query: string, over: Interval, step: number, signal?: AbortSignal): Promise<Answer> {
  const params = { query, start: over.start, end: over.end, step };
  return toAnswer(await call<Wire>(`${base}/query_range`, params, { signal, form: true }));
}

export async function query(queryText: string, time: number, signal?: AbortSignal): Promise<Answer> {
  return toAnswer(await call<Wire>(`${base}/query`, { query: queryText, time }, { signal, form: true }));
}

export interface Exemplar {
  labels: Labels;
  value: number;
  timestamp: number;
  traceId: string | undefined;
  spanId: string | undefined;
  series: Labels;
  /** it is no exemplar of a metric but a span of the same service at that time: its duration in seconds */
  span?: boolean;
}

interface WireExemplars {
  data: { seriesLabels: Labels; exemplars: { labels: Labels; value: string; timestamp: number }[] }[];
}

export async function exemplars(queryText: string, over: Interval, signal?: AbortSignal): Promise<Exemplar[]> {
  const params = { query: queryText, start: over.start, end: over.end };
  const w = await call<WireExemplars>(`${base}/query_exemplars`, params, { signal, form: true });
  return w.data.flatMap((s) =>
    s.exemplars.map((e) => ({
      labels: e.labels,
      value: parseValue(e.value),
      timestamp: e.timestamp,
      traceId: e.labels["trace_id"],
      spanId: e.labels["span_id"],
      series: s.seriesLabels,
    })),
  );
}

export interface Metadata {
  type: string;
  help: string;
  unit: string;
}

export async function metadata(signal?: AbortSignal): Promise<Record<string, Metadata[]>> {
  return (await call<{ data: Record<string, Metadata[]> }>(`${base}/metadata`, {}, { signal })).data;
}

export async function labelValues(label: string, over: Interval, match?: string, signal?: AbortSignal): Promise<string[]> {
  const params = { start: over.start, end: over.end, "match[]": match };
  return (await call<{ data: string[] }>(`${base}/label/${encodeURIComponent(label)}/values`, params, { signal })).data;
}

export async function labelNames(over: Interval, match?: string, signal?: AbortSignal): Promise<string[]> {
  const params = { start: over.start, end: over.end, "match[]": match };
  return (await call<{ data: string[] }>(`${base}/labels`, params, { signal })).data;
}

/** "name{a="b"}", as Prometheus writes a series. */
export function seriesName(labels: Labels): string {
  const { __name__: name = "", ...rest } = labels;
  const inside = Object.entries(rest).map(([k, v]) => `${k}="${v}"`).join(", ");
  return inside ? `${name}{${inside}}` : name || "{}";
}
