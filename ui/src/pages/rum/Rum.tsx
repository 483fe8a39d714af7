// Real users: web vitals by route, page loads, errors and sessions, all from the raw events that browsers sent.
import { useMemo } from "preact/hooks";
import { Chart } from "../../components/Chart";
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { type Column, Table } from "../../components/Table";
import { Tabs } from "../../components/Tabs";
import { search } from "../../lib/api/quickwit";
import { filters, logQuery } from "../../lib/filters";
import { toHome } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { interval, intervalKey, setAbsolute } from "../../lib/range";
import { type Interval, niceStep, stepStarts } from "../../lib/time";
import { choice, pageState, text } from "../../lib/url";
import { Errors } from "./Errors";
import { Sessions } from "./Sessions";
import { VitalCard, VitalCell } from "./VitalBar";
import { readVitals, type RouteVitals, vitalAggs, vitals } from "./vitals";
import "./Rum.css";

const schema = { tab: choice(["overview", "errors", "sessions"], "overview"), sel: text(), panel: choice(["details", "related", "raw"], "details") };
const bars = 60;

/** Rows of the browser's events of these names, narrowed by the filter bar. */
export function eventQuery(...names: string[]): string {
  return logQuery(filters.value, names.length === 1 ? `event_name:${names[0]}` : `(${names.map((n) => `event_name:${n}`).join(" OR ")})`);
}

interface Overview {
  vitals: ReturnType<typeof readVitals>;
  times: number[];
  loads: number[];
  errors: number[];
}

const overTime = (step: number) => ({ over_time: { date_histogram: { field: "timestamp_nanos", fixed_interval: `${step}s`, min_doc_count: 1 } } });

async function overview(over: Interval, signal: AbortSignal): Promise<Overview> {
  const step = niceStep(over, bars);
  const [v, loads, errors] = await Promise.all([
    search({ query: eventQuery("browser.web_vital"), over, hits: 0, aggs: vitalAggs }, signal),
    search({ query: eventQuery("browser.navigation"), over, hits: 0, aggs: overTime(step) }, signal),
    search({ query: eventQuery("exception"), over, hits: 0, aggs: overTime(step) }, signal),
  ]);
  const times = stepStarts(over, step);
  const fill = (found: typeof loads) => {
    const out = times.map(() => 0);
    for (const b of found.aggs["over_time"]?.buckets ?? []) {
      const at = Math.round((Number(b.key) / 1000 - times[0]!) / step);
      if (at >= 0 && at < out.length) out[at] = b.doc_count;
    }
    return out;
  };
  return { vitals: readVitals(v.aggs["vitals"]?.buckets ?? []), times, loads: fill(loads), errors: fill(errors) };
}

const columns: Column<RouteVitals>[] = [
  { id: "route", label: "Route", cell: (r) => <span class="mono" title={r.route}>{r.route}</span> },
  { id: "count", label: "Page loads", number: true, width: "110px", cell: (r) => r.vitals.ttfb?.count ?? r.vitals.fcp?.count ?? "" },
  ...vitals.map((v): Column<RouteVitals> => ({ id: v.id, label: `${v.label} p75`, number: true, width: "150px", cell: (r) => <VitalCell vital={v.id} measured={r.vitals[v.id]} /> })),
];

function OverviewTab() {
  const { data, error, loading } = useLoad(`${eventQuery("x")} ${intervalKey.value}`, (signal) => overview(interval.value, signal));
  const empty = data && !Object.keys(data.vitals.overall).length && !data.loads.some(Boolean) && !data.errors.some(Boolean);
  const views = useMemo(() => data && [{ label: "views", colour: "#4e9ae8", values: data.loads }], [data]);
  const failures = useMemo(() => data && [{ label: "errors", colour: "#e06058", values: data.errors }], [data]);
  return (
    <>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {empty && (
        <Empty title="No browser has sent anything in this time range">
          <p>Load OpenTelemetry's browser instrumentation in your pages and send OTLP to port 4318; CORS is answered. <Link to={toHome()}>The addresses of this node</Link>.</p>
        </Empty>
      )}
      {data && !empty && (
        <>
          <div class="vital-cards">{vitals.map((v) => <VitalCard key={v.id} vital={v.id} measured={data.vitals.overall[v.id]} />)}</div>
          <div class="rum-charts">
            <section class="card"><h3>Views</h3><Chart label="views over time" times={data.times} series={views!} unit="none" kind="bars" height={140} over={interval.value} onZoom={setAbsolute} /></section>
            <section class="card"><h3>Errors</h3><Chart label="errors in browsers over time" times={data.times} series={failures!} unit="none" kind="bars" height={140} over={interval.value} onZoom={setAbsolute} /></section>
          </div>
          <section class="card"><h2>Routes</h2><Table label="Web vitals by route" columns={columns} rows={data.vitals.routes} id={(r) => r.route} /></section>
        </>
      )}
    </>
  );
}

export default function Rum() {
  const [state, set] = pageState(schema);
  return (
    <>
      <div class="page-head">
        <h1>Real users</h1>
        <Tabs label="Views" value={state.tab} onChange={(tab) => set({ tab, sel: "" })} tabs={[{ id: "overview", label: "Web vitals" }, { id: "errors", label: "Errors" }, { id: "sessions", label: "Sessions" }]} />
      </div>
      {state.tab === "overview" && <OverviewTab />}
      {state.tab === "errors" && <Errors query={eventQuery("exception")} sel={state.sel} onSel={(sel) => set({ sel, panel: "details" })} panel={state.panel} onPanel={(panel) => set({ panel }, { replace: true })} />}
      {state.tab === "sessions" && <Sessions query={logQuery(filters.value, "attributes.session.id:*")} />}
    </>
  );
}
