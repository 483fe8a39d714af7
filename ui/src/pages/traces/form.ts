// The search form and the TraceQL text are two views of one query. The form writes one spanset filter; it reads back a
// filter of conditions joined by &&, which is what it can show. Anything else is TraceQL's alone.
import { type Operator, traceqlCondition } from "../../lib/filters";

export interface Row {
  key: string;
  op: Operator;
  value: string;
}

export interface Form {
  service: string;
  name: string;
  status: string;
  /** "10ms", "1.5s" */
  min: string;
  max: string;
  rows: Row[];
}

export const operators: Operator[] = ["=", "!=", "=~", "!~", ">", ">=", "<", "<="];
export const emptyForm: Form = { service: "", name: "", status: "", min: "", max: "", rows: [] };

export function isDuration(text: string): boolean {
  return /^\d+(\.\d+)?(ns|us|µs|ms|s|m|h)$/.test(text);
}

export function writeForm(f: Form): string {
  const out: string[] = [];
  if (f.service) out.push(traceqlCondition("service.name", "=", literal(f.service)));
  if (f.name) out.push(traceqlCondition("name", "=", f.name));
  if (f.status) out.push(traceqlCondition("status", "=", f.status));
  if (f.min) out.push(traceqlCondition("duration", ">=", f.min));
  if (f.max) out.push(traceqlCondition("duration", "<=", f.max));
  for (const r of f.rows) if (r.key && r.value !== "") out.push(traceqlCondition(r.key, r.op, r.value));
  return out.length ? `{ ${out.join(" && ")} }` : "";
}

/** A text whatever it looks like. */
function literal(text: string): string {
  return /^(-?\d+(\.\d+)?|true|false)$/.test(text) ? `"${text}"` : text;
}

// -- reading -----------------------------------------------------------------------------------------------------------------

type Token = { kind: "name" | "op" | "sign"; text: string } | { kind: "string"; text: string } | { kind: "bare"; text: string };

const patterns: [Token["kind"], RegExp][] = [
  ["string", /"(?:[^"\\]|\\.)*"/sy],
  ["sign", /&&|\|\||[{}()]/y],
  ["op", /=~|!~|!=|>=|<=|=|>|</y],
  ["name", /(?:(?:resource|span|event|link|instrumentation)\.(?:"(?:[^"\\]|\\.)*"|[^\s{}()=~!<>&|^,"]+)|\.[^\s{}()=~!<>&|^,"]+|(?:trace|span|event|link|instrumentation):\w+|[A-Za-z]\w*)/sy],
  ["bare", /-?[\d.]+[a-zµ]*/y],
];

function unquoted(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/gs, (_, c: string) => (c === "n" ? "\n" : c));
}

/** undefined when a part is none of these. */
function tokens(query: string): Token[] | undefined {
  const out: Token[] = [];
  let at = 0;
  for (;;) {
    while (at < query.length && /\s/.test(query[at]!)) at++;
    if (at >= query.length) return out;
    const found = patterns.find(([, re]) => { re.lastIndex = at; return re.test(query); });
    if (!found) return undefined;
    const end = found[1].lastIndex;
    const text = query.slice(at, end);
    out.push({ kind: found[0], text: found[0] === "string" ? unquoted(text) : text });
    at = end;
  }
}

/** The name as the form has it: span."a b" -> span.a b */
function keyOf(name: string): string {
  const m = /^(\w+)\.("(?:[^"\\]|\\.)*")$/s.exec(name);
  return m ? `${m[1]}.${unquoted(m[2]!)}` : name;
}

class Reader {
  private at = 0;
  constructor(private readonly all: Token[]) {}
  get done(): boolean { return this.at === this.all.length; }
  sign(text: string): boolean {
    const t = this.all[this.at];
    if (t?.kind !== "sign" || t.text !== text) return false;
    this.at++;
    return true;
  }
  /** name op value; the value of a text that looks like a number or boolean keeps its quotes */
  condition(): Row | undefined {
    const [name, op, value] = this.all.slice(this.at, this.at + 3);
    if (name?.kind !== "name" || op?.kind !== "op" || !value || value.kind === "op" || value.kind === "sign") return undefined;
    if (value.kind === "name" && /[.:]/.test(value.text)) return undefined;
    this.at += 3;
    const text = value.kind === "string" ? literal(value.text) : value.text;
    return { key: keyOf(name.text), op: op.text as Operator, value: text };
  }
  /** a condition, or the same one for a number and its text */
  term(): Row | undefined {
    if (!this.sign("(")) return this.condition();
    const a = this.condition();
    if (!a || !this.sign("||")) return undefined;
    const b = this.condition();
    if (!b || !this.sign(")") || a.key !== b.key || a.op !== b.op || b.value !== `"${a.value}"`) return undefined;
    return a;
  }
}

function rowsOf(query: string): Row[] | undefined {
  const all = tokens(query);
  if (!all) return undefined;
  const r = new Reader(all);
  const rows: Row[] = [];
  if (r.done) return rows;
  if (!r.sign("{")) return undefined;
  if (r.sign("}")) return r.done ? rows : undefined;
  do {
    const row = r.term();
    if (!row) return undefined;
    rows.push(row);
  } while (r.sign("&&"));
  return r.sign("}") && r.done ? rows : undefined;
}

/** The form that writes this query, or undefined when no form does. */
export function readForm(query: string): Form | undefined {
  const rows = rowsOf(query);
  if (!rows) return undefined;
  const f: Form = { ...emptyForm, rows: [] };
  const text = (v: string) => v.replace(/^"(.*)"$/s, "$1");
  for (const r of rows) {
    if (r.key === "resource.service.name" && r.op === "=" && !f.service) f.service = text(r.value);
    else if (r.key === "name" && r.op === "=" && !f.name) f.name = text(r.value);
    else if (r.key === "status" && r.op === "=" && !f.status) f.status = r.value;
    else if (r.key === "duration" && r.op === ">=" && !f.min) f.min = r.value;
    else if (r.key === "duration" && r.op === "<=" && !f.max) f.max = r.value;
    else f.rows.push(r);
  }
  return f;
}
