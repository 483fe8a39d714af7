// A whole trace, from OTLP/JSON to what the Trace page draws: spans in tree order with depth, self time and critical
// path. Times are read as integers of nanoseconds (they are above 2^53) and kept as microseconds since the trace's
// start, where a double is exact enough. What SDKs should not send (parents that never came, cycles, ids used twice,
// clocks that disagree, times that are none) is kept, shown and named in `problems`. Nothing here recurses: a chain of
// 100,000 spans is a chain.
import type { KeyValue, OtlpSpan, OtlpTrace } from "./api/tempo";
import { plain } from "./api/tempo";
import { selfTimes } from "./tracePath";
import { correctClocks } from "./traceClocks";

export interface Resource {
  service: string;
  attributes: KeyValue[];
}

export type Kind = "" | "internal" | "server" | "client" | "producer" | "consumer";
export type Status = "unset" | "ok" | "error";

export interface Span {
  /** its place in tree order; the spans below it are the `size - 1` after it */
  index: number;
  /** 16 hex digits; "" for a group */
  id: string;
  parentId: string;
  name: string;
  kind: Kind;
  status: Status;
  resource: Resource;
  scope: string;
  /** microseconds since the trace's start */
  start: number;
  duration: number;
  /** the part of the duration that no child covers */
  self: number;
  depth: number;
  /** spans in its subtree, itself among them */
  size: number;
  parent: Span | undefined;
  /** by start */
  children: Span[];
  /** microseconds by which its clock was corrected */
  shift: number;
  /** set on a row that is no span: the roof over spans without a place of their own */
  group: "missing" | "cycle" | undefined;
  otlp: OtlpSpan;
}

export interface ServiceCount {
  name: string;
  spans: number;
  errors: number;
}

export interface Trace {
  id: string;
  /** unix nanoseconds of time 0 */
  startNs: bigint;
  /** microseconds */
  duration: number;
  /** in tree order, groups among them */
  spans: Span[];
  roots: Span[];
  /** the first root that is a span, or the first span of all; undefined when there is none */
  root: Span | undefined;
  count: number;
  errors: number;
  services: ServiceCount[];
  /** sentences on what is odd about this trace */
  problems: string[];
  /** clocks were found to disagree (and were corrected, when that was asked for) */
  skewed: boolean;
}

/** An id as hex digits. OTLP/JSON has hex, Tempo's JSON base64: their lengths differ. "" for none or all zeros. */
export function hexId(id: string | undefined): string {
  if (!id) return "";
  let hex = id.toLowerCase();
  if (/^([\w+/-]{11}=|[\w+/-]{22}==)$/.test(id)) {
    const bytes = atob(id.replace(/-/g, "+").replace(/_/g, "/"));
    hex = Array.from(bytes, (c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  }
  return /^0*$/.test(hex) ? "" : hex;
}

/** Nanoseconds as the wire has them, text or number; undefined for what is no time. */
export function nanos(t: string | number | undefined): bigint | undefined {
  if (typeof t === "number") return t >= 1 && t < 2 ** 64 ? BigInt(Math.floor(t)) : undefined;
  return t && /^\d{1,20}$/.test(t) ? BigInt(t) || undefined : undefined;
}

const kinds: Kind[] = ["", "internal", "server", "client", "producer", "consumer"];

function kindOf(kind: string | number | undefined): Kind {
  if (typeof kind === "number") return kinds[kind] ?? "";
  const k = (kind ?? "").replace("SPAN_KIND_", "").toLowerCase();
  return kinds.find((one) => one === k) ?? "";
}

function statusOf(code: string | number | undefined): Status {
  return code === 2 || code === "STATUS_CODE_ERROR" ? "error" : code === 1 || code === "STATUS_CODE_OK" ? "ok" : "unset";
}

/** Attributes as a plain record. */
export function record(attributes: KeyValue[] | undefined): Record<string, unknown> {
  return Object.fromEntries((attributes ?? []).map((kv) => [kv.key, plain(kv.value)]));
}

export function serviceOf(attributes: KeyValue[] | undefined): string {
  const v = attributes?.find((kv) => kv.key === "service.name")?.value;
  return v ? String(plain(v) ?? "") : "";
}

interface Read {
  spans: Span[];
  startNs: bigint;
  timeless: number;
  backwards: number;
  repeated: number;
}

function spanOf(otlp: OtlpSpan, resource: Resource, scope: string): Span {
  return {
    index: 0, id: hexId(otlp.spanId), parentId: hexId(otlp.parentSpanId), name: otlp.name ?? "", kind: kindOf(otlp.kind),
    status: statusOf(otlp.status?.code), resource, scope, start: 0, duration: 0, self: 0, depth: 0, size: 1,
    parent: undefined, children: [], shift: 0, group: undefined, otlp,
  };
}

/** All spans with exact times relative to the earliest; a span that was sent twice is one span. */
function readSpans(trace: OtlpTrace): Read {
  const out: Read = { spans: [], startNs: 0n, timeless: 0, backwards: 0, repeated: 0 };
  const seen = new Set<string>();
  const starts: (bigint | undefined)[] = [];
  const ends: (bigint | undefined)[] = [];
  for (const rs of trace.resourceSpans ?? []) {
    const resource: Resource = { service: serviceOf(rs.resource?.attributes), attributes: rs.resource?.attributes ?? [] };
    for (const ss of rs.scopeSpans ?? []) {
      const scope = [ss.scope?.name, ss.scope?.version].filter(Boolean).join(" ");
      for (const otlp of ss.spans ?? []) {
        const key = `${otlp.spanId} ${otlp.parentSpanId ?? ""} ${otlp.startTimeUnixNano} ${otlp.endTimeUnixNano} ${resource.service} ${otlp.name}`;
        if (seen.has(key)) { out.repeated++; continue; }
        seen.add(key);
        out.spans.push(spanOf(otlp, resource, scope));
        starts.push(nanos(otlp.startTimeUnixNano));
        ends.push(nanos(otlp.endTimeUnixNano));
      }
    }
  }
  let first: bigint | undefined;
  for (const t of starts) if (t !== undefined && (first === undefined || t < first)) first = t;
  out.startNs = first ?? 0n;
  out.spans.forEach((s, i) => {
    const start = starts[i], end = ends[i];
    if (start === undefined) { out.timeless++; return; }
    s.start = Number(start - out.startNs) / 1e3;
    if (end !== undefined && end >= start) s.duration = Number(end - start) / 1e3;
    else out.backwards++;
  });
  return out;
}

function groupOf(group: "missing" | "cycle"): Span {
  const otlp: OtlpSpan = { traceId: "", spanId: "", startTimeUnixNano: "0", endTimeUnixNano: "0" };
  const name = group === "missing" ? "Parents that were not received" : "Spans that are each other's parents";
  return { ...spanOf(otlp, { service: "", attributes: [] }, ""), name, group };
}

function adopt(parent: Span, child: Span): void {
  child.parent = parent;
  parent.children.push(child);
}

/** Marks `top` and all below it. */
function mark(top: Span, reached: Set<Span>): void {
  const todo = [top];
  for (let s = todo.pop(); s; s = todo.pop()) {
    if (reached.has(s)) continue;
    reached.add(s);
    for (const c of s.children) todo.push(c);
  }
}

/** The earliest span of the cycle that the parents of `from` run into. */
function cycleTop(from: Span): Span {
  const walked = new Set<Span>();
  let s = from;
  while (!walked.has(s)) { walked.add(s); s = s.parent!; }
  let top = s;
  for (let c = s.parent!; c !== s; c = c.parent!) if (c.start < top.start) top = c;
  return top;
}

interface Linked {
  roots: Span[];
  missing: number;
  cycles: number;
  shared: number;
}

/** Gives each span its parent. Every span hangs below a root afterwards. */
function link(spans: Span[]): Linked {
  const byId = new Map<string, Span[]>();
  let shared = 0;
  for (const s of spans) {
    const same = byId.get(s.id);
    if (same) { same.push(s); shared++; } else byId.set(s.id, [s]);
  }
  const roots: Span[] = [];
  const missing = groupOf("missing");
  for (const s of spans) {
    const found = s.parentId ? byId.get(s.parentId) : undefined;
    if (found) adopt(found.find((p) => p.resource.service === s.resource.service && p !== s) ?? found[0]!, s);
    else if (s.parentId) adopt(missing, s);
    else roots.push(s);
  }
  const orphans = missing.children.length;
  if (orphans) roots.push(missing);
  const reached = new Set<Span>();
  for (const r of roots) mark(r, reached);
  const cycle = groupOf("cycle");
  for (const s of spans) {
    if (reached.has(s)) continue;
    const top = cycleTop(s);
    top.parent!.children = top.parent!.children.filter((c) => c !== top);
    adopt(cycle, top);
    mark(top, reached);
  }
  if (cycle.children.length) roots.push(cycle);
  return { roots, missing: orphans, cycles: cycle.children.length, shared };
}

const byStart = (a: Span, b: Span) => a.start - b.start || b.duration - a.duration;

/** Sorts siblings, and answers all spans in tree order with index, depth and size set. */
function order(roots: Span[]): Span[] {
  const out: Span[] = [];
  const rank = (s: Span) => (s.group ? 1 : 0);
  roots.sort((a, b) => rank(a) - rank(b) || byStart(a, b));
  const todo = [...roots].reverse();
  for (let s = todo.pop(); s; s = todo.pop()) {
    s.index = out.length;
    s.depth = s.parent ? s.parent.depth + 1 : 0;
    s.size = 1;
    out.push(s);
    s.children.sort(byStart);
    for (let i = s.children.length - 1; i >= 0; i--) todo.push(s.children[i]!);
  }
  for (let i = out.length - 1; i >= 0; i--) {
    const s = out[i]!;
    if (s.parent) s.parent.size += s.size;
  }
  return out;
}

/** A group is as long as what it holds. */
function stretchGroups(roots: Span[]): void {
  for (const g of roots) {
    if (!g.group) continue;
    let from = Infinity, to = 0;
    for (const c of g.children) { from = Math.min(from, c.start); to = Math.max(to, c.start + c.duration); }
    g.start = from;
    g.duration = to - from;
  }
}

/** Makes the earliest start 0 again; answers the whole length. */
function rebase(spans: Span[]): { from: number; length: number } {
  let from = Infinity, to = -Infinity;
  for (const s of spans) { from = Math.min(from, s.start); to = Math.max(to, s.start + s.duration); }
  if (!spans.length) return { from: 0, length: 0 };
  if (from !== 0) for (const s of spans) s.start -= from;
  return { from, length: to - from };
}

function countServices(spans: Span[]): ServiceCount[] {
  const by = new Map<string, ServiceCount>();
  for (const s of spans) {
    if (s.group) continue;
    let c = by.get(s.resource.service);
    if (!c) by.set(s.resource.service, (c = { name: s.resource.service, spans: 0, errors: 0 }));
    c.spans++;
    if (s.status === "error") c.errors++;
  }
  return [...by.values()];
}

const many = (n: number, one: string, more = one + "s") => `${n} ${n === 1 ? one : more}`;

function problemsOf(read: Read, linked: Linked): string[] {
  const out: string[] = [];
  const real = linked.roots.filter((r) => !r.group).length;
  if (linked.missing) out.push(`${many(linked.missing, "span has a parent that was", "spans have parents that were")} not received.`);
  if (linked.cycles) out.push(`${many(linked.cycles, "circle")} of spans that are each other's parents, cut at the earliest span.`);
  if (real > 1) out.push(`${real} roots.`);
  if (linked.shared) out.push(`${many(linked.shared, "span has", "spans have")} the id of another one.`);
  if (read.repeated) out.push(`${many(read.repeated, "span was", "spans were")} received more than once.`);
  if (read.timeless) out.push(`${many(read.timeless, "span has", "spans have")} no start time.`);
  if (read.backwards) out.push(`${many(read.backwards, "span ends", "spans end")} before the start, or never.`);
  return out;
}

/** Reads a trace. `correct`: spans whose clocks contradict their parents' are moved to fit. */
export function readTrace(id: string, otlp: OtlpTrace, correct = true): Trace {
  const read = readSpans(otlp);
  const linked = link(read.spans);
  let spans = order(linked.roots);
  const clocks = correctClocks(spans, correct);
  if (clocks.moved) {
    stretchGroups(linked.roots);
    spans = order(linked.roots);
  } else stretchGroups(linked.roots);
  const { from, length } = rebase(spans);
  selfTimes(spans);
  const services = countServices(spans);
  const real = spans.filter((s) => !s.group);
  return {
    id, startNs: read.startNs + BigInt(Math.round(from * 1e3)), duration: length, spans, roots: linked.roots,
    root: linked.roots.find((r) => !r.group) ?? real[0], count: real.length, errors: services.reduce((n, s) => n + s.errors, 0),
    services, problems: problemsOf(read, linked), skewed: clocks.skewed > 0,
  };
}

/** Unix seconds of a moment of the trace. */
export function unixSeconds(trace: Trace, micros: number): number {
  return Number(trace.startNs / 1000n) / 1e6 + micros / 1e6;
}

/** A moment on the wire as microseconds of the trace. */
export function microsOf(trace: Trace, t: string | number | undefined): number {
  const at = nanos(t);
  return at === undefined ? 0 : Number(at - trace.startNs) / 1e3;
}
