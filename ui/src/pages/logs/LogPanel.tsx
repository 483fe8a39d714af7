import { Copy } from "../../components/Copy";
import { Fields } from "../../components/Fields";
import { Link } from "../../components/Link";
import { ServiceName } from "../../components/ServiceName";
import { type PanelTab, SidePanel } from "../../components/SidePanel";
import { bodyText, type LogRow } from "../../lib/api/quickwit";
import { logQuery } from "../../lib/filters";
import { near, toLogs, toService, toServiceMetrics, toSession, toTrace } from "../../lib/links";
import { zone } from "../../lib/range";
import { dateTime } from "../../lib/time";

const contextSeconds = 30;

/** The body as people read it: JSON laid out, text as it is. */
export function pretty(row: LogRow): string {
  if (row.body && typeof row.body === "object" && !("message" in row.body && Object.keys(row.body).length === 1)) return JSON.stringify(row.body, null, 2);
  const text = bodyText(row);
  try {
    const j: unknown = JSON.parse(text);
    return j && typeof j === "object" ? JSON.stringify(j, null, 2) : text;
  } catch {
    return text;
  }
}

function Details({ row }: { row: LogRow }) {
  const stack = row.attributes?.["exception.stacktrace"];
  const rest = Object.fromEntries(Object.entries(row.attributes ?? {}).filter(([k]) => k !== "exception.stacktrace"));
  return (
    <div class="stack">
      <div>
        <div class="row"><h3 class="grow">{row.event_name ? `Event ${row.event_name}` : "Body"}</h3><Copy text={pretty(row)} what="the body" /></div>
        <pre>{pretty(row)}</pre>
      </div>
      {typeof stack === "string" && <div><h3>Stack trace</h3><pre>{stack}</pre></div>}
      <div><h3>Attributes</h3><Fields fields={rest} prefix="log." /></div>
      <div><h3>Resource</h3><Fields fields={{ ...row.resource_attributes, ...(row.service_name ? { "service.name": row.service_name } : {}) }} prefix="resource." /></div>
    </div>
  );
}

function Related({ row }: { row: LogRow }) {
  const time = row.timestamp_nanos / 1e9;
  const own = row.service_name ? [{ key: "service.name", op: "=" as const, value: row.service_name }] : [];
  const session = row.attributes?.["session.id"];
  return (
    <div class="stack">
      {row.trace_id
        ? <Link class="button primary-link" to={toTrace(row.trace_id, row.span_id)}>Its trace, at this line's span</Link>
        : <p class="quiet">The line carries no trace id.</p>}
      {row.trace_id && <Link to={toLogs(`trace_id:${row.trace_id}`)}>All lines of its trace</Link>}
      <Link to={toLogs(logQuery(own), near(time, contextSeconds))}>Lines around it{row.service_name && ` of ${row.service_name}`}, {contextSeconds} s before and after</Link>
      {row.service_name && <Link to={toService(row.service_name)}>The service {row.service_name}</Link>}
      {row.service_name && <Link to={toServiceMetrics(row.service_name, near(time, 600))}>Its metrics, 10 min before and after</Link>}
      {typeof session === "string" && <Link to={toSession(session)}>The user's session</Link>}
    </div>
  );
}

/** The clicked line. */
export function LogPanel(p: { row: LogRow; tab: PanelTab; onTab: (t: PanelTab) => void; onClose: () => void }) {
  const { row } = p;
  return (
    <SidePanel
      label="Log line" tab={p.tab} onTab={p.onTab} onClose={p.onClose}
      title={<><ServiceName name={row.service_name ?? ""} /> <span class="quiet">{row.severity_text} {dateTime(row.timestamp_nanos / 1e9, zone.value)}</span></>}
      details={<Details row={row} />} related={<Related row={row} />} raw={<><Copy text={() => JSON.stringify(row, null, 2)} what="the row as JSON" /><pre>{JSON.stringify(row, null, 2)}</pre></>}
    />
  );
}
