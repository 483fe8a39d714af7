import { format, type Unit } from "../../lib/units";
import type { FrameSeries } from "./frame";
import "./Legend.css";

/** The chart's series with their numbers. A click shows one alone, Ctrl+click takes it away or brings it back. */
export function Legend(p: { series: FrameSeries[]; unit: Unit; hidden: Set<string>; onHidden: (hidden: Set<string>) => void }) {
  const pick = (label: string, toggle: boolean) => {
    const next = new Set(p.hidden);
    if (toggle) {
      if (!next.delete(label)) next.add(label);
    } else {
      const alone = p.series.every((s) => (s.label === label) !== next.has(s.label));
      next.clear();
      if (!alone) for (const s of p.series) if (s.label !== label) next.add(s.label);
    }
    p.onHidden(next);
  };
  return (
    <div class="legend" tabIndex={0} role="group" aria-label="Series of the graph">
      <table>
        <thead>
          <tr><th scope="col">Series</th><th scope="col">Last</th><th scope="col">Min</th><th scope="col">Max</th><th scope="col">Mean</th></tr>
        </thead>
        <tbody>
          {p.series.map((s) => (
            <tr key={s.label} data-off={p.hidden.has(s.label) ? "" : undefined}>
              <td>
                <button type="button" class="plain legend-name" aria-pressed={!p.hidden.has(s.label)} title="Click: only this. Ctrl+click: show or hide" onClick={(e) => pick(s.label, e.ctrlKey || e.metaKey)}>
                  <span class="legend-line" style={{ background: s.colour }} aria-hidden="true" />
                  <span class="cut mono">{s.label}</span>
                </button>
              </td>
              {[s.last, s.min, s.max, s.mean].map((v, i) => <td key={i} title={String(v)}>{Number.isNaN(v) ? "" : format(v, p.unit)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
