// Port 3200's API under /tempo: search, traces by id, tags, TraceQL metrics.
import type { Interval } from "../time";
import { call } from "./http";

const base = "/tempo/api";

/** OTLP/JSON's AnyValue. */
export interface AnyValue {
  stringValue?: string;
  intValue?: string | number;
  doubleValue?: number | string;
  boolValue?: boolean;
  arrayValue?: { values?: AnyValue[] };
  kvlistValue?: { values?: KeyValue[] };
  bytesValue?: string;
}

export interface KeyValue {
  key: string;
  value?: AnyValue;
}

/** The value as a plain one; lists and maps as JSON would have them. */
export function plain(v: AnyValue | undefined): unknown {
  if (!v) return undefined;
  if (v.stringValue !== undefined) return v.stringValue;
  if (v.intValue !== undefined) return Number.isSafeInteger(Number(v.intValue)) ? Number(v.intValue) : String(v.intValue);
  if (v.doubleValue !== undefined) return Number(v.doubleValue);
  if (v.boolValue !== undefined) return v.boolValue;
  if (v.arrayValue) return (v.arrayValue.values ?? []).map(plain);
  if (v.kvlistValue) return Object.fromEntries((v.kvlistValue.values ?? []).map((kv) => [kv.key, plain(kv.value)]));
  return v.bytesValue;
}

export interface FoundSpan {
  spanID: string;
  name?: string;
  startTimeUnixNano: string;
  durationNanos: string;
  attributes?: KeyValue[];
}

export interface FoundTrace {
  traceID: string;
  rootServiceName?: string;
  rootTraceName?: string;
  startTimeUnixNano: string;
  durationMs?: number;
  spanSets?: { spans: FoundSpan[]; matched: number; attributes?: KeyValue[] }[];
  serviceStats?: Record<string, { spanCount: number; errorCount?: number }>;
}

export interface SearchAnswer {
  traces: FoundTrace[];
  metrics?: Record<string, unknown>;
}

export async function search(q: string, over: Interval, limit: number, spss: number, signal?: AbortSignal): Promise<SearchAnswer> {
  const params = { q, start: Math.floor(over.start), end: Math.ceil(over.end), limit, spss };
  const w = await call<SearchAnswer>(`${base}/search`, params, { signal });
  return { traces: w.traces ?? [], metrics: w.metrics };
}

export interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name?: string;
  kind?: string | number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: KeyValue[];
  events?: { timeUnixNano: string; name?: string; attributes?: KeyValue[] }[];
  links?: { traceId: string; spanId: string; attributes?: KeyValue[] }[];
  status?: { code?: string | number; message?: string };
  traceState?: string;
}

export interface OtlpTrace {
  resourceSpans?: {
    resource?: { attributes?: KeyValue[] };
    scopeSpans?: { scope?: { name?: string; version?: string }; spans?: OtlpSpan[] }[];
  }[];
}

/** A whole trace. 404 is an ApiError with that status. */
export async function trace(id: string, signal?: AbortSignal): Promise<{ trace: OtlpTrace; partial: boolean }> {
  const w = await call<{ trace?: OtlpTrace; status?: string }>(`${base}/v2/traces/${encodeURIComponent(id)}`, {}, { signal });
  return { trace: w.trace ?? {}, partial: w.status === "PARTIAL" };
}

export async function tags(over: Interval, signal?: AbortSignal): Promise<{ name: string; tags: string[] }[]> {
  const params = { start: Math.floor(over.start), end: Math.ceil(over.end) };
  return (await call<{ scopes?: { name: string; tags?: string[] }[] }>(`${base}/v2/search/tags`, params, { signal })).scopes
    ?.map((s) => ({ name: s.name, tags: s.tags ?? [] })) ?? [];
}

/** Values of a scoped tag such as "resource.service.name", narrowed by a spanset filter. */
export async function tagValues(tag: string, over: Interval, q?: string, signal?: AbortSignal): Promise<string[]> {
  const params = { start: Math.floor(over.start), end: Math.ceil(over.end), q };
  const path = `${base}/v2/search/tag/${encodeURIComponent(tag)}/values`;
  const w = await call<{ tagValues?: { type: string; value: string }[] }>(path, params, { signal });
  return (w.tagValues ?? []).map((v) => v.value);
}

export interface MetricSeries {
  labels: Record<string, unknown>;
  times: number[];
  values: number[];
  exemplars: { traceId: string | undefined; spanId: string | undefined; value: number; timestamp: number }[];
}

interface WireMetrics {
  series?: {
    labels?: KeyValue[];
    samples?: { timestampMs: string | number; value?: number }[];
    exemplars?: { labels?: KeyValue[]; value?: number; timestampMs: string | number }[];
  }[];
}

function labelOf(labels: KeyValue[] | undefined, key: string): string | undefined {
  const v = plain(labels?.find((l) => l.key === key)?.value);
  return v === undefined ? undefined : String(v);
}

/** A TraceQL metrics query over time, e.g. `{ } | rate() by (resource.service.name)`; `step` in seconds. */
export async function metricsRange(q: string, over: Interval, step: number, signal?: AbortSignal): Promise<MetricSeries[]> {
  const params = { q, start: Math.floor(over.start), end: Math.ceil(over.end), step: `${step}s`, exemplars: 100 };
  const w = await call<WireMetrics>(`${base}/metrics/query_range`, params, { signal });
  return (w.series ?? []).map((s) => ({
    labels: Object.fromEntries((s.labels ?? []).map((l) => [l.key, plain(l.value)])),
    times: (s.samples ?? []).map((p) => Number(p.timestampMs) / 1000),
    values: (s.samples ?? []).map((p) => p.value ?? 0),
    exemplars: (s.exemplars ?? []).map((e) => ({
      traceId: labelOf(e.labels, "trace:id"),
      spanId: labelOf(e.labels, "span:id"),
      value: e.value ?? 0,
      timestamp: Number(e.timestampMs) / 1000,
    })),
  }));
}
