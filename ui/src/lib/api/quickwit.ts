// Port 7280's search API under /quickwit, for the index that OTLP logs go to.
import type { Interval } from "../time";
import { call } from "./http";

export const logIndex = "otel-logs-v0_9";
const base = `/quickwit/api/v1/${logIndex}`;

/** A log row as the index keeps it. */
export interface LogRow {
  /** unix nanoseconds; above 2^53, so its last digits are not exact: use for order and display */
  timestamp_nanos: number;
  observed_timestamp_nanos?: number;
  service_name?: string;
  severity_text?: string;
  severity_number?: number;
  event_name?: string;
  body?: unknown;
  attributes?: Record<string, unknown>;
  resource_attributes?: Record<string, unknown>;
  trace_id?: string;
  span_id?: string;
  scope_name?: string;
}

export interface Bucket {
  key: string | number;
  key_as_string?: string;
  doc_count: number;
  [sub: string]: unknown;
}

export interface Found {
  hits: LogRow[];
  total: number;
  tookMs: number;
  aggs: Record<string, { buckets?: Bucket[]; value?: number; values?: unknown }>;
}

export interface Search {
  query: string;
  over: Interval;
  hits: number;
  offset?: number;
  /** Elasticsearch's aggregation requests */
  aggs?: Record<string, unknown>;
  /** oldest first instead of newest first */
  ascending?: boolean;
}

interface Wire {
  num_hits: number;
  hits?: LogRow[];
  elapsed_time_micros?: number;
  aggregations?: Found["aggs"];
}

/** Rows newest first. The interval's end is exclusive and whole seconds, as Quickwit has it: it is rounded up. */
export async function search(s: Search, signal?: AbortSignal): Promise<Found> {
  const body = {
    query: s.query,
    start_timestamp: Math.floor(s.over.start),
    end_timestamp: Math.ceil(s.over.end),
    max_hits: s.hits,
    start_offset: s.offset ?? 0,
    // Quickwit sorts the newest first by the bare name; a minus turns that round.
    sort_by: s.ascending ? "-timestamp_nanos" : "timestamp_nanos",
    ...(s.aggs ? { aggs: s.aggs } : {}),
  };
  const w = await call<Wire>(`${base}/search`, {}, { body, signal });
  return { hits: w.hits ?? [], total: w.num_hits, tookMs: (w.elapsed_time_micros ?? 0) / 1000, aggs: w.aggregations ?? {} };
}

/** The body as one text: OTLP bodies are kept as {"message": text} or as the structure they were. */
export function bodyText(row: LogRow): string {
  const b = row.body;
  if (b === undefined || b === null) return row.event_name ?? "";
  if (typeof b === "string") return b;
  if (typeof b === "object" && "message" in b && Object.keys(b).length === 1) return String((b as { message: unknown }).message);
  return JSON.stringify(b);
}

/** The index's fields, those of attributes among them, by name. */
export async function fields(signal?: AbortSignal): Promise<{ name: string; aggregatable: boolean }[]> {
  type Caps = { fields?: Record<string, Record<string, { aggregatable?: boolean }>> };
  const w = await call<Caps>(`/quickwit/api/v1/_elastic/${logIndex}/_field_caps`, { fields: "*" }, { signal });
  return Object.entries(w.fields ?? {}).map(([name, types]) => ({ name, aggregatable: Object.values(types).some((t) => t.aggregatable) }));
}

/** The most frequent values of a field among the rows that a query finds. */
export async function topValues(field: string, query: string, over: Interval, size: number, signal?: AbortSignal): Promise<{ total: number; buckets: Bucket[] }> {
  const found = await search({ query, over, hits: 0, aggs: { top: { terms: { field, size } } } }, signal);
  return { total: found.total, buckets: found.aggs["top"]?.buckets ?? [] };
}
