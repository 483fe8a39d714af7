import { Icon } from "../../components/Icon";
import { Link } from "../../components/Link";
import { ServiceName } from "../../components/ServiceName";
import type { FoundTrace } from "../../lib/api/tempo";
import { serviceColour } from "../../lib/colour";
import { toTrace } from "../../lib/links";
import { now, zone } from "../../lib/range";
import { ago, dateTime } from "../../lib/time";
import { duration, short } from "../../lib/units";

export interface Summary {
  id: string;
  service: string;
  name: string;
  /** unix seconds */
  start: number;
  /** seconds */
  length: number;
  spans: number;
  errors: number;
  services: { name: string; spans: number; errors: number }[];
  found: FoundTrace;
}

/** A trace of a search's answer; ids come without their leading zeros. */
export function summary(t: FoundTrace): Summary {
  const services = Object.entries(t.serviceStats ?? {}).map(([name, s]) => ({ name, spans: s.spanCount, errors: s.errorCount ?? 0 })).sort((a, b) => b.spans - a.spans);
  return {
    id: t.traceID.padStart(32, "0"), service: t.rootServiceName ?? "", name: t.rootTraceName ?? "", start: Number(BigInt(t.startTimeUnixNano || "0") / 1000n) / 1e6,
    length: (t.durationMs ?? 0) / 1e3, services, found: t,
    spans: services.reduce((n, s) => n + s.spans, 0), errors: services.reduce((n, s) => n + s.errors, 0),
  };
}

const ticks = 8;

/** One tick for each service, as wide as its share of the spans. */
function Services({ of: s }: { of: Summary }) {
  return (
    <span class="trace-ticks" title={s.services.map((one) => `${one.name || "(no service)"}: ${one.spans}`).join("\n")}>
      {s.services.slice(0, ticks).map((one) => <i key={one.name} style={{ background: serviceColour(one.name), flexGrow: one.spans }} />)}
      <span class="hidden-visually">{s.services.slice(0, ticks).map((one) => one.name).join(", ")}</span>
      <span class="quiet">{s.services.length}</span>
    </span>
  );
}

export function TraceHead() {
  return (
    <div class="trace-line trace-line-head quiet" aria-hidden="true">
      <span>Root</span><span>Services</span><span class="trace-length"><span class="number">Duration</span></span><span class="number">Spans</span><span class="number">Errors</span><span class="number">Started</span>
    </div>
  );
}

export function TraceRow(p: { trace: Summary; longest: number; selected: boolean; onOpen: () => void }) {
  const { trace: t } = p;
  return (
    <div class="trace-line" data-selected={p.selected ? "" : undefined} onClick={(e) => { if (!(e.target as HTMLElement).closest("a")) p.onOpen(); }}>
      <span class="trace-root">
        <ServiceName name={t.service} />
        <Link to={toTrace(t.id)} class="cut" title={`Open the trace\n${t.name}`}>{t.name.trim() || "(no name)"}</Link>
      </span>
      <Services of={t} />
      <span class="trace-length"><span class="number">{t.length ? duration(t.length) : "< 1 ms"}</span><span><i style={{ width: `${p.longest ? Math.max(0.5, (t.length / p.longest) * 100) : 0}%` }} /></span></span>
      <span class="number">{short(t.spans)}</span>
      <span class="number">{t.errors > 0 && <span class="bad trace-errors-count"><Icon name="warning" size={12} />{short(t.errors)}</span>}</span>
      <span class="number quiet" title={dateTime(t.start, zone.value)}>{ago(t.start, now.value)}</span>
    </div>
  );
}
