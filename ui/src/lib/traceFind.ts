// Finding spans by text, and which rows show when some are collapsed.
import type { Span } from "./trace";

const texts = new WeakMap<Span, string>();

/** All that a span says, in small letters: names, attributes, events. Made once, when first searched. */
function textOf(s: Span): string {
  let t = texts.get(s);
  if (t === undefined) {
    const parts = [s.name, s.resource.service, s.id, s.kind, s.otlp.status?.message ?? ""];
    if (s.status === "error") parts.push("error");
    for (const kv of s.otlp.attributes ?? []) parts.push(kv.key, JSON.stringify(Object.values(kv.value ?? {})));
    for (const e of s.otlp.events ?? []) parts.push(e.name ?? "", JSON.stringify(e.attributes ?? []));
    t = parts.join("\n").toLowerCase();
    texts.set(s, t);
  }
  return t;
}

/** Indexes of the spans that hold every word of `text`, in tree order. */
export function find(spans: Span[], text: string): number[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  return spans.filter((s) => !s.group && words.every((w) => textOf(s).includes(w))).map((s) => s.index);
}

/** The next match after `from` in direction `step`, around the end. */
export function nextMatch(matches: number[], from: number, step: 1 | -1): number | undefined {
  if (!matches.length) return undefined;
  if (step === 1) return matches.find((m) => m > from) ?? matches[0];
  return matches.findLast((m) => m < from) ?? matches.at(-1);
}

/** Indexes of the rows that show: all but those below a collapsed one. */
export function visibleRows(spans: Span[], collapsed: ReadonlySet<number>): Int32Array {
  const out = new Int32Array(spans.length);
  let n = 0;
  for (let i = 0; i < spans.length; i += collapsed.has(i) ? spans[i]!.size : 1) out[n++] = i;
  return out.subarray(0, n);
}

/** The row of span `index` among `rows` (ascending), or of the nearest span above it that shows. */
export function rowOf(rows: Int32Array, index: number): number {
  let low = 0, high = rows.length - 1;
  while (low < high) {
    const mid = (low + high + 1) >> 1;
    if (rows[mid]! <= index) low = mid;
    else high = mid - 1;
  }
  return low;
}

/** `collapsed` without the spans above `index`: the span can be seen. */
export function revealed(spans: Span[], collapsed: ReadonlySet<number>, index: number): ReadonlySet<number> {
  let out: Set<number> | undefined;
  for (let p = spans[index]?.parent; p; p = p.parent)
    if (collapsed.has(p.index)) (out ??= new Set(collapsed)).delete(p.index);
  return out ?? collapsed;
}
