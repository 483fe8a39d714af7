import { useRef } from "preact/hooks";
import { Empty } from "../../components/Empty";
import { Link } from "../../components/Link";
import { serviceColour } from "../../lib/colour";
import { toLogs } from "../../lib/links";
import type { Interval } from "../../lib/time";
import type { Span, Trace } from "../../lib/trace";
import { duration } from "../../lib/units";
import { useWindow } from "../../lib/window";
import type { TraceLog } from "./logs";
import "./TraceLogs.css";

const rowHeight = 24;

/** All log lines of the trace in time order; a click opens the line's span. */
export function TraceLogs(p: { trace: Trace; logs: TraceLog[]; total: number; over: Interval; open: number | undefined; onOpen: (s: Span) => void }) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useWindow(box, p.logs.length, rowHeight);
  if (!p.logs.length)
    return <Empty title="No log line names this trace">Logs are tied to a trace by their trace_id: let the logging library of the service send it, or its OpenTelemetry log bridge.</Empty>;
  return (
    <div class="trace-logs">
      <div class="trace-logs-scroll" ref={box} tabIndex={0} role="region" aria-label="Log lines">
        <ol style={{ height: `${p.logs.length * rowHeight}px`, paddingTop: `${shown.first * rowHeight}px` }}>
          {p.logs.slice(shown.first, shown.end).map((l, i) => (
            <li key={shown.first + i} class="trace-log" data-severity={l.severity} data-open={l.span && l.span.index === p.open ? "" : undefined}>
              <span class="quiet number">{l.at < 0 ? "−" : "+"}{duration(Math.abs(l.at) / 1e6)}</span>
              <b class="trace-log-severity">{l.row.severity_text || l.severity}</b>
              <span class="cut"><i style={{ background: serviceColour(l.row.service_name ?? "") }} aria-hidden="true" /> {l.row.service_name}</span>
              {l.span ? <button type="button" class="plain cut" onClick={() => p.onOpen(l.span!)} title="Open its span">{l.span.name || "(no name)"}</button> : <span class="quiet">no span</span>}
              <span class="mono cut" title={l.text.slice(0, 2000)}>{l.text.slice(0, 500)}</span>
            </li>
          ))}
        </ol>
      </div>
      <footer class="row">
        <span class="quiet">{p.total > p.logs.length ? `The first ${p.logs.length.toLocaleString("en")} of ${p.total.toLocaleString("en")} lines` : `${p.logs.length.toLocaleString("en")} ${p.logs.length === 1 ? "line" : "lines"}`}</span>
        <Link to={toLogs(`trace_id:${p.trace.id}`, p.over)}>Open in Logs</Link>
      </footer>
    </div>
  );
}
