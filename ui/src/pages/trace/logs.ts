// The log lines of a trace, each at its place in the trace's time and, when it names one, at its span.
import { bodyText, type LogRow } from "../../lib/api/quickwit";
import { severityOf, type Severity } from "../../lib/colour";
import { hexId, microsOf, type Span, type Trace } from "../../lib/trace";

export interface TraceLog {
  row: LogRow;
  /** microseconds since the trace's start, in the corrected time of its span */
  at: number;
  severity: Severity;
  text: string;
  span: Span | undefined;
}

/** The body; of an event without one what went wrong, or its name. */
function lineText(row: LogRow): string {
  const { "exception.type": type, "exception.message": message } = row.attributes ?? {};
  if ((row.body === undefined || row.body === null) && message !== undefined) return type === undefined ? String(message) : `${type}: ${message}`;
  return bodyText(row);
}

/** In time order. */
export function placeLogs(trace: Trace, rows: LogRow[]): TraceLog[] {
  const byId = new Map<string, Span>();
  for (const s of trace.spans) if (s.id && !byId.has(s.id)) byId.set(s.id, s);
  const logs = rows.map((row) => {
    const span = byId.get(hexId(row.span_id));
    const text = lineText(row);
    return { row, span, text, severity: severityOf(row.severity_number, row.severity_text), at: microsOf(trace, row.timestamp_nanos) + (span?.shift ?? 0) };
  });
  return logs.sort((a, b) => a.at - b.at);
}

/** The lines of each span, by its index. */
export function logsBySpan(logs: TraceLog[]): Map<number, TraceLog[]> {
  const out = new Map<number, TraceLog[]>();
  for (const l of logs) {
    if (!l.span) continue;
    const have = out.get(l.span.index);
    if (have) have.push(l);
    else out.set(l.span.index, [l]);
  }
  return out;
}
