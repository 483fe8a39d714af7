// What there is to ask for: the names of metrics with type, unit and help, found by typing; a click asks for one.
import { useMemo, useState } from "preact/hooks";
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { VirtualList } from "../../components/VirtualList";
import { labelValues, metadata, type Metadata } from "../../lib/api/prometheus";
import { filters, filtersKey, promMatchers } from "../../lib/filters";
import { toHome } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { typicalQuery } from "../../lib/promql";
import { interval, intervalKey } from "../../lib/range";
import "./Browser.css";

export interface Known {
  name: string;
  type: string;
  unit: string;
  help: string;
}

/** One entry a metric: a classic histogram's _bucket, _count and _sum are one histogram. */
export function known(names: string[], meta: Record<string, Metadata[]>): Known[] {
  const out = new Map<string, Known>();
  for (const name of names) {
    const base = name.replace(/_(bucket|count|sum)$/, "");
    const whole = meta[name] ? name : meta[base] && /histogram|summary/.test(meta[base][0]?.type ?? "") ? base : name;
    const m = meta[whole]?.[0];
    if (!out.has(whole)) out.set(whole, { name: whole, type: m?.type ?? "unknown", unit: m?.unit ?? "", help: m?.help ?? "" });
  }
  return [...out.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function Browser({ onPick }: { onPick: (query: string) => void }) {
  const [text, setText] = useState("");
  const match = filters.value.length ? `{${promMatchers(filters.value)}}` : undefined;
  const { data, error, loading } = useLoad(`${filtersKey.value} ${intervalKey.value}`, async (signal) => {
    const [names, meta] = await Promise.all([labelValues("__name__", interval.value, match, signal), metadata(signal)]);
    return known(names, meta);
  });
  const shown = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (data ?? []).filter((k) => words.every((w) => k.name.toLowerCase().includes(w) || k.help.toLowerCase().includes(w)));
  }, [data, text]);
  return (
    <section class="card metric-browser">
      <div class="row">
        <h2>Metrics in this time range</h2>
        <input class="grow" placeholder="Find by name or help" aria-label="Find a metric" value={text} onInput={(e) => setText(e.currentTarget.value)} />
        <span class="quiet">{data && `${shown.length} of ${data.length}`}</span>
      </div>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && !data.length && <Empty title="No metrics in this time range"><p>Choose a longer range, or see <Link to={toHome()}>how to send them</Link>.</p></Empty>}
      {data && data.length > 0 && (
        <VirtualList
          label="Metrics" rows={shown} id={(k) => k.name} rowHeight={30}
          render={(k) => (
            <button type="button" class="metric-known" onClick={() => onPick(typicalQuery(k.name, k.type))}>
              <span class="mono cut">{k.name}</span>
              <span class="quiet">{k.type}</span>
              <span class="quiet cut">{k.unit}</span>
              <span class="quiet cut" title={k.help}>{k.help}</span>
            </button>
          )}
        />
      )}
    </section>
  );
}
