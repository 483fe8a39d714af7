// The tree of spans and their bars over time. Only the rows in sight are in the document.
import type { RefObject } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useShortcut } from "../../lib/keys";
import type { Span, Trace } from "../../lib/trace";
import { nextMatch, revealed, rowOf, visibleRows } from "../../lib/traceFind";
import type { Stretch } from "../../lib/tracePath";
import { duration } from "../../lib/units";
import { scrollToRow, useWindow } from "../../lib/window";
import type { TraceLog } from "./logs";
import { type View, ticks } from "./state";
import { WaterfallRow } from "./WaterfallRow";
import "./Waterfall.css";

const rowHeight = 24;

export interface WaterfallProps {
  trace: Trace;
  view: View;
  path: Map<number, Stretch[]> | undefined;
  logs: Map<number, TraceLog[]>;
  /** indexes of the spans that the find box found */
  matches: number[];
  /** the current span, which keys move and Enter opens */
  cursor: number;
  onCursor: (index: number) => void;
  /** the span whose panel is open */
  open: number | undefined;
  onOpen: (s: Span) => void;
}

interface Tree {
  box: RefObject<HTMLDivElement>;
  rows: Int32Array;
  collapsed: ReadonlySet<number>;
  toggle: (index: number) => void;
  all: (collapse: boolean) => void;
}

/** What is collapsed. The current span's row is kept in sight when another one becomes current. */
function useTree(p: WaterfallProps): Tree {
  const { spans } = p.trace;
  const box = useRef<HTMLDivElement>(null);
  const [collapsed, setCollapsed] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => setCollapsed(new Set()), [p.trace]);
  useEffect(() => {
    const open = revealed(spans, collapsed, p.cursor);
    if (open !== collapsed) setCollapsed(open);
    scrollToRow(box.current, rowOf(visibleRows(spans, open), p.cursor), rowHeight);
  }, [p.cursor, p.trace]);
  const rows = useMemo(() => visibleRows(spans, collapsed), [spans, collapsed]);
  const toggle = (index: number) => {
    const next = new Set(collapsed);
    if (!next.delete(index)) next.add(index);
    setCollapsed(next);
    p.onCursor(index);
  };
  const all = (collapse: boolean) => {
    setCollapsed(collapse ? new Set(spans.filter((s) => s.size > 1 && s.depth > 0).map((s) => s.index)) : new Set());
    if (collapse) p.onCursor(topOf(spans, p.cursor));
  };
  return { box, rows, collapsed, toggle, all };
}

/** The span of depth 0 or 1 that `index` is below. */
function topOf(spans: Span[], index: number): number {
  let s = spans[index];
  while (s && s.depth > 1) s = s.parent;
  return s?.index ?? 0;
}

function useTreeKeys(p: WaterfallProps, t: Tree): (e: KeyboardEvent) => void {
  const latest = useRef({ p, t });
  latest.current = { p, t };
  const step = useCallback((by: number) => {
    const { p, t } = latest.current;
    const at = rowOf(t.rows, p.cursor) + by;
    p.onCursor(t.rows[Math.max(0, Math.min(t.rows.length - 1, at))]!);
  }, []);
  const jump = useCallback((by: 1 | -1) => {
    const { p } = latest.current;
    const to = nextMatch(p.matches, p.cursor, by);
    if (to !== undefined) p.onCursor(to);
  }, []);
  const next = useCallback(() => step(1), []), previous = useCallback(() => step(-1), []);
  const after = useCallback(() => jump(1), []), before = useCallback(() => jump(-1), []);
  const collapse = useCallback(() => latest.current.t.all(true), []), expand = useCallback(() => latest.current.t.all(false), []);
  const enter = useCallback(() => {
    const { p, t } = latest.current;
    const s = p.trace.spans[p.cursor];
    if (s?.group) t.toggle(s.index);
    else if (s) p.onOpen(s);
  }, []);
  useShortcut("j", "Next span", "Trace", next);
  useShortcut("s", "", "Trace", next);
  useShortcut("k", "Previous span", "Trace", previous);
  useShortcut("w", "", "Trace", previous);
  useShortcut("n", "Next match", "Trace", after);
  useShortcut("f", "", "Trace", after);
  useShortcut("N", "Previous match", "Trace", before);
  useShortcut("b", "", "Trace", before);
  useShortcut("[", "Collapse all", "Trace", collapse);
  useShortcut("]", "Expand all", "Trace", expand);
  return (e) => {
    const s = p.trace.spans[p.cursor];
    if (!s || e.ctrlKey || e.metaKey || e.altKey) return;
    const collapsed = t.collapsed.has(s.index);
    const page = Math.max(1, Math.floor((t.box.current?.clientHeight ?? 0) / rowHeight) - 1);
    if (e.key === "ArrowDown") step(1);
    else if (e.key === "ArrowUp") step(-1);
    else if (e.key === "PageDown") step(page);
    else if (e.key === "PageUp") step(-page);
    else if (e.key === "Home") step(-Infinity);
    else if (e.key === "End") step(Infinity);
    else if (e.key === "ArrowRight") { if (collapsed) t.toggle(s.index); else if (s.size > 1) step(1); }
    else if (e.key === "ArrowLeft") { if (s.size > 1 && !collapsed) t.toggle(s.index); else if (s.parent) p.onCursor(s.parent.index); }
    else if (e.key === "Enter" || e.key === " ") enter();
    else return;
    e.preventDefault();
  };
}

function Ruler({ view }: { view: View }) {
  const length = view.to - view.from;
  return (
    <div class="wf-ruler">
      {ticks(view, 6).map((t) => {
        const left = ((t - view.from) / length) * 100;
        return left < 94 && <span key={t} style={{ left: `${left}%` }}>{duration(t / 1e6)}</span>;
      })}
    </div>
  );
}

function Grid({ view }: { view: View }) {
  return (
    <div class="wf-grid" aria-hidden="true">
      <div>{ticks(view, 6).map((t) => <i key={t} style={{ left: `${((t - view.from) / (view.to - view.from)) * 100}%` }} />)}</div>
    </div>
  );
}

export function Waterfall(p: WaterfallProps) {
  const t = useTree(p);
  const onKey = useTreeKeys(p, t);
  const shown = useWindow(t.box, t.rows.length, rowHeight);
  const found = useMemo(() => new Set(p.matches), [p.matches]);
  const rows = [];
  for (let i = shown.first; i < shown.end; i++) {
    const s = p.trace.spans[t.rows[i]!]!;
    rows.push(
      <WaterfallRow
        key={s.index} span={s} view={p.view} collapsed={t.collapsed.has(s.index)} current={s.index === p.cursor} open={s.index === p.open}
        match={found.has(s.index)} path={p.path?.get(s.index)} logs={p.logs.get(s.index)} onToggle={(one) => t.toggle(one.index)} onOpen={p.onOpen}
      />,
    );
  }
  return (
    <div class="waterfall">
      <div class="wf-head">
        <div class="wf-name quiet">
          Service and operation
          <span class="grow" />
          <button type="button" class="plain" title="Expand all ( ] )" aria-label="Expand all" onClick={() => t.all(false)}>+</button>
          <button type="button" class="plain" title="Collapse all ( [ )" aria-label="Collapse all" onClick={() => t.all(true)}>−</button>
        </div>
        <Ruler view={p.view} />
      </div>
      <div class="wf-scroll" ref={t.box} role="tree" tabIndex={0} aria-label="Spans" aria-activedescendant={`span-${p.cursor}`} onKeyDown={onKey}>
        <Grid view={p.view} />
        <div style={{ height: `${t.rows.length * rowHeight}px`, paddingTop: `${shown.first * rowHeight}px` }} role="presentation">{rows}</div>
      </div>
    </div>
  );
}
