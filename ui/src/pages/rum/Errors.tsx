import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { type PanelTab, SidePanel } from "../../components/SidePanel";
import { type Column, Table } from "../../components/Table";
import { type LogRow, search } from "../../lib/api/quickwit";
import { logQuoted } from "../../lib/filters";
import { toLogs, toSession, toTrace } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { interval, intervalKey, now, zone } from "../../lib/range";
import { ago, dateTime } from "../../lib/time";
import { short } from "../../lib/units";
import { errorAggs, type ErrorRow, readErrors } from "./sessions";

const newest = 20;

function groupQuery(query: string, g: { type: string; message: string }): string {
  return `${query} AND attributes.exception.message:${logQuoted(g.message)}`;
}

/** The newest errors of a group: a stack, and the sessions and traces that met it. */
function Panel(p: { group: ErrorRow; query: string; tab: PanelTab; onTab: (t: PanelTab) => void; onClose: () => void }) {
  const own = groupQuery(p.query, p.group);
  const { data, error, loading } = useLoad(`${own} ${intervalKey.value}`, (signal) => search({ query: own, over: interval.value, hits: newest }, signal));
  const row: LogRow | undefined = data?.hits[0];
  const text = (key: string) => String(row?.attributes?.[key] ?? "");
  const sessions = [...new Set((data?.hits ?? []).map((r) => String(r.attributes?.["session.id"] ?? "")).filter(Boolean))];
  const traces = (data?.hits ?? []).filter((r) => r.trace_id);
  return (
    <SidePanel
      label="Error group" tab={p.tab} onTab={p.onTab} onClose={p.onClose} title={<span class="bad">{p.group.type}: {p.group.message}</span>}
      details={
        <div class="stack">
          <Progress on={loading} />
          {error && <ErrorBox error={error} />}
          <p>{short(p.group.count)} times in {short(p.group.sessions)} sessions, first {dateTime(p.group.first, zone.value)}, last {dateTime(p.group.last, zone.value)}, on {p.group.routes.join(", ") || "no known route"}.</p>
          {row && <div><h3>Newest stack</h3><pre>{text("exception.stacktrace") || "It came without a stack."}</pre></div>}
        </div>
      }
      related={
        <div class="stack">
          <Link to={toLogs(own)}>All of them in the logs</Link>
          {sessions.length > 0 && <h3>Sessions that met it</h3>}
          {sessions.map((s) => <Link key={s} class="mono" to={toSession(s)}>{s}</Link>)}
          {traces.length > 0 && <h3>Traces</h3>}
          {traces.map((r) => <Link key={r.trace_id! + r.timestamp_nanos} class="mono" to={toTrace(r.trace_id!, r.span_id)}>{r.trace_id}</Link>)}
        </div>
      }
      raw={<pre>{JSON.stringify(row, null, 2)}</pre>}
    />
  );
}

const columns = (onOpen: (g: ErrorRow) => void): Column<ErrorRow>[] => [
  { id: "what", label: "Error", cell: (g) => <button type="button" class="plain cut" title={g.message} onClick={() => onOpen(g)}><strong>{g.type}</strong>: {g.message}</button> },
  { id: "routes", label: "Routes", width: "200px", cell: (g) => <span class="mono" title={g.routes.join(", ")}>{g.routes.join(", ")}</span> },
  { id: "sessions", label: "Sessions", number: true, width: "90px", cell: (g) => short(g.sessions) },
  { id: "count", label: "Times", number: true, width: "90px", cell: (g) => short(g.count) },
  { id: "first", label: "First", number: true, width: "110px", cell: (g) => ago(g.first, now.value) },
  { id: "last", label: "Last", number: true, width: "110px", cell: (g) => ago(g.last, now.value) },
];

const key = (g: ErrorRow) => `${g.type}\n${g.message}`;

/** Errors of browsers, grouped by type and message. */
export function Errors(p: { query: string; sel: string; onSel: (sel: string) => void; panel: PanelTab; onPanel: (t: PanelTab) => void }) {
  const { data, error, loading } = useLoad(`${p.query} ${intervalKey.value}`, async (signal) => readErrors((await search({ query: p.query, over: interval.value, hits: 0, aggs: errorAggs }, signal)).aggs["types"]?.buckets ?? []));
  const open = data?.find((g) => key(g) === p.sel);
  return (
    <>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && !data.length && <Empty title="No browser reported an error in this time range" />}
      {data && data.length > 0 && (
        <div class="with-panel">
          <div class="card"><Table label="Errors in browsers" columns={columns((g) => p.onSel(key(g)))} rows={data} id={key} selected={p.sel} onSelect={(g) => p.onSel(key(g))} /></div>
          {open && <Panel group={open} query={p.query} tab={p.panel} onTab={p.onPanel} onClose={() => p.onSel("")} />}
        </div>
      )}
    </>
  );
}
