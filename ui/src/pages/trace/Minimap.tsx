// The whole trace in little, and the stretch of it that the page shows: drag a new one, drag its ends, or use the keys.
import { useEffect, useRef, useState } from "preact/hooks";
import { serviceColour, token } from "../../lib/colour";
import { shown } from "../../lib/theme";
import type { Trace } from "../../lib/trace";
import { duration } from "../../lib/units";
import { clip, type View } from "./state";
import "./Minimap.css";

const height = 52;

function draw(canvas: HTMLCanvasElement, trace: Trace): void {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const ctx = canvas.getContext("2d");
  if (!ctx) return;
  ctx.scale(ratio, ratio);
  const n = trace.spans.length, line = Math.max(1, Math.min(5, (height - 4) / n - 1)), step = Math.min(6, (height - 4) / n);
  const perMicro = width / (trace.duration || 1);
  const bad = token("--bad");
  for (const s of trace.spans) {
    if (s.group) continue;
    const x = s.start * perMicro, w = Math.max(1, s.duration * perMicro), y = 2 + s.index * step;
    ctx.fillStyle = serviceColour(s.resource.service);
    ctx.fillRect(x, y, w, line);
    if (s.status !== "error") continue;
    ctx.fillStyle = bad;
    ctx.fillRect(Math.min(x + w, width - 3), y - 1, 3, line + 2);
  }
}

/** Drags over `box` as shares 0..1 of its width: `end` gets the last one, after `move` got all. */
function drag(e: PointerEvent, box: HTMLElement, move: (at: number) => void, end: () => void): void {
  const share = (x: number) => { const r = box.getBoundingClientRect(); return Math.min(1, Math.max(0, (x - r.left) / (r.width || 1))); };
  const onMove = (m: PointerEvent) => move(share(m.clientX));
  const onUp = () => { removeEventListener("pointermove", onMove); removeEventListener("pointerup", onUp); removeEventListener("pointercancel", onUp); end(); };
  addEventListener("pointermove", onMove);
  addEventListener("pointerup", onUp);
  addEventListener("pointercancel", onUp);
  move(share(e.clientX));
  e.preventDefault();
}

export function Minimap(p: { trace: Trace; view: View; onView: (view: View | undefined) => void }) {
  const { duration: length } = p.trace;
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [dragged, setDragged] = useState<View>();
  useEffect(() => {
    const el = canvas.current!;
    draw(el, p.trace);
    const watch = new ResizeObserver(() => draw(el, p.trace));
    watch.observe(el);
    return () => watch.disconnect();
  }, [p.trace, shown.value]);
  const view = dragged ?? p.view;
  const left = view.from / (length || 1), right = view.to / (length || 1);
  const whole = left <= 0 && right >= 1;

  /** The end that moves, against the one that stays. */
  const pull = (e: PointerEvent, fixed: number) => {
    let next: View | undefined;
    e.stopPropagation();
    drag(e, box.current!, (at) => {
      next = { from: Math.min(at, fixed) * length, to: Math.max(at, fixed) * length };
      setDragged(next);
    }, () => { setDragged(undefined); if (next && next.to - next.from > length * 0.001) p.onView(clip(next, length)); });
  };
  const select = (e: PointerEvent) => {
    if (e.button !== 0) return;
    const r = box.current!.getBoundingClientRect();
    pull(e, Math.min(1, Math.max(0, (e.clientX - r.left) / (r.width || 1))));
  };
  const key = (end: "from" | "to") => (e: KeyboardEvent) => {
    const by = (e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0) * (e.shiftKey ? 0.1 : 0.01) * length;
    if (!by) return;
    const next = { ...p.view, [end]: p.view[end] + by };
    if (next.to - next.from > length * 0.001) p.onView(clip(next, length));
    e.preventDefault();
  };
  const handle = (end: "from" | "to", at: number) => (
    <div
      class="minimap-handle" role="slider" tabIndex={0} style={{ left: `${at * 100}%` }} aria-label={end === "from" ? "Start of what is shown" : "End of what is shown"}
      aria-valuemin={0} aria-valuemax={Math.round(length)} aria-valuenow={Math.round(view[end])} aria-valuetext={duration(view[end] / 1e6)}
      onPointerDown={(e) => pull(e, end === "from" ? right : left)} onKeyDown={key(end)}
    />
  );
  return (
    <div class="minimap" ref={box} onPointerDown={select} onDblClick={() => p.onView(undefined)} title="Drag to look closer, double click for all">
      <canvas ref={canvas} style={{ height: `${height}px` }} aria-hidden="true" />
      {left > 0 && <div class="minimap-out" style={{ left: 0, width: `${left * 100}%` }} />}
      {right < 1 && <div class="minimap-out" style={{ left: `${right * 100}%`, right: 0 }} />}
      {handle("from", left)}
      {handle("to", right)}
      {!whole && (
        <button type="button" class="minimap-whole" onPointerDown={(e) => e.stopPropagation()} onClick={() => p.onView(undefined)}>
          {duration((view.to - view.from) / 1e6)} of {duration(length / 1e6)}: show all
        </button>
      )}
    </div>
  );
}
