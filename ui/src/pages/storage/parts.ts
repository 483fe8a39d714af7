// What takes the space, as the parts of one bar; and where a column's name leads.
import type { ColumnPart, Storage } from "../../lib/api/storage";
import { logField, traceqlName } from "../../lib/filters";
import type { Interval } from "../../lib/time";

export interface Slice {
  id: string;
  label: string;
  /** what it is, in a sentence */
  title: string;
  bytes: number;
  colour: string;
}

const signals: Record<string, { label: string; colour: string }> = {
  metrics: { label: "Metrics", colour: "#4e9ae8" },
  spans: { label: "Spans", colour: "#e8833a" },
  logs: { label: "Logs", colour: "#3fb07f" },
  docs: { label: "Documents", colour: "#b7a32e" },
  exemplars: { label: "Exemplars", colour: "#d96aa7" },
};

export function signalLabel(signal: string): string {
  return signals[signal]?.label ?? signal;
}

/** All bytes of the segments, in the order of the bar; what is empty is left out. */
export function slices(s: Storage): Slice[] {
  const p = s.node.segments.parts;
  const out: Slice[] = s.signals.map((x) => ({
    id: x.signal, label: signalLabel(x.signal), title: "columns, samples and lists of series", bytes: x.bytes, colour: signals[x.signal]?.colour ?? "#8a94a3",
  }));
  out.push(
    { id: "words", label: "Index of words", title: "which blocks of logs and documents hold which words", bytes: p.words, colour: "#35b1c4" },
    { id: "trace_ids", label: "Index of trace ids", title: "which blocks hold which traces", bytes: p.trace_ids, colour: "#8d7be0" },
    { id: "directories", label: "Directories", title: "what a segment holds and where, with the least and greatest values", bytes: p.directories + p.padding, colour: "#7f8ea3" },
    { id: "other", label: "Other tenants", title: "rows of other tenants in the same segments", bytes: p.other_tenants, colour: "#5f6b7d" },
  );
  return out.filter((x) => x.bytes > 0);
}

/** The interval in which a signal's data surely is: its newest hour; undefined when nothing is sealed. */
export function newestHour(s: Storage, signal: string): Interval | undefined {
  const sums = s.signals.find((x) => x.signal === signal);
  if (!sums || sums.newest === null || sums.oldest === null) return undefined;
  return { start: Math.max(Math.floor(sums.oldest), Math.floor(sums.newest) - 3600), end: Math.ceil(sums.newest) + 1 };
}

const scopes = { row: "span", resource: "resource", scope: "instrumentation", event: "event", link: "link" } as const;

/** A TraceQL filter of the spans that have the attribute, or undefined where there is none. */
export function spansWith(c: ColumnPart): string | undefined {
  if (c.signal !== "spans" || !c.attribute || c.name === "") return undefined;
  return `{ ${traceqlName(`${scopes[c.relation]}.${c.name}`)} != nil }`;
}

/** A search of the records that have the attribute. */
export function logsWith(c: ColumnPart): string | undefined {
  if (c.signal !== "logs" || !c.attribute || c.name === "" || (c.relation !== "row" && c.relation !== "resource")) return undefined;
  const field = logField(c.relation === "resource" ? `resource.${c.name}` : `log.${c.name}`);
  return /^[\w.\-/@]+$/.test(field) ? `${field}:*` : undefined;
}

/** "resource service.name", "trace_id" */
export function columnLabel(c: ColumnPart): string {
  const name = c.name === "" ? "(others)" : c.name;
  return c.relation === "row" ? name : `${c.relation} ${name}`;
}

/** bytes received for each that is stored, or undefined where that cannot be told: nothing is sealed, or most waits in memory. */
export function ratio(s: Storage): number | undefined {
  const { received_bytes: received, sealed_bytes: sealed } = s.node.since_start;
  return sealed > 0 && received > sealed ? received / sealed : undefined;
}
