// The trace by call path: each block is an operation reached by one path, as wide as the time spent in it and below.
import { useEffect, useRef, useState } from "preact/hooks";
import { sized } from "../../lib/canvas";
import { serviceColour, token } from "../../lib/colour";
import { shown as theme } from "../../lib/theme";
import type { Span } from "../../lib/trace";
import type { Flame } from "../../lib/traceStats";
import { duration, percent } from "../../lib/units";
import { useWindow } from "../../lib/window";
import "./FlameGraph.css";

const row = 22;

/** Where a block lies when `focus` is as wide as the box: shares 0..1, or undefined when it is out of it. */
export function place(f: Flame, focus: Flame): { left: number; width: number } | undefined {
  if (f.depth <= focus.depth) {
    let a: Flame | undefined = focus;
    while (a && a.depth > f.depth) a = a.parent;
    return a === f ? { left: 0, width: 1 } : undefined;
  }
  if (!focus.width || f.left < focus.left || f.left + f.width > focus.left + focus.width * (1 + 1e-9)) return undefined;
  return { left: (f.left - focus.left) / focus.width, width: f.width / focus.width };
}

interface Drawn {
  flames: Flame[];
  focus: Flame;
  current: Flame;
  found: ReadonlySet<Flame> | undefined;
}

function draw(canvas: HTMLCanvasElement, top: number, d: Drawn): void {
  const sheet = sized(canvas);
  if (!sheet) return;
  const { ctx, width, height } = sheet;
  ctx.font = `12px ${token("--font")}`;
  ctx.textBaseline = "middle";
  const text = token("--text"), quiet = token("--quiet"), accent = token("--accent"), raised = token("--raised");
  for (const f of d.flames) {
    const y = f.depth * row - top;
    if (y < -row || y > height) continue;
    const at = place(f, d.focus);
    if (!at) continue;
    const x = at.left * width, w = at.width * width;
    if (w < 0.4) continue;
    ctx.globalAlpha = 1;
    ctx.fillStyle = raised;
    ctx.fillRect(x, y, Math.max(w - 1, 0.5), row - 1);
    ctx.globalAlpha = (d.found && !d.found.has(f) ? 0.12 : 0.5) * (f.depth < d.focus.depth ? 0.6 : 1);
    if (f.depth) ctx.fillStyle = serviceColour(f.service);
    ctx.fillRect(x, y, Math.max(w - 1, 0.5), row - 1);
    ctx.globalAlpha = 1;
    if (f === d.current) { ctx.strokeStyle = accent; ctx.lineWidth = 2; ctx.strokeRect(x + 1, y + 1, Math.max(w - 3, 1), row - 3); }
    if (w < 28) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, w - 6, row);
    ctx.clip();
    ctx.fillStyle = d.found && !d.found.has(f) ? quiet : text;
    ctx.fillText(label(f), x + 6, y + row / 2);
    ctx.restore();
  }
}

function label(f: Flame): string {
  if (!f.depth) return "the whole trace";
  const service = f.service !== f.parent?.service ? `${f.service || "(no service)"}: ` : "";
  return `${f.errors ? "⚠ " : ""}${service}${f.name || "(no name)"}`;
}

/** The block at a point of the drawing. */
function hit(flames: Flame[], focus: Flame, x: number, y: number): Flame | undefined {
  const depth = Math.floor(y / row);
  return flames.find((f) => {
    if (f.depth !== depth) return false;
    const at = place(f, focus);
    return at && x >= at.left && x < at.left + at.width;
  });
}

/** The block that a key leads to from `at`. */
export function step(at: Flame, key: string): Flame | undefined {
  if (key === "ArrowUp") return at.parent;
  if (key === "ArrowDown") return at.children[0];
  const siblings = at.parent?.children ?? [at];
  const next = siblings.indexOf(at) + (key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : NaN);
  return siblings[next];
}

export function FlameGraph(p: { flames: Flame[]; found: ReadonlySet<Span> | undefined; onOpen: (s: Span) => void }) {
  const top = p.flames[0]!;
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [focus, setFocus] = useState(top);
  const [current, setCurrent] = useState(top);
  useEffect(() => { setFocus(top); setCurrent(top); }, [p.flames]);
  const depth = p.flames.reduce((n, f) => Math.max(n, f.depth), 0) + 1;
  const win = useWindow(box, depth, row);
  const found = p.found && new Set(p.flames.filter((f) => f.span && p.found!.has(f.span)));
  useEffect(() => {
    const paint = () => canvas.current && box.current && draw(canvas.current, box.current.scrollTop, { flames: p.flames, focus, current, found });
    paint();
    const watch = new ResizeObserver(paint);
    watch.observe(canvas.current!);
    return () => watch.disconnect();
  }, [p.flames, focus, current, p.found, theme.value, win.first, win.end]);
  const at = (e: MouseEvent) => {
    const r = canvas.current!.getBoundingClientRect();
    return hit(p.flames, focus, (e.clientX - r.left) / r.width, e.clientY - r.top + box.current!.scrollTop);
  };
  const key = (e: KeyboardEvent) => {
    const next = step(current, e.key);
    if (next) {
      setCurrent(next);
      if (!place(next, focus)) setFocus(next.parent ?? top);
    } else if (e.key === "Enter") setFocus(current);
    else if (e.key === "Backspace") setFocus(focus.parent ?? top);
    else return;
    e.preventDefault();
  };
  const share = top.width ? current.width / top.width : 0;
  return (
    <div class="flame">
      <div class="flame-says" aria-live="polite">
        <i style={{ background: current.depth ? serviceColour(current.service) : "var(--quiet)" }} aria-hidden="true" />
        <strong class="cut">{current.depth ? `${current.service}: ${current.name}` : "The whole trace"}</strong>
        <span>{duration(current.width / 1e6)}, {percent(share)}</span>
        {current.depth > 0 && <span class="quiet">{current.count} {current.count === 1 ? "span" : "spans"}, self {duration(current.self / 1e6)}{current.errors ? `, ${current.errors} errors` : ""}</span>}
        <span class="grow" />
        {current.span && <button type="button" onClick={() => p.onOpen(current.span!)}>Open the longest span</button>}
        <button type="button" disabled={focus === top} onClick={() => setFocus(top)}>Whole trace</button>
      </div>
      <div
        class="flame-scroll" ref={box} tabIndex={0} role="application" aria-roledescription="flame graph" onKeyDown={key}
        aria-label="Flame graph: arrow keys move, Enter makes a block as wide as the page, Backspace goes back. The Table view has the same sums as text."
      >
        <canvas ref={canvas} onMouseMove={(e) => { const f = at(e); if (f) setCurrent(f); }} onClick={(e) => { const f = at(e); if (f) setFocus(f); }} onDblClick={() => current.span && p.onOpen(current.span)} />
        <div style={{ height: `${depth * row}px` }} />
      </div>
      <p class="quiet flame-note">Width is self time added up over spans of the same path. Click to look closer, double click to open the longest span.</p>
    </div>
  );
}
