// Sessions and error groups out of the log search's buckets, and one session's story out of its events and traces.
import type { Bucket, LogRow } from "../../lib/api/quickwit";
import type { FoundTrace } from "../../lib/api/tempo";
import { plain } from "../../lib/api/tempo";

export interface SessionRow {
  id: string;
  /** unix seconds */
  first: number;
  last: number;
  views: number;
  clicks: number;
  errors: number;
}

const metricMs = (b: Bucket, name: string) => Number((b[name] as { value?: number } | undefined)?.value ?? 0) / 1e3;

function parts(b: Bucket, name: string): Map<string, number> {
  const buckets = (b[name] as { buckets?: Bucket[] } | undefined)?.buckets ?? [];
  return new Map(buckets.map((x) => [String(x.key), x.doc_count]));
}

export const sessionsMax = 200;

export const sessionAggs = {
  sessions: {
    terms: { field: "attributes.session.id", size: sessionsMax },
    aggs: { first: { min: { field: "timestamp_nanos" } }, last: { max: { field: "timestamp_nanos" } }, events: { terms: { field: "event_name", size: 20 } } },
  },
};

export function readSessions(buckets: Bucket[]): SessionRow[] {
  return buckets
    .map((b) => {
      const events = parts(b, "events");
      return {
        id: String(b.key), first: metricMs(b, "first"), last: metricMs(b, "last"),
        views: events.get("browser.navigation") ?? 0, clicks: events.get("browser.user_action.click") ?? 0, errors: events.get("exception") ?? 0,
      };
    })
    .sort((a, b) => b.last - a.last);
}

export interface ErrorRow {
  type: string;
  message: string;
  count: number;
  sessions: number;
  routes: string[];
  first: number;
  last: number;
}

export const errorAggs = {
  types: {
    terms: { field: "attributes.exception.type", size: 30, missing: "Error" },
    aggs: {
      messages: {
        terms: { field: "attributes.exception.message", size: 30 },
        aggs: {
          routes: { terms: { field: "attributes.url.template", size: 10 } },
          sessions: { cardinality: { field: "attributes.session.id" } },
          first: { min: { field: "timestamp_nanos" } },
          last: { max: { field: "timestamp_nanos" } },
        },
      },
    },
  },
};

export function readErrors(buckets: Bucket[]): ErrorRow[] {
  return buckets
    .flatMap((t) =>
      ((t["messages"] as { buckets?: Bucket[] } | undefined)?.buckets ?? []).map((m) => ({
        type: String(t.key), message: String(m.key), count: m.doc_count,
        sessions: Number((m["sessions"] as { value?: number } | undefined)?.value ?? 0),
        routes: [...parts(m, "routes").keys()], first: metricMs(m, "first"), last: metricMs(m, "last"),
      })),
    )
    .sort((a, b) => b.count - a.count);
}

// -- one session -------------------------------------------------------------------------------------------------------------

export interface Step {
  /** unix seconds */
  time: number;
  kind: "view" | "click" | "request" | "error" | "vital" | "other";
  text: string;
  detail: string;
  traceId?: string;
  spanId?: string;
  bad: boolean;
}

const text = (v: unknown) => (v === undefined || v === null ? "" : typeof v === "string" ? v : JSON.stringify(v));

function eventStep(row: LogRow): Step {
  const a = row.attributes ?? {};
  const base = { time: row.timestamp_nanos / 1e9, traceId: row.trace_id || undefined, spanId: row.span_id || undefined, bad: false };
  const where = text(a["url.template"] ?? a["url.path"]);
  switch (row.event_name) {
    case "browser.navigation":
      return { ...base, kind: "view", text: text(a["url.path"] ?? a["url.full"]) || where, detail: a["browser.navigation.same_document"] ? "change of route" : "page load" };
    case "browser.user_action.click":
      return { ...base, kind: "click", text: text((a["browser.element.attributes"] as Record<string, unknown> | undefined)?.["name"] ?? a["browser.element.attributes.name"] ?? a["browser.css_selector"] ?? a["browser.tag_name"]), detail: where };
    case "exception":
      return { ...base, kind: "error", text: `${text(a["exception.type"])}: ${text(a["exception.message"])}`, detail: where, bad: true };
    case "browser.web_vital":
      return { ...base, kind: "vital", text: `${text(a["browser.web_vital.name"]).toUpperCase()} ${text(a["browser.web_vital.value"])}`, detail: `${text(a["browser.web_vital.rating"])} ${where}`, bad: a["browser.web_vital.rating"] === "poor" };
    default:
      return { ...base, kind: "other", text: row.event_name || text((row.body as { message?: unknown } | undefined)?.message), detail: where };
  }
}

function requestSteps(t: FoundTrace): Step[] {
  return (t.spanSets ?? []).flatMap((set) =>
    set.spans.map((s): Step => {
      const a = Object.fromEntries((s.attributes ?? []).map((kv) => [kv.key, plain(kv.value)]));
      const status = Number(a["http.response.status_code"] ?? 0);
      const ms = Number(s.durationNanos) / 1e6;
      return {
        time: Number(s.startTimeUnixNano) / 1e9, kind: "request", text: `${text(s.name)} ${text(a["url.full"])}`.trim(),
        detail: `${status ? `${status} in ` : ""}${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`, traceId: t.traceID, spanId: s.spanID, bad: status >= 500,
      };
    }),
  );
}

/** Everything that happened in the session, in order of time. */
export function story(rows: LogRow[], traces: FoundTrace[]): Step[] {
  return [...rows.map(eventStep), ...traces.flatMap(requestSteps)].sort((a, b) => a.time - b.time);
}
