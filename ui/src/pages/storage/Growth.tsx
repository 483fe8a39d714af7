// The store's size over time, from the node's own metrics where somebody collects them.
import { Chart } from "../../components/Chart";
import type { Answer } from "../../lib/api/prometheus";
import { setAbsolute } from "../../lib/range";
import type { Interval } from "../../lib/time";
import "./Growth.css";

export const growthQuery = '{__name__=~"tercet_segment_bytes|tercet_memtable_bytes"}';

/** `times` of the grid that was asked for. */
export function Growth(p: { answer: Answer; over: Interval; step: number }) {
  const first = Math.floor(p.over.start / p.step) * p.step;
  const times = Array.from({ length: Math.floor((p.over.end - first) / p.step) + 1 }, (_, i) => first + i * p.step);
  const sum = (name: string) => {
    const at = new Map<number, number>();
    for (const s of p.answer.series)
      if (s.labels["__name__"] === name) s.times.forEach((t, i) => at.set(Math.round(t), (at.get(Math.round(t)) ?? 0) + s.values[i]!));
    return times.map((t) => at.get(Math.round(t)) ?? null);
  };
  const series = [
    { label: "Segments", colour: "#4e9ae8", values: sum("tercet_segment_bytes") },
    { label: "In memory", colour: "#e8833a", values: sum("tercet_memtable_bytes") },
  ];
  return (
    <section class="card">
      <div class="row">
        <h2>Growth</h2>
        {series.map((s) => <span key={s.label} class="growth-name quiet"><i style={{ background: s.colour }} aria-hidden="true" />{s.label}</span>)}
      </div>
      <Chart
        label="Bytes of segments and of memory over time" times={times} unit="bytes" kind="area" stacked height={180} over={p.over} onZoom={setAbsolute}
        series={series}
      />
    </section>
  );
}
