import type { ComponentChildren } from "preact";
import { Copy } from "../../components/Copy";
import { Fields, valueText } from "../../components/Fields";
import { Icon } from "../../components/Icon";
import { Link } from "../../components/Link";
import { ServiceName } from "../../components/ServiceName";
import { type PanelTab, SidePanel } from "../../components/SidePanel";
import type { OtlpSpan } from "../../lib/api/tempo";
import { toTrace } from "../../lib/links";
import { zone } from "../../lib/range";
import { clock } from "../../lib/time";
import { hexId, microsOf, record, type Span, type Trace, unixSeconds } from "../../lib/trace";
import type { Stretch } from "../../lib/tracePath";
import { duration, percent } from "../../lib/units";
import type { TraceLog } from "./logs";
import "./SpanPanel.css";

const micros = (n: number) => duration(n / 1e6);

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return <div><dt>{name}</dt><dd>{children}</dd></div>;
}

function Facts({ trace, span: s, path }: { trace: Trace; span: Span; path: Stretch[] | undefined }) {
  const onPath = (path ?? []).reduce((n, p) => n + p.to - p.from, 0);
  return (
    <dl class="span-facts">
      <Fact name="Duration">{micros(s.duration)}</Fact>
      <Fact name="Self time">{micros(s.self)}{s.duration > 0 && <span class="quiet"> {percent(s.self / s.duration)}</span>}</Fact>
      <Fact name="Start">+{micros(s.start)} <span class="quiet">{clock(unixSeconds(trace, s.start - s.shift), zone.value, undefined, true)}</span></Fact>
      <Fact name="Critical path">{onPath > 0 ? <>{micros(onPath)} <span class="quiet">{percent(onPath / (trace.duration || 1))} of the trace</span></> : "not on it"}</Fact>
      <Fact name="Kind">{s.kind || "not said"}</Fact>
      <Fact name="Status">{s.status === "error" ? <span class="bad"><Icon name="warning" size={12} /> error</span> : s.status}</Fact>
      {s.shift !== 0 && <Fact name="Clock">moved by {micros(s.shift)}</Fact>}
      {s.scope && <Fact name="Scope">{s.scope}</Fact>}
    </dl>
  );
}

type Event = NonNullable<OtlpSpan["events"]>[number];

/** An event; an exception with its type, message and stack. */
function EventView({ trace, span, event }: { trace: Trace; span: Span; event: Event }) {
  const { "exception.type": type, "exception.message": message, "exception.stacktrace": stack, ...rest } = record(event.attributes);
  const exception = type !== undefined || message !== undefined || stack !== undefined;
  return (
    <li class="span-event" data-exception={exception ? "" : undefined}>
      <div class="row">
        <strong class={exception ? "bad" : undefined}>{exception && <Icon name="warning" size={12} />} {exception ? valueText(type) || "exception" : event.name || "(no name)"}</strong>
        <span class="grow" />
        <span class="quiet">+{micros(microsOf(trace, event.timeUnixNano) + span.shift)}</span>
      </div>
      {message !== undefined && <div class="span-message">{valueText(message)}</div>}
      {stack !== undefined && <pre class="span-stack" tabIndex={0}>{valueText(stack)}</pre>}
      {Object.keys(rest).length > 0 && <Fields fields={rest} filterable={false} />}
    </li>
  );
}

function Section(p: { title: string; count?: number; children: ComponentChildren }) {
  return <section class="span-section"><h3>{p.title}{p.count !== undefined && <span class="quiet"> {p.count}</span>}</h3>{p.children}</section>;
}

export function LogLine({ log }: { log: TraceLog }) {
  return (
    <li class="span-log" data-severity={log.severity}>
      <span class="quiet">+{micros(log.at)}</span> <b>{log.row.severity_text || log.severity}</b> <span class="mono">{log.text.slice(0, 500)}</span>
    </li>
  );
}

const listed = 100;

function Details(p: { trace: Trace; span: Span; path: Stretch[] | undefined; logs: TraceLog[] }) {
  const { otlp } = p.span;
  const events = otlp.events ?? [], links = otlp.links ?? [];
  return (
    <>
      {otlp.status?.message && <div class="span-status bad">{otlp.status.message}</div>}
      <Facts {...p} />
      {events.length > 0 && (
        <Section title="Events" count={events.length}>
          <ul class="plain-list">{events.slice(0, listed).map((e, i) => <EventView key={i} trace={p.trace} span={p.span} event={e} />)}</ul>
          {events.length > listed && <p class="quiet">The first {listed}; the rest is in Raw.</p>}
        </Section>
      )}
      <Section title="Attributes"><Fields fields={record(otlp.attributes)} prefix="span." /></Section>
      {p.logs.length > 0 && (
        <Section title="Logs" count={p.logs.length}>
          <ul class="plain-list">{p.logs.slice(0, listed).map((l, i) => <LogLine key={i} log={l} />)}</ul>
        </Section>
      )}
      {links.length > 0 && (
        <Section title="Links" count={links.length}>
          <ul class="plain-list">
            {links.slice(0, listed).map((l, i) => (
              <li key={i}>
                <Link to={toTrace(hexId(l.traceId), hexId(l.spanId))} class="mono">{hexId(l.traceId)}</Link>
                {l.attributes?.length ? <Fields fields={record(l.attributes)} filterable={false} /> : null}
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title="Resource"><Fields fields={record(p.span.resource.attributes)} prefix="resource." /></Section>
      <p class="quiet span-ids">Span <code>{p.span.id}</code> <Copy text={p.span.id} label="" what="the span's id" />{p.span.parentId && <> child of <code>{p.span.parentId}</code></>}</p>
    </>
  );
}

/** All that is known of one span. `related` is filled by the page. */
export function SpanPanel(p: {
  trace: Trace;
  span: Span;
  path: Stretch[] | undefined;
  logs: TraceLog[];
  tab: PanelTab;
  onTab: (tab: PanelTab) => void;
  onClose: () => void;
  related: ComponentChildren;
}) {
  const raw = JSON.stringify({ ...p.span.otlp, spanId: p.span.id, parentSpanId: p.span.parentId, traceId: p.trace.id, resource: record(p.span.resource.attributes) }, null, 2);
  return (
    <SidePanel
      label="Span" tab={p.tab} onTab={p.onTab} onClose={p.onClose}
      title={<><ServiceName name={p.span.resource.service} /><div class="span-title">{p.span.name || "(no name)"}</div></>}
      details={<Details {...p} />}
      related={p.related}
      raw={<><Copy text={raw} what="the span as JSON" /><pre class="mono">{raw}</pre></>}
    />
  );
}
