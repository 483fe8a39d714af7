import type { ComponentChildren } from "preact";
import { Copy } from "../../components/Copy";
import { Fields } from "../../components/Fields";
import { Link } from "../../components/Link";
import { ServiceName } from "../../components/ServiceName";
import { type PanelTab, SidePanel } from "../../components/SidePanel";
import { plain } from "../../lib/api/tempo";
import { toTrace } from "../../lib/links";
import { zone } from "../../lib/range";
import { dateTime } from "../../lib/time";
import { duration } from "../../lib/units";
import type { Summary } from "./TraceRow";
import "../trace/SpanPanel.css";

/** The spans that matched, with what the query asked of them. */
function Details({ trace: t }: { trace: Summary }) {
  const sets = t.found.spanSets ?? [];
  const start = BigInt(t.found.startTimeUnixNano || "0");
  return (
    <div class="stack">
      <Link to={toTrace(t.id)} class="button">Open the trace</Link>
      <dl class="span-facts">
        <div><dt>Duration</dt><dd>{duration(t.length)}</dd></div>
        <div><dt>Started</dt><dd>{dateTime(t.start, zone.value)}</dd></div>
        <div><dt>Spans</dt><dd>{t.spans.toLocaleString("en")}</dd></div>
        <div><dt>Errors</dt><dd class={t.errors ? "bad" : undefined}>{t.errors ? t.errors.toLocaleString("en") : "none"}</dd></div>
      </dl>
      <ul class="panel-services">
        {t.services.map((s) => <li key={s.name} class="row"><ServiceName name={s.name} /><span class="grow" /><span class="quiet">{s.spans} {s.spans === 1 ? "span" : "spans"}{s.errors ? `, ${s.errors} failed` : ""}</span></li>)}
      </ul>
      {sets.map((set, i) => (
        <section key={i} class="stack">
          <h3>{set.spans.length < set.matched ? `${set.spans.length} of ${set.matched} matching spans` : `${set.matched} matching ${set.matched === 1 ? "span" : "spans"}`}</h3>
          {set.attributes?.length ? <Fields fields={Object.fromEntries(set.attributes.map((kv) => [kv.key, plain(kv.value)]))} filterable={false} /> : null}
          {set.spans.map((s) => {
            const attributes = Object.fromEntries((s.attributes ?? []).map((kv) => [kv.key, plain(kv.value)]));
            const { "service.name": service, ...rest } = attributes;
            return (
              <div key={s.spanID} class="panel-span">
                <div class="row">
                  {service !== undefined && <ServiceName name={String(service)} />}
                  <Link to={toTrace(t.id, s.spanID)} class="cut" title="Open the span in its trace">{s.name || s.spanID}</Link>
                  <span class="grow" />
                  <span class="quiet">+{duration(Number(BigInt(s.startTimeUnixNano || "0") - start) / 1e9)}</span>
                  <span>{duration(Number(s.durationNanos) / 1e9)}</span>
                </div>
                {Object.keys(rest).length > 0 && <Fields fields={rest} />}
              </div>
            );
          })}
        </section>
      ))}
      <p class="quiet">Id <code>{t.id}</code> <Copy text={t.id} label="" what="the trace's id" /></p>
    </div>
  );
}

export function TracePanel(p: { trace: Summary; tab: PanelTab; onTab: (t: PanelTab) => void; onClose: () => void; related: ComponentChildren }) {
  const raw = JSON.stringify(p.trace.found, null, 2);
  return (
    <SidePanel
      label="Trace" tab={p.tab} onTab={p.onTab} onClose={p.onClose}
      title={<><ServiceName name={p.trace.service} /><div class="span-title">{p.trace.name || "(no name)"}</div></>}
      details={<Details trace={p.trace} />} related={p.related} raw={<><Copy text={raw} what="the answer as JSON" /><pre>{raw}</pre></>}
    />
  );
}
