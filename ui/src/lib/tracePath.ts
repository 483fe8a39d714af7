// Where a trace's time went: each span's self time, and the critical path, the chain of work that the trace's end
// waited for. Shortening anything off the path does not make the trace shorter.
import type { Span } from "./trace";

/** Sets `self` of every span: its duration less what its children cover, overlaps counted once. */
export function selfTimes(spans: Span[]): void {
  for (const s of spans) {
    if (s.group) { s.self = 0; continue; }
    const end = s.start + s.duration;
    let covered = 0, upTo = s.start;
    for (const c of s.children) {
      const from = Math.max(c.start, upTo), to = Math.min(c.start + c.duration, end);
      if (to > from) { covered += to - from; upTo = to; }
    }
    s.self = Math.max(0, s.duration - covered);
  }
}

/** A stretch of the critical path: `span` was what the trace waited for from `from` to `to` (microseconds). */
export interface Stretch {
  span: Span;
  from: number;
  to: number;
}

interface Frame {
  span: Span | undefined;
  /** latest end first */
  children: Span[];
  next: number;
  low: number;
  high: number;
  cursor: number;
}

const endOf = (s: Span) => s.start + s.duration;

/** How much a span may overlap the next one that still followed it: clocks round, and a callback starts before its span's end is written. */
const slack = (s: Span) => Math.max(1, s.duration * 0.01);

function frame(span: Span | undefined, children: Span[], low: number, high: number): Frame {
  return { span, children: [...children].sort((a, b) => endOf(b) - endOf(a)), next: 0, low, high, cursor: high };
}

/**
 * The critical path, latest stretch first. From a span's end backwards: the child that ended last before the cursor is
 * what the span waited for; between such children it worked itself. A child that outlives its parent counts up to the
 * parent's end: nobody waited for the rest.
 */
export function criticalPath(roots: Span[]): Stretch[] {
  const out: Stretch[] = [];
  let low = Infinity, high = -Infinity;
  for (const r of roots) { low = Math.min(low, r.start); high = Math.max(high, endOf(r)); }
  if (!roots.length) return out;
  const stack = [frame(undefined, roots, low, high)];
  for (let f = stack.at(-1); f; f = stack.at(-1)) {
    const c = f.children[f.next++];
    if (c) {
      const own = Math.min(endOf(c), f.high), start = Math.max(c.start, f.low);
      if (own > f.cursor + slack(c)) continue;
      const end = Math.min(own, f.cursor);
      if (end <= start) continue;
      if (f.span && !f.span.group && end < f.cursor) out.push({ span: f.span, from: end, to: f.cursor });
      f.cursor = start;
      stack.push(frame(c, c.children, start, end));
      continue;
    }
    if (f.span && !f.span.group && f.cursor > f.low) out.push({ span: f.span, from: f.low, to: f.cursor });
    stack.pop();
  }
  return out;
}

/** The stretches of each span, by its index. */
export function pathBySpan(path: Stretch[]): Map<number, Stretch[]> {
  const out = new Map<number, Stretch[]>();
  for (const s of path) {
    const have = out.get(s.span.index);
    if (have) have.push(s);
    else out.set(s.span.index, [s]);
  }
  return out;
}
