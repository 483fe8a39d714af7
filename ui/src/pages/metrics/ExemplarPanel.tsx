import { Fields } from "../../components/Fields";
import { Link } from "../../components/Link";
import { type PanelTab, SidePanel } from "../../components/SidePanel";
import type { Exemplar } from "../../lib/api/prometheus";
import { near, toLogs, toService, toTrace } from "../../lib/links";
import { zone } from "../../lib/range";
import { dateTime } from "../../lib/time";
import { format, unitOf } from "../../lib/units";

/** The service of a series: the job, without its namespace. */
export function serviceOf(labels: Record<string, string>): string | undefined {
  return labels["service_name"] ?? labels["job"]?.split("/").at(-1);
}

const aroundSeconds = 60;

/** An exemplar: one measurement that kept the trace that it was made in; or a span that stands for one. */
export function ExemplarPanel(p: { exemplar: Exemplar; tab: PanelTab; onTab: (t: PanelTab) => void; onClose: () => void }) {
  const e = p.exemplar;
  const service = serviceOf(e.series);
  return (
    <SidePanel
      label={e.span ? "Span" : "Exemplar"} tab={p.tab} onTab={p.onTab} onClose={p.onClose}
      title={<>{format(e.value, e.span ? "s" : unitOf(e.series["__name__"] ?? ""))} <span class="quiet">{dateTime(e.timestamp, zone.value)}</span></>}
      details={
        <div class="stack">
          {e.span && <p class="quiet">The SDK sent no exemplars of these series. This is a span of {service}, measured at that time.</p>}
          {e.traceId ? <Link class="button" to={toTrace(e.traceId, e.spanId)}>The trace that was measured</Link> : <p class="quiet">It carries no trace id.</p>}
          <div><h3>Series</h3><Fields fields={e.series} filterable={false} /></div>
          <div><h3>Exemplar</h3><Fields fields={e.labels} filterable={false} /></div>
        </div>
      }
      related={
        <div class="stack">
          {e.traceId && <Link to={toTrace(e.traceId, e.spanId)}>Its trace</Link>}
          {e.traceId && <Link to={toLogs(`trace_id:${e.traceId}`, near(e.timestamp, aroundSeconds * 10))}>The logs of its trace</Link>}
          {service && <Link to={toService(service)}>The service {service}</Link>}
        </div>
      }
      raw={<pre>{JSON.stringify(e, null, 2)}</pre>}
    />
  );
}
