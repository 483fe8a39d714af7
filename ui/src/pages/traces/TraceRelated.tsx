// The other signals of a trace, counted, each one click away.
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { ServiceName } from "../../components/ServiceName";
import { correlate } from "../../lib/api/native";
import { severityOf } from "../../lib/colour";
import { near, toLogs, toMetrics, toSession } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { families, typicalQuery } from "../../lib/promql";
import { short } from "../../lib/units";
import type { Summary } from "./TraceRow";

const listed = 12;

export function TraceRelated({ trace }: { trace: Summary }) {
  const { data, error, loading } = useLoad(trace.id, (signal) => correlate({ trace_id: trace.id }, signal));
  const metrics = families(data?.metrics.names ?? []);
  const around = near(trace.start, Math.max(900, trace.length + 60));
  return (
    <div class="stack">
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      <section>
        <h3>Logs {data && <span class="quiet">{short(data.logs.total)}{data.logs.errors > 0 && `, ${short(data.logs.errors)} of them errors`}</span>}</h3>
        {data && data.logs.items.length > 0 && (
          <ul class="plain-list">
            {data.logs.items.slice(0, listed).map((l, i) => (
              <li key={i} class="span-log" data-severity={severityOf(undefined, l.severity)}><b>{l.severity}</b> <ServiceName name={l.service} /> <span class="mono">{l.body.slice(0, 300) || "(no text)"}</span></li>
            ))}
          </ul>
        )}
        <Link to={toLogs(`trace_id:${trace.id}`, around)}>Open in Logs</Link>
      </section>
      {data && (
        <section>
          <h3>Metrics of what it touched <span class="quiet">{short(metrics.length)}</span></h3>
          <ul class="plain-list">
            {metrics.slice(0, listed).map((m) => (
              <li key={m.name} class="row"><Link to={toMetrics([typicalQuery(m.name, m.type)], around)} class="cut">{m.name}</Link><span class="quiet one-line">{m.type}{m.unit && `, ${m.unit}`}</span></li>
            ))}
          </ul>
        </section>
      )}
      {data && data.sessions.length > 0 && (
        <section>
          <h3>Sessions</h3>
          {data.sessions.slice(0, listed).map((s) => <div key={s}><Link to={toSession(s)} class="mono">{s}</Link></div>)}
        </section>
      )}
    </div>
  );
}
