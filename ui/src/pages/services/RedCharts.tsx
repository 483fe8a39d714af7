import { Chart } from "../../components/Chart";
import type { Service } from "../../lib/api/native";
import { setAbsolute } from "../../lib/range";
import type { Interval } from "../../lib/time";
import { serviceColour } from "../../lib/colour";
import "./RedCharts.css";

const height = 150;

/** Rate, errors and duration of one service over time; a drag zooms every page's range. */
export function RedCharts(p: { service: Service; start: number; step: number; over: Interval }) {
  const { service: s } = p;
  const times = s.rate.map((_, i) => p.start + i * p.step);
  const share = s.error_rate.map((e) => e ?? null);
  const seconds = s.p95.map((v) => (v === null ? null : v / 1e3));
  const one = (title: string, label: string, colour: string, values: (number | null)[], unit: "per_second" | "ratio" | "s") => (
    <section class="card red-card">
      <h3>{title}</h3>
      <Chart label={label} times={times} series={[{ label: title, colour, values }]} unit={unit} height={height} kind="area" over={p.over} onZoom={setAbsolute} />
    </section>
  );
  return (
    <div class="red-charts">
      {one("Requests", `requests per second of ${s.name} over time`, serviceColour(s.name), s.rate, "per_second")}
      {one("Errors", `share of failed requests of ${s.name} over time`, "#e06058", share, "ratio")}
      {one("Duration, p95", `95th percentile of the durations of ${s.name} over time`, "#8d7be0", seconds, "s")}
    </div>
  );
}
