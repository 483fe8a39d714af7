import { ServiceName } from "../../components/ServiceName";
import { bodyText, type LogRow } from "../../lib/api/quickwit";
import { severityOf } from "../../lib/colour";
import { now, zone } from "../../lib/range";
import { clock } from "../../lib/time";
import "./LogLine.css";

/** What tells a row from the others in sight; survives a reload. */
export function rowKey(row: LogRow, index: number): string {
  return `${row.timestamp_nanos}.${row.span_id ?? ""}.${index}`;
}

const unsaid = new Set(["session.id", "browser.document.url.full", "url.full", "url.path", "browser.web_vital.id", "browser.web_vital.delta", "exception.stacktrace"]);

/** A row in short: what an event without a body says is in its attributes, the long and the common ones left out. */
export function summary(row: LogRow): string {
  const text = bodyText(row);
  if (text && text !== row.event_name) return text;
  const a = row.attributes ?? {};
  const prefix = row.event_name ? row.event_name + "." : "";
  const says = Object.keys(a).filter((k) => !unsaid.has(k)).sort((x, y) => Number(y.startsWith(prefix)) - Number(x.startsWith(prefix)))
    .map((k) => `${k.startsWith(prefix) ? k.slice(prefix.length) : k}=${typeof a[k] === "string" ? a[k] : JSON.stringify(a[k])}`);
  return [row.event_name, says.join(" ")].filter(Boolean).join(" ");
}

/** One line of the list: time, severity, service, body. */
export function LogLine(p: { row: LogRow; wrap: boolean; selected: boolean; onOpen: () => void }) {
  const { row } = p;
  const severity = severityOf(row.severity_number, row.severity_text);
  return (
    <button type="button" class="log-line" data-wrap={p.wrap ? "" : undefined} aria-pressed={p.selected} onClick={p.onOpen}>
      <span class="log-bar" style={{ background: `var(--severity-${severity})` }} aria-hidden="true" />
      <span class="log-time quiet">{clock(row.timestamp_nanos / 1e9, zone.value, now.value, true)}</span>
      <span class="log-severity" data-severity={severity}>{row.severity_text ?? ""}</span>
      <span class="log-service"><ServiceName name={row.service_name ?? ""} /></span>
      <span class="log-body">{summary(row).slice(0, p.wrap ? 20_000 : 600)}</span>
    </button>
  );
}
