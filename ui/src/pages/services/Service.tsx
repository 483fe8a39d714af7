// One service: rate, errors and durations, its operations and failures, whom it calls and who calls it, and the ways
// to its traces, logs, metrics and exemplars.
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { ServiceName } from "../../components/ServiceName";
import { State } from "../../components/State";
import { type Column, Table } from "../../components/Table";
import { correlate, services } from "../../lib/api/native";
import { severityOf } from "../../lib/colour";
import { health } from "../../lib/health";
import { logQuery, quoted, traceql } from "../../lib/filters";
import { toHome, toLogs, toMetrics, toServiceMetrics, toSlowestTraces, toTrace, toTraces } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { families, typicalQuery } from "../../lib/promql";
import { interval, intervalKey, now, zone } from "../../lib/range";
import { ago, clock } from "../../lib/time";
import { duration, format, percent, rate, short, unitOf } from "../../lib/units";
import type { PageProps } from "../../router";
import { EdgeList } from "./EdgeTable";
import { Numbers } from "./Numbers";
import { type ErrorGroup, errorGroups, type Operation, operations } from "./operations";
import { RedCharts } from "./RedCharts";
import "./Service.css";

const steps = 60;
const own = (name: string) => [{ key: "service.name", op: "=" as const, value: name }];

function Operations({ service }: { service: string }) {
  const seconds = interval.value.end - interval.value.start;
  const { data, error, loading } = useLoad(`${service} ${intervalKey.value}`, (signal) => operations(service, interval.value, signal));
  const slow = (o: Operation) => toSlowestTraces(traceql(own(service), [`name = ${quoted(o.name)}`, `duration >= ${Math.floor(o.p95! * 1e6)}us`]));
  const columns: Column<Operation>[] = [
    { id: "name", label: "Operation", cell: (o) => <Link to={toTraces(traceql(own(service), [`name = ${quoted(o.name)}`]))}>{o.name}</Link> },
    { id: "rate", label: "Requests", number: true, width: "90px", cell: (o) => rate(o.requests / seconds) },
    { id: "errors", label: "Errors", number: true, width: "80px", cell: (o) => <span class={o.errors ? "bad" : undefined}>{percent(o.requests ? o.errors / o.requests : 0)}</span> },
    { id: "p50", label: "p50", number: true, width: "90px", cell: (o) => (o.p50 === null ? "" : duration(o.p50)) },
    { id: "p95", label: "p95", number: true, width: "90px", cell: (o) => (o.p95 === null ? "" : <Link to={slow(o)} title="Its traces that take at least as long">{duration(o.p95)}</Link>) },
  ];
  return (
    <section class="card">
      <h2>Operations</h2>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && (data.length ? <Table label="Operations" columns={columns} rows={data.slice(0, 25)} id={(o) => o.name} /> : <p class="quiet">It answers no requests; it may only send some.</p>)}
    </section>
  );
}

function Failures({ service }: { service: string }) {
  const { data, error, loading } = useLoad(`${service} ${intervalKey.value}`, (signal) => errorGroups(service, interval.value, signal));
  const filter = (g: ErrorGroup) => [`name = ${quoted(g.operation)}`, "status = error", ...(g.message ? [`statusMessage = ${quoted(g.message)}`] : [])];
  const columns: Column<ErrorGroup>[] = [
    { id: "what", label: "What failed", cell: (g) => <Link to={toTraces(traceql(own(service), filter(g)))}>{g.operation}{g.message && <span class="quiet">: {g.message}</span>}</Link> },
    { id: "count", label: "Spans", number: true, width: "80px", cell: (g) => short(g.count) },
  ];
  return (
    <section class="card">
      <h2>Errors</h2>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && (data.length ? <Table label="Errors" columns={columns} rows={data.slice(0, 12)} id={(g) => `${g.operation}\n${g.message}`} /> : <p class="quiet">No span failed in this time range.</p>)}
    </section>
  );
}

/** The three signals of the service: newest logs, metric names, exemplars, each with the way to the whole. */
function Signals({ service }: { service: string }) {
  const { data, error, loading } = useLoad(`${service} ${intervalKey.value}`, (signal) => correlate({ service, over: interval.value }, signal));
  const metrics = families(data?.metrics.names ?? []);
  return (
    <>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && (
        <div class="service-columns">
          <section class="card">
            <div class="row"><h2 class="grow">Logs</h2><Link to={toLogs(data.logs.query)}>All {short(data.logs.total)}</Link></div>
            {data.logs.items.length === 0 && <p class="quiet">None in this time range.</p>}
            <ul class="service-logs">
              {data.logs.items.slice(0, 12).map((l, i) => (
                <li key={i}>
                  <span class="quiet mono">{clock(Number(l.timestamp_ns) / 1e9, zone.value)}</span>
                  <span class="mono" data-severity={severityOf(undefined, l.severity)}>{l.severity || "-"}</span>
                  {l.trace_id ? <Link class="cut mono" to={toTrace(l.trace_id, l.span_id)}>{l.body}</Link> : <span class="cut mono">{l.body}</span>}
                </li>
              ))}
            </ul>
          </section>
          <section class="card">
            <div class="row"><h2 class="grow">Metrics</h2><Link to={toServiceMetrics(service)}>All {metrics.length}</Link></div>
            {metrics.length === 0 && <p class="quiet">None in this time range.</p>}
            <ul class="service-metrics">
              {metrics.slice(0, 14).map((m) => (
                <li key={m.name}><Link class="cut mono" to={toMetrics([typicalQuery(m.name, m.type, own(service))])}>{m.name}</Link><span class="quiet">{m.type} {m.unit}</span></li>
              ))}
            </ul>
            {data.exemplars.length > 0 && <h3>Exemplars</h3>}
            <ul class="service-metrics">
              {data.exemplars.slice(0, 6).map((e) => (
                <li key={`${e.trace_id}${e.timestamp}${e.metric}`}>
                  <Link class="cut mono" to={toTrace(e.trace_id, e.span_id)}>{e.metric} = {format(e.value, unitOf(e.metric))}</Link>
                  <span class="quiet">{ago(e.timestamp, now.value)}</span>
                </li>
              ))}
            </ul>
          </section>
        </div>
      )}
    </>
  );
}

export default function ServicePage({ path }: PageProps) {
  const name = path["name"]!;
  const { data, error, loading } = useLoad(intervalKey.value, (signal) => services(interval.value, steps, signal));
  const service = data?.services.find((s) => s.name === name);
  const seconds = interval.value.end - interval.value.start;
  const callers = data?.edges.filter((e) => e.to_kind === "service" && e.to === name) ?? [];
  const calls = data?.edges.filter((e) => e.from === name) ?? [];
  const state = service && health(service, interval.value.end);
  return (
    <>
      <div class="page-head">
        <h1><ServiceName name={name} /></h1>
        {service?.language && <span class="quiet">{service.language}</span>}
        {state && <State level={state.level}>{state.text}</State>}
        <div class="grow" />
        <Link class="button" to={toTraces(traceql(own(name)))}>Traces</Link>
        <Link class="button" to={toLogs(logQuery(own(name)))}>Logs</Link>
        <Link class="button" to={toServiceMetrics(name)}>Metrics</Link>
      </div>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && !service && <Empty title={`No spans of ${name} in this time range`}><p>Choose a longer range, or look at <Link to={toHome()}>all services</Link>.</p></Empty>}
      {data && service && (
        <>
          <Numbers requests={service.requests} errors={service.errors} seconds={seconds} p50={service.p50_ms} p95={service.p95_ms} p99={service.p99_ms} />
          <RedCharts service={service} start={data.start} step={data.step} over={interval.value} />
          <div class="service-columns">
            <Operations service={name} />
            <Failures service={name} />
          </div>
          <div class="service-columns">
            <section class="card"><h2>Called by</h2>{callers.length ? <EdgeList label="Callers" edges={callers} seconds={seconds} end="from" /> : <p class="quiet">Nobody, in this time range.</p>}</section>
            <section class="card"><h2>Calls</h2>{calls.length ? <EdgeList label="Calls" edges={calls} seconds={seconds} end="to" /> : <p class="quiet">Nobody, in this time range.</p>}</section>
          </div>
          <Signals service={name} />
        </>
      )}
    </>
  );
}
