// Series over time, drawn by uPlot on a canvas. The chart takes data and tells of drags and clicks; it fetches nothing.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { token } from "../lib/colour";
import { zone } from "../lib/range";
import { shown } from "../lib/theme";
import type { Interval } from "../lib/time";
import { clock } from "../lib/time";
import { format, type Unit } from "../lib/units";
import "./Chart.css";

export interface ChartSeries {
  label: string;
  colour: string;
  /** one for each of `times`; null where there is none */
  values: (number | null)[];
  hidden?: boolean;
}

/** A dot on the chart, e.g. an exemplar. */
export interface Mark {
  time: number;
  value: number;
  label: string;
}

export interface ChartProps {
  /** says in words what the chart shows */
  label: string;
  /** unix seconds, ascending */
  times: number[];
  series: ChartSeries[];
  unit: Unit;
  height?: number;
  kind?: "line" | "area" | "bars";
  /** each series on top of the ones before it */
  stacked?: boolean;
  /** the whole range of the x axis; the data's own without it */
  over?: Interval;
  onZoom?: (over: Interval) => void;
  marks?: Mark[];
  onMark?: (mark: Mark, index: number) => void;
}

/** Running sums over the shown series, for stacking: what is drawn; the tooltip tells the parts. */
export function stack(series: ChartSeries[]): (number | null)[][] {
  const sums: number[] = [];
  return series.map((s) =>
    s.values.map((v, i) => {
      if (s.hidden || v === null) return s.hidden ? null : (sums[i] ?? 0);
      return (sums[i] = (sums[i] ?? 0) + v);
    }),
  );
}

const markRadius = 4;

function drawMarks(u: uPlot, marks: Mark[]): void {
  const { ctx } = u;
  ctx.save();
  ctx.fillStyle = token("--accent");
  ctx.strokeStyle = token("--surface");
  ctx.lineWidth = devicePixelRatio;
  for (const m of marks) {
    const x = u.valToPos(m.time, "x", true);
    const y = u.valToPos(m.value, "y", true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width || y < u.bbox.top || y > u.bbox.top + u.bbox.height) continue;
    const r = markRadius * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, y - r); ctx.lineTo(x + r, y); ctx.lineTo(x, y + r); ctx.lineTo(x - r, y);
    ctx.closePath();
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}

function nearestMark(u: uPlot, marks: Mark[], x: number, y: number): number {
  let best = -1, far = 12 * 12;
  marks.forEach((m, i) => {
    const dx = u.valToPos(m.time, "x") - x, dy = u.valToPos(m.value, "y") - y;
    if (dx * dx + dy * dy < far) { far = dx * dx + dy * dy; best = i; }
  });
  return best;
}

function options(p: ChartProps, latest: { current: ChartProps }, width: number, tip: HTMLElement): uPlot.Options {
  const bars = uPlot.paths.bars!({ size: [0.9, 60], align: 1 });
  const axis = { stroke: token("--quiet"), grid: { stroke: token("--grid"), width: 1 }, ticks: { show: false }, font: `12px ${token("--font")}` };
  const tall = p.kind === "bars" || p.kind === "area" || p.stacked;
  return {
    width, height: p.height ?? 260, padding: [8, 22, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false, dist: 5 }, points: { size: 6 }, y: false },
    scales: {
      x: { time: true, ...(p.over ? { range: () => [latest.current.over!.start, latest.current.over!.end] as [number, number] } : {}) },
      y: {
        range: (_u, min, max) => {
          const marks = (latest.current.marks ?? []).map((m) => m.value);
          const top = Math.max(max ?? 0, ...marks);
          const low = Math.min(min ?? 0, tall ? 0 : Infinity, ...marks);
          if (!Number.isFinite(low) || !Number.isFinite(top)) return [0, 1];
          const pad = (top - low) * 0.06 || Math.abs(top) * 0.1 || 1;
          return [low >= 0 && low - pad < 0 ? 0 : low - pad, top + pad];
        },
      },
    },
    axes: [
      { ...axis, space: 80, size: 26, values: (_u, ticks, _a, _s, incr) => ticks.map((t) => tick(t, incr)) },
      { ...axis, size: 72, values: (_u, ticks) => ticks.map((v) => format(v, p.unit)) },
    ],
    series: [
      {},
      ...(p.stacked ? [...p.series].reverse() : p.series).map((s): uPlot.Series => ({
        label: s.label, stroke: s.colour, width: p.kind === "bars" ? 0 : 1.5, show: !s.hidden, spanGaps: false,
        fill: p.kind === "bars" ? s.colour : p.stacked ? s.colour + "99" : p.kind === "area" ? s.colour + "33" : undefined,
        paths: p.kind === "bars" ? bars : undefined,
        points: { show: p.kind === "bars" ? false : (u, i) => Array.from(u.data[i]!).filter((v) => v !== null).length === 1, size: 5 },
      })),
    ],
    hooks: {
      setSelect: [(u) => {
        const { left, width: w } = u.select;
        if (w > 4 && latest.current.onZoom) latest.current.onZoom({ start: u.posToVal(left, "x"), end: u.posToVal(left + w, "x") });
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
      draw: [(u) => latest.current.marks?.length && drawMarks(u, latest.current.marks)],
      setCursor: [(u) => showTip(u, latest.current, tip)],
      ready: [(u) => u.over.addEventListener("click", () => {
        const { marks, onMark } = latest.current;
        const at = marks && onMark ? nearestMark(u, marks, u.cursor.left ?? -1, u.cursor.top ?? -1) : -1;
        if (at >= 0) onMark!(marks![at]!, at);
      })],
    },
  };
}

function tick(t: number, increment: number): string {
  const c = clock(t, zone.peek());
  if (increment >= 86400) return new Date(t * 1000).toISOString().slice(5, 10);
  return increment >= 60 ? c.slice(0, 5) : c;
}

const tipRows = 12;

function tipRow(colour: string, label: string, value: string): HTMLElement {
  const row = document.createElement("div");
  const dot = document.createElement("i");
  const name = document.createElement("span");
  const number = document.createElement("b");
  dot.style.background = colour;
  name.textContent = label;
  number.textContent = value;
  row.append(dot, name, number);
  return row;
}

function showTip(u: uPlot, p: ChartProps, tip: HTMLElement): void {
  const i = u.cursor.idx;
  const left = u.cursor.left ?? -1;
  const time = i === null || i === undefined ? undefined : p.times[i];
  if (left < 0 || time === undefined) { tip.hidden = true; return; }
  const near = p.marks?.length ? nearestMark(u, p.marks, left, u.cursor.top ?? -1) : -1;
  const rows = p.series
    .filter((s) => !s.hidden && s.values[i!] !== null && s.values[i!] !== undefined)
    .sort((a, b) => b.values[i!]! - a.values[i!]!);
  const head = document.createElement("header");
  head.textContent = clock(time, zone.peek());
  tip.replaceChildren(head, ...rows.slice(0, tipRows).map((s) => tipRow(s.colour, s.label, format(s.values[i!]!, p.unit))));
  if (rows.length > tipRows) tip.append(`and ${rows.length - tipRows} more`);
  if (near >= 0) tip.append(tipRow(token("--accent"), p.marks![near]!.label, format(p.marks![near]!.value, p.unit)));
  tip.hidden = !rows.length && near < 0;
  const box = u.over.clientWidth;
  const x = u.over.offsetLeft + left;
  tip.style.left = left > box / 2 ? "" : `${x + 14}px`;
  tip.style.right = left > box / 2 ? `${u.root.clientWidth - x + 14}px` : "";
}

export function Chart(p: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(p);
  latest.current = p;
  // Stacked series are drawn from the highest sum down, so that lower ones stay visible.
  const data = [p.times, ...(p.stacked ? stack(p.series).reverse() : p.series.map((s) => s.values))] as uPlot.AlignedData;
  const shape = JSON.stringify([p.series.map((s) => [s.label, s.colour, s.hidden]), p.unit, p.kind, p.stacked, p.height, Boolean(p.over), shown.value, zone.value]);
  useEffect(() => {
    const u = new uPlot(options(latest.current, latest, box.current!.clientWidth || 600, tip.current!), data, box.current!);
    plot.current = u;
    const watch = new ResizeObserver(() => {
      const width = box.current?.clientWidth ?? 0;
      if (width && width !== u.width) u.setSize({ width, height: u.height });
    });
    watch.observe(box.current!);
    return () => { watch.disconnect(); u.destroy(); plot.current = null; };
  }, [shape]);
  useEffect(() => plot.current?.setData(data, true), [p.times, p.series, p.over?.start, p.over?.end, p.marks]);
  return (
    <div class="chart" role="img" aria-label={p.label}>
      <div ref={box} />
      <div class="chart-tip" ref={tip} hidden />
    </div>
  );
}
