import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Onboarding } from "../../components/Onboarding";
import { Progress } from "../../components/Progress";
import { ServiceName } from "../../components/ServiceName";
import { Sparkline } from "../../components/Sparkline";
import { State } from "../../components/State";
import { type Column, Table } from "../../components/Table";
import { type Service, services } from "../../lib/api/native";
import { filters, logQuery, traceql } from "../../lib/filters";
import { health } from "../../lib/health";
import { toLogs, toService, toServiceMetrics, toServices, toTraces } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { interval, intervalKey, now } from "../../lib/range";
import { ago } from "../../lib/time";
import { duration, percent, rate, short } from "../../lib/units";
import { choice, pageState } from "../../lib/url";
import "./Home.css";

const steps = 45;
const schema = { sort: choice(["state", "name", "rate", "errors", "p95", "seen"], "state"), dir: choice(["desc", "asc"], "desc") };

/** Keeps the services that the filter bar's terms on service.name allow. */
export function shownServices(all: Service[]): Service[] {
  const terms = filters.value.filter((t) => t.key === "service.name");
  return all.filter((s) => terms.every((t) => (s.name === t.value) === (t.op === "=")));
}

function own(name: string) {
  return [{ key: "service.name", op: "=" as const, value: name }];
}

const columns: Column<Service>[] = [
  { id: "state", label: "State", width: "150px", sort: (s) => health(s, interval.value.end).score, cell: (s) => { const h = health(s, interval.value.end); return <State level={h.level}>{h.text}</State>; } },
  { id: "name", label: "Service", sort: (s) => s.name, cell: (s) => <Link to={toService(s.name)}><ServiceName name={s.name} /></Link> },
  { id: "rate", label: "Requests", number: true, width: "205px", sort: (s) => s.requests, cell: (s) => <Cell text={rate(mean(s.rate))} title={`${short(s.requests)} requests`} spark={<Sparkline values={s.rate} label={`requests of ${s.name} over time`} />} /> },
  { id: "errors", label: "Errors", number: true, width: "205px", sort: (s) => (s.requests ? s.errors / s.requests : 0), cell: (s) => <Cell text={s.requests ? percent(s.errors / s.requests) : ""} title={`${short(s.errors)} of ${short(s.requests)} requests failed`} spark={<Sparkline values={s.error_rate} max={0.02} colour="var(--bad)" label={`share of errors of ${s.name} over time`} />} /> },
  { id: "p95", label: "p95", number: true, width: "205px", sort: (s) => s.p95_ms ?? 0, cell: (s) => <Cell text={s.p95_ms === null ? "" : duration(s.p95_ms / 1e3)} title={s.p50_ms === null ? "" : `p50 ${duration(s.p50_ms / 1e3)}, p99 ${duration((s.p99_ms ?? 0) / 1e3)}`} spark={<Sparkline values={s.p95} colour="var(--quiet)" label={`95th percentile of durations of ${s.name} over time`} />} /> },
  { id: "seen", label: "Last seen", number: true, width: "100px", sort: (s) => s.last_seen ?? 0, cell: (s) => <span class="quiet">{s.last_seen === null ? "" : ago(s.last_seen, now.value)}</span> },
  {
    id: "links", label: "Look at", width: "170px",
    cell: (s) => (
      <span class="row">
        <Link to={toTraces(traceql(own(s.name)))}>Traces</Link>
        <Link to={toLogs(logQuery(own(s.name)))}>Logs</Link>
        <Link to={toServiceMetrics(s.name)}>Metrics</Link>
      </span>
    ),
  },
];

function mean(values: number[]): number {
  return values.length ? values.reduce((a, b) => a + b, 0) / values.length : 0;
}

function Cell(p: { text: string; title: string; spark: preact.JSX.Element }) {
  return <span class="home-cell" title={p.title}>{p.spark}<span class="home-number">{p.text}</span></span>;
}

export default function Home() {
  const { data, error, loading } = useLoad(intervalKey.value, (signal) => services(interval.value, steps, signal));
  const [state, set] = pageState(schema);
  const list = data ? shownServices(data.services) : [];
  if (data && !data.services.length) return <Onboarding />;
  return (
    <>
      <div class="page-head">
        <h1>Services</h1>
        {data && <span class="quiet">{list.length === data.services.length ? list.length : `${list.length} of ${data.services.length}`}{state.sort === "state" && state.dir === "desc" ? ", worst now first" : ""}</span>}
        <div class="grow" />
        <Link class="button" to={toServices()}>Show the map</Link>
      </div>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data?.partial && <ErrorBox title="The answer is not complete" text="A limit of memory was reached, or nodes are out of reach (a banner says so then): the numbers below are of a part of the spans." />}
      {data && (
        <div class="card home-card">
          <Table
            label="Services" columns={columns} rows={list} id={(s) => s.name}
            sort={{ column: state.sort, descending: state.dir === "desc" }}
            onSort={(s) => set({ sort: s.column as typeof state.sort, dir: s.descending ? "desc" : "asc" })}
          />
        </div>
      )}
    </>
  );
}
