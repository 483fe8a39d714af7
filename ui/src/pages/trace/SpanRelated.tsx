// What else is known around a span: its logs, its service's metrics, traces of the same operation.
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { correlate } from "../../lib/api/native";
import { type Term, traceql } from "../../lib/filters";
import { near, toLogs, toMetrics, toService, toTraces } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { families, typicalQuery } from "../../lib/promql";
import { type Span, type Trace, unixSeconds } from "../../lib/trace";
import { short } from "../../lib/units";
import { LogLine } from "./SpanPanel";
import type { TraceLog } from "./logs";

const metricsListed = 12;

export function SpanRelated({ trace, span, logs }: { trace: Trace; span: Span; logs: TraceLog[] }) {
  const { data, error, loading } = useLoad(`${trace.id} ${span.id}`, (signal) => correlate({ trace_id: trace.id, span_id: span.id }, signal));
  const service = span.resource.service;
  const metrics = families(data?.metrics.names ?? []);
  const at = unixSeconds(trace, span.start - span.shift);
  const hour = near(at, 1800);
  const own: Term[] = [{ key: "service.name", op: "=", value: service }];
  const same: Term[] = [...own, { key: "name", op: "=", value: span.name }];
  return (
    <>
      <Progress on={loading} />
      <section class="span-section">
        <h3>Logs of this span <span class="quiet">{logs.length}</span></h3>
        {logs.length > 0 && <ul class="plain-list">{logs.slice(0, 20).map((l, i) => <LogLine key={i} log={l} />)}</ul>}
        <p><Link to={toLogs(`span_id:${span.id}`, hour)}>Open in Logs</Link> <Link to={toLogs(`trace_id:${trace.id}`, hour)}>All logs of the trace</Link></p>
      </section>
      <section class="span-section">
        <h3>Traces of the same operation</h3>
        <p class="row wrap">
          <Link to={toTraces(traceql(same), hour)}>All</Link>
          <Link to={toTraces(traceql(same, ["status = error"]), hour)}>With errors</Link>
          <Link to={toTraces(traceql(same, [`duration >= ${Math.max(1, Math.floor(span.duration))}us`]), hour)}>At least as slow</Link>
        </p>
      </section>
      <section class="span-section">
        <h3>Metrics around it {data && <span class="quiet">{short(metrics.length)}</span>}</h3>
        {service && <p><Link to={toService(service)}>The service {service}</Link></p>}
        {error && <ErrorBox error={error} />}
        {data && !metrics.length && <p class="quiet">None from the resources of this trace.</p>}
        {data && (
          <ul class="plain-list">
            {metrics.slice(0, metricsListed).map((m) => (
              <li key={m.name} class="row">
                <Link to={toMetrics([typicalQuery(m.name, m.type, own)], near(at, 900))} class="cut">{m.name}</Link>
                <span class="quiet one-line">{m.type}{m.unit && `, ${m.unit}`}</span>
              </li>
            ))}
          </ul>
        )}
      </section>
      {data && data.exemplars.length > 0 && (
        <section class="span-section">
          <h3>Exemplars <span class="quiet">{data.exemplars.length}</span></h3>
          <ul class="plain-list">
            {data.exemplars.slice(0, metricsListed).map((e, i) => <li key={i}><Link to={toMetrics([e.metric], near(e.timestamp, 900))}>{e.metric}</Link> <span class="quiet">{short(e.value)}</span></li>)}
          </ul>
        </section>
      )}
    </>
  );
}
