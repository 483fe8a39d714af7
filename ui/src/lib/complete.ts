// What may be typed next in a TraceQL or log query: pure where it reads the text, asking the node only for names and
// values. PromQL has its own completion (codemirror-promql).
import { isResourceKey, logQuoted } from "./filters";

export interface Choice {
  label: string;
  kind: "name" | "value" | "keyword" | "function";
  detail?: string;
}

export interface Completion {
  /** offset where the word that is being typed begins */
  from: number;
  choices: Choice[];
}

export type Complete = (text: string, position: number, signal: AbortSignal) => Promise<Completion | undefined>;

/** The names and values that an index or the trace store has; a page gives them. */
export interface Names {
  names: (signal: AbortSignal) => Promise<string[]>;
  values: (name: string, signal: AbortSignal) => Promise<string[]>;
}

const traceWords: Choice[] = [
  ...["duration", "name", "status", "kind", "statusMessage", "rootName", "rootServiceName", "traceDuration", "nestedSetParent"]
    .map((label): Choice => ({ label, kind: "name", detail: "intrinsic" })),
  ...["error", "ok", "unset", "server", "client", "consumer", "producer", "internal", "true", "false", "nil"]
    .map((label): Choice => ({ label, kind: "value" })),
];

const traceFunctions: Choice[] = [
  "rate()", "count_over_time()", "quantile_over_time(duration, .95)", "histogram_over_time(duration)", "avg_over_time(duration)",
  "max_over_time(duration)", "min_over_time(duration)", "sum_over_time(duration)", "count()", "avg(duration)", "max(duration)",
  "by(resource.service.name)", "select(name)", "topk(10)", "bottomk(10)", "coalesce()",
].map((label) => ({ label, kind: "function" }));

/** The text before the cursor inside the innermost open string, or undefined. */
function openString(before: string): { from: number; text: string } | undefined {
  let at = -1;
  for (let i = 0; i < before.length; i++) {
    if (before[i] === "\\" && at >= 0) i++;
    else if (before[i] === '"') at = at >= 0 ? -1 : i;
  }
  return at < 0 ? undefined : { from: at + 1, text: before.slice(at + 1) };
}

/** TraceQL: attributes with their scope inside { }, values inside quotes after an operator, functions after a pipe. */
export function traceqlCompletion(names: Names): Complete {
  return async (text, position, signal) => {
    const before = text.slice(0, position);
    const string = openString(before);
    if (string) {
      const m = /([\w.:\-/]+)\s*(?:!=|=~|!~|=)\s*$/.exec(before.slice(0, string.from - 1));
      if (!m) return undefined;
      const values = await names.values(m[1]!, signal);
      return { from: string.from, choices: values.map((label) => ({ label, kind: "value" })) };
    }
    const word = /[\w.\-/:]*$/.exec(before)![0];
    const from = position - word.length;
    const head = before.slice(0, from);
    if (/\|\s*$/.test(head) && head.lastIndexOf("{") <= head.lastIndexOf("}")) return { from, choices: traceFunctions };
    const inside = head.lastIndexOf("{") > head.lastIndexOf("}") || /\b(by|select|_over_time)\s*\([^)]*$/.test(head);
    if (!inside) return undefined;
    const scoped = (await names.names(signal)).map((n): Choice => ({ label: scopedName(n), kind: "name" }));
    return { from, choices: [...scoped, ...traceWords] };
  };
}

function scopedName(name: string): string {
  return /^(resource|span|event|link|instrumentation)\./.test(name) ? name : `${isResourceKey(name) ? "resource" : "span"}.${name}`;
}

const logWords: Choice[] = ["AND", "OR", "NOT"].map((label) => ({ label, kind: "keyword" }));

/** Log search: fields where a term begins, values after "field:". */
export function logCompletion(names: Names): Complete {
  return async (text, position, signal) => {
    const before = text.slice(0, position);
    const value = /([\w.\-/@]+):(?:"([^"]*)|([^\s"()\[\]{}]*))$/.exec(before);
    if (value) {
      const typed = value[2] ?? value[3] ?? "";
      const quoted = value[2] !== undefined;
      const values = await names.values(value[1]!, signal);
      return {
        from: position - typed.length,
        choices: values.map((v) => ({ label: quoted || /^[\w.\-]+$/.test(v) ? v : logQuoted(v), kind: "value" })),
      };
    }
    if (openString(before)) return undefined;
    const word = /[\w.\-/@]*$/.exec(before)![0];
    const fields = (await names.names(signal)).map((n): Choice => ({ label: `${n}:`, kind: "name" }));
    return { from: position - word.length, choices: [...fields, ...logWords] };
  };
}
