import { Copy } from "../../components/Copy";
import { Icon } from "../../components/Icon";
import { Link } from "../../components/Link";
import { ServiceName } from "../../components/ServiceName";
import { serviceColour } from "../../lib/colour";
import { toLogs, toService } from "../../lib/links";
import { now, zone } from "../../lib/range";
import { ago, dateTime, type Interval } from "../../lib/time";
import { type ServiceCount, type Trace, unixSeconds } from "../../lib/trace";
import { duration, short } from "../../lib/units";

const most = 16;

function save(trace: Trace, json: unknown): void {
  const address = URL.createObjectURL(new Blob([JSON.stringify(json)], { type: "application/json" }));
  const a = document.createElement("a");
  a.href = address;
  a.download = `trace-${trace.id}.json`;
  a.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function Service({ of, total }: { of: ServiceCount; total: number }) {
  return (
    <Link to={toService(of.name)} class="trace-service" title={`${of.name}: ${of.spans} spans, ${of.errors} errors`}>
      <i style={{ width: `${Math.max(2, (of.spans / total) * 40)}px`, background: serviceColour(of.name) }} aria-hidden="true" />
      <span class="cut">{of.name || "(no service)"}</span>
      <span class="quiet">{short(of.spans)}</span>
      {of.errors > 0 && <span class="bad trace-service-errors" title={`${of.errors} errors`}><Icon name="warning" size={12} />{short(of.errors)}</span>}
    </Link>
  );
}

/** What the trace is, at a glance. */
export function TraceHeader(p: {
  trace: Trace;
  json: unknown;
  logs: number | undefined;
  over: Interval;
  partial: boolean;
  recorded: boolean;
  onRecorded: (recorded: boolean) => void;
  onError: () => void;
}) {
  const { trace } = p;
  const start = unixSeconds(trace, 0);
  const services = [...trace.services].sort((a, b) => b.spans - a.spans);
  return (
    <header class="trace-header">
      <div class="row">
        <h1 class="trace-title cut">
          <ServiceName name={trace.root?.resource.service ?? ""} /> <span title={trace.root?.name}>{trace.root?.name || "(no name)"}</span>
        </h1>
        <span class="grow" />
        <Copy text={trace.id} label="Copy id" />
        <button type="button" class="plain" onClick={() => save(trace, p.json)}>Download JSON</button>
        <Link class="button" to={toLogs(`trace_id:${trace.id}`, p.over)}>Logs{p.logs !== undefined && ` ${short(p.logs)}`}</Link>
      </div>
      <dl class="trace-facts">
        <div><dt>Duration</dt><dd>{duration(trace.duration / 1e6)}</dd></div>
        <div><dt>Spans</dt><dd>{trace.count.toLocaleString("en")}</dd></div>
        <div>
          <dt>Errors</dt>
          <dd>{trace.errors ? <button type="button" class="plain bad trace-errors" onClick={p.onError} title="Go to the next error"><Icon name="warning" size={12} /> {trace.errors.toLocaleString("en")}</button> : "none"}</dd>
        </div>
        <div><dt>Started</dt><dd title={dateTime(start, zone.value)}>{dateTime(start, zone.value)} <span class="quiet">{ago(start, now.value)}</span></dd></div>
        <div class="trace-id"><dt>Id</dt><dd class="mono">{trace.id}</dd></div>
      </dl>
      <div class="row wrap trace-services">
        {services.slice(0, most).map((s) => <Service key={s.name} of={s} total={trace.count} />)}
        {services.length > most && <span class="quiet">and {services.length - most} more services</span>}
      </div>
      {(trace.problems.length > 0 || trace.skewed || p.partial) && (
        <p class="trace-problems">
          <span class="warn"><Icon name="warning" size={14} /></span>
          <span>
            {p.partial && "A limit was reached: this is a part of the trace. "}
            {trace.problems.join(" ")}
            {trace.skewed && (p.recorded ? " Clocks disagree: some spans start before what called them." : " Clocks disagree: spans that started before what called them are moved to fit.")}
          </span>
          {trace.skewed && <button type="button" aria-pressed={p.recorded} onClick={() => p.onRecorded(!p.recorded)}>Times as recorded</button>}
        </p>
      )}
    </header>
  );
}
