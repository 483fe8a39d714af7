// A trace added up: per operation for the Table view, per call path for the flame graph.
import type { Span } from "./trace";

export interface Operation {
  service: string;
  name: string;
  count: number;
  errors: number;
  /** microseconds: sums over the spans, and the 95th percentile and the longest of them */
  total: number;
  self: number;
  p95: number;
  max: number;
}

/** The value below which 95 % of `sorted` lie (nearest rank). */
export function p95(sorted: number[]): number {
  return sorted.length ? sorted[Math.ceil(sorted.length * 0.95) - 1]! : 0;
}

/** One row for each service and operation. */
export function operations(spans: Span[]): Operation[] {
  const by = new Map<string, { row: Operation; durations: number[] }>();
  for (const s of spans) {
    if (s.group) continue;
    const key = JSON.stringify([s.resource.service, s.name]);
    let got = by.get(key);
    if (!got) {
      got = { row: { service: s.resource.service, name: s.name, count: 0, errors: 0, total: 0, self: 0, p95: 0, max: 0 }, durations: [] };
      by.set(key, got);
    }
    got.row.count++;
    got.row.total += s.duration;
    got.row.self += s.self;
    if (s.status === "error") got.row.errors++;
    got.durations.push(s.duration);
  }
  return [...by.values()].map(({ row, durations }) => {
    durations.sort((a, b) => a - b);
    row.p95 = p95(durations);
    row.max = durations.at(-1)!;
    return row;
  });
}

/** All spans that were reached by the same path of operations. Its width is the self time of its whole subtree. */
export interface Flame {
  service: string;
  name: string;
  count: number;
  errors: number;
  /** microseconds */
  self: number;
  width: number;
  /** where it begins, in microseconds of width from the left */
  left: number;
  depth: number;
  parent: Flame | undefined;
  children: Flame[];
  /** the longest of its spans */
  span: Span | undefined;
}

function flameOf(parent: Flame | undefined, service: string, name: string): Flame {
  return { service, name, count: 0, errors: 0, self: 0, width: 0, left: 0, depth: parent ? parent.depth + 1 : 0, parent, children: [], span: undefined };
}

/** Paths in tree order, the first one the whole trace; siblings widest first. `spans` in tree order. */
export function flames(spans: Span[]): Flame[] {
  const top = flameOf(undefined, "", "");
  const all = [top];
  const below = new Map<Flame, Map<string, Flame>>();
  const at: Flame[] = [];
  for (const s of spans) {
    const parent = s.parent ? at[s.parent.index]! : top;
    if (s.group) { at[s.index] = top; continue; }
    let known = below.get(parent);
    if (!known) below.set(parent, (known = new Map()));
    const key = JSON.stringify([s.resource.service, s.name]);
    let f = known.get(key);
    if (!f) {
      f = flameOf(parent, s.resource.service, s.name);
      known.set(key, f);
      parent.children.push(f);
      all.push(f);
    }
    at[s.index] = f;
    f.count++;
    f.self += s.self;
    if (s.status === "error") f.errors++;
    if (!f.span || s.duration > f.span.duration) f.span = s;
  }
  // A path is made before any path below it.
  for (let i = all.length - 1; i >= 0; i--) {
    const f = all[i]!;
    f.width += f.self;
    if (f.parent) f.parent.width += f.width;
  }
  return layOut(top);
}

function layOut(top: Flame): Flame[] {
  const out: Flame[] = [];
  const todo = [top];
  for (let f = todo.pop(); f; f = todo.pop()) {
    out.push(f);
    f.children.sort((a, b) => b.width - a.width || (a.name < b.name ? -1 : 1));
    let left = f.left;
    for (const c of f.children) { c.left = left; left += c.width; }
    for (let i = f.children.length - 1; i >= 0; i--) todo.push(f.children[i]!);
  }
  return out;
}
