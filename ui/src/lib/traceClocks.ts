// Clocks of two hosts never agree. A span that starts before its parent in another process cannot have done so: its
// whole process is moved to fit the parent, as far as its subtree goes. Within one process only a span that was over
// before its parent began tells of a clock that was set.
import type { Span } from "./trace";

/** The correction that `child` needs to fit `parent`, whose times are corrected already; 0 for none. */
function needed(parent: Span, child: Span): number {
  const end = parent.start + parent.duration;
  const before = child.start < parent.start;
  const after = parent.kind === "client" && child.kind === "server" && child.start > end;
  if (!before && !after) return 0;
  const room = parent.duration - child.duration;
  return parent.start + Math.max(room, 0) / 2 - child.start;
}

/**
 * Counts the spans whose clocks contradict their parents', and moves them when `move` is set. `spans` in tree order: a
 * parent is done before its children, and a child in the same process goes with it.
 */
export function correctClocks(spans: Span[], move: boolean): { skewed: number; moved: boolean } {
  let skewed = 0;
  const shifts = new Float64Array(spans.length);
  for (const s of spans) {
    const p = s.parent;
    if (!p || p.group) continue;
    const same = p.resource === s.resource;
    const inherited = same ? shifts[p.index]! : 0;
    const over = s.start + s.duration + inherited < p.start;
    const by = same && !over ? inherited : needed(p, s);
    if (by && !(same && !over)) skewed++;
    if (!move || !by) continue;
    shifts[s.index] = by;
    s.shift = by;
    s.start += by;
  }
  return { skewed, moved: move && skewed > 0 };
}
