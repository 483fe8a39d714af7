// Durations over time: darker where there are more spans. A drag over it asks for that time and those durations.
import { useEffect, useRef, useState } from "preact/hooks";
import { sized } from "../../lib/canvas";
import { token } from "../../lib/colour";
import { zone } from "../../lib/range";
import { shown } from "../../lib/theme";
import { clock, type Interval } from "../../lib/time";
import { duration, short } from "../../lib/units";
import { type Box, type Heat, lowEdge } from "./heat";
import "./HeatMap.css";

function draw(canvas: HTMLCanvasElement, heat: Heat, over: Interval): void {
  const sheet = sized(canvas);
  if (!sheet) return;
  const { ctx, width, height } = sheet;
  ctx.fillStyle = token("--accent");
  const perSecond = width / (over.end - over.start), rowHeight = height / (heat.edges.length || 1);
  const top = Math.log1p(heat.max);
  heat.counts.forEach((row, r) => {
    const y = height - (r + 1) * rowHeight;
    row.forEach((n, c) => {
      if (!n) return;
      const x = (heat.times[c]! - heat.step - over.start) * perSecond;
      ctx.globalAlpha = 0.14 + 0.86 * (Math.log1p(n) / top);
      ctx.fillRect(x, y, Math.max(1, heat.step * perSecond - 0.75), Math.max(1, rowHeight - 0.75));
    });
  });
}

interface Point {
  x: number;
  y: number;
}

const boxOf = (a: Point, b: Point): Box => ({ left: Math.min(a.x, b.x), right: Math.max(a.x, b.x), bottom: Math.min(a.y, b.y), top: Math.max(a.y, b.y) });
const percent = (n: number) => `${(n * 100).toFixed(2)}%`;

/** The cell at a point, when the grid has one there. */
function cell(heat: Heat, over: Interval, p: Point): { row: number; column: number; count: number } | undefined {
  const row = Math.min(heat.edges.length - 1, Math.floor(p.y * heat.edges.length));
  const time = over.start + (over.end - over.start) * p.x;
  const column = heat.times.findIndex((t) => time <= t && time > t - heat.step);
  return row < 0 || column < 0 ? undefined : { row, column, count: heat.counts[row]![column]! };
}

export function HeatMap(p: { heat: Heat; over: Interval; onBox: (box: Box) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [start, setStart] = useState<Point>();
  const [at, setAt] = useState<Point>();
  useEffect(() => {
    const paint = () => canvas.current && draw(canvas.current, p.heat, p.over);
    paint();
    const watch = new ResizeObserver(paint);
    watch.observe(canvas.current!);
    return () => watch.disconnect();
  }, [p.heat, p.over.start, p.over.end, shown.value]);
  const point = (e: PointerEvent): Point => {
    const r = canvas.current!.getBoundingClientRect();
    const clip = (n: number) => Math.min(1, Math.max(0, n));
    return { x: clip((e.clientX - r.left) / (r.width || 1)), y: clip(1 - (e.clientY - r.top) / (r.height || 1)) };
  };
  const up = (e: PointerEvent) => {
    const end = point(e);
    if (start) {
      const c = cell(p.heat, p.over, end), rows = p.heat.edges.length;
      const box = boxOf(start, end);
      if (box.right - box.left > 0.01 || box.top - box.bottom > 0.04) p.onBox(box);
      else if (c?.count) {
        const from = (p.heat.times[c.column]! - p.heat.step - p.over.start) / (p.over.end - p.over.start);
        p.onBox({ left: Math.max(0, from), right: from + p.heat.step / (p.over.end - p.over.start), bottom: c.row / rows, top: (c.row + 1) / rows });
      }
    }
    setStart(undefined);
  };
  const over = at && cell(p.heat, p.over, at);
  const box = start && at && boxOf(start, at);
  const labels = p.heat.edges.map((edge, i) => ({ edge, i })).filter(({ i }) => (p.heat.edges.length - 1 - i) % Math.ceil(p.heat.edges.length / 6) === 0);
  return (
    <div class="heat" role="img" aria-label={`Durations of ${short(p.heat.total)} spans over time, from ${duration(lowEdge(p.heat, 0))} to ${duration(p.heat.edges.at(-1) ?? 0)}`}>
      <div class="heat-labels" aria-hidden="true">
        {labels.map(({ edge, i }) => <span key={i} style={{ bottom: percent((i + 1) / p.heat.edges.length) }}>{duration(Number(edge.toPrecision(2)))}</span>)}
      </div>
      <div class="heat-plot">
        <canvas
          ref={canvas} onPointerDown={(e) => { if (e.button !== 0) return; canvas.current!.setPointerCapture(e.pointerId); setStart(point(e)); setAt(point(e)); }}
          onPointerMove={(e) => setAt(point(e))} onPointerUp={up} onPointerLeave={() => setAt(undefined)} onPointerCancel={() => setStart(undefined)}
        />
        {box && <div class="heat-box" style={{ left: percent(box.left), width: percent(box.right - box.left), bottom: percent(box.bottom), height: percent(box.top - box.bottom) }} />}
        {over && over.count > 0 && !start && (
          <div class="heat-tip" style={at!.x < 0.6 ? { left: percent(at!.x), marginLeft: "12px" } : { right: percent(1 - at!.x), marginRight: "12px" }}>
            <b>{short(over.count)}</b> {over.count === 1 ? "span" : "spans"} of {duration(lowEdge(p.heat, over.row))} to {duration(p.heat.edges[over.row]!)}, {clock(p.heat.times[over.column]! - p.heat.step, zone.value)}
          </div>
        )}
      </div>
      <div class="heat-times quiet" aria-hidden="true"><span>{clock(p.over.start, zone.value)}</span><span>{clock((p.over.start + p.over.end) / 2, zone.value)}</span><span>{clock(p.over.end, zone.value)}</span></div>
    </div>
  );
}
