// The filter bar's terms and their translation to the three query languages. A term names an attribute as
// OpenTelemetry does ("service.name", "http.route"); each page shows the query that comes of it, editable.
import { computed } from "@preact/signals";
import { place, setQuery } from "./url";

export interface Term {
  key: string;
  op: "=" | "!=";
  value: string;
}

export function parseTerm(text: string): Term | undefined {
  const m = /^\s*([^=!\s][^=!]*?)\s*(!=|=)\s*(.*?)\s*$/s.exec(text);
  if (!m) return undefined;
  const key = m[1] === "service" ? "service.name" : m[1] === "env" ? "deployment.environment.name" : m[1]!;
  const value = m[3]!.replace(/^"(.*)"$/s, "$1");
  return value === "" ? undefined : { key, op: m[2] as Term["op"], value };
}

export function termText(t: Term): string {
  return `${t.key}${t.op}${t.value}`;
}

export const filters = computed<Term[]>(() =>
  place.value.params.getAll("f").map(parseTerm).filter((t) => t !== undefined),
);

/** A text that changes exactly when the filters do. */
export const filtersKey = computed(() => filters.value.map(termText).join("\n"));

export function addFilter(term: Term): void {
  const others = filters.value.filter((t) => !(t.key === term.key && t.value === term.value));
  setQuery({ f: [...others, term].map(termText) });
}

export function removeFilter(term: Term): void {
  setQuery({ f: filters.value.map(termText).filter((t) => t !== termText(term)) });
}

export function clearFilters(): void {
  setQuery({ f: [] });
}

/** Attributes that belong to the resource by the semantic conventions. */
const resourceKey = /^(service|deployment|k8s|host|cloud|telemetry|process|container|os|device|browser|faas|webengine)\./;

export function isResourceKey(key: string): boolean {
  return resourceKey.test(key);
}

/** A string of TraceQL and PromQL, which read \\n. */
export function quoted(value: string): string {
  return '"' + value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n") + '"';
}

// -- TraceQL -----------------------------------------------------------------------------------------------------------

const intrinsics = new Set(["name", "kind", "status", "statusMessage", "duration", "rootName", "rootServiceName"]);
const bareName = /^[A-Za-z_][\w.\-/]*$/;

/** "resource.service.name", "span.http.route", `span."odd key"`; ".x" (any scope) stays as it is. */
export function traceqlName(key: string): string {
  if (intrinsics.has(key) || /^(trace|span|event|link|instrumentation):/.test(key) || (key[0] === "." && bareName.test(key.slice(1)))) return key;
  const scoped = /^(resource|span|log|event|link|instrumentation)\.(.+)$/s.exec(key);
  const scope = scoped ? scoped[1]!.replace("log", "span") : isResourceKey(key) ? "resource" : "span";
  const name = scoped ? scoped[2]! : key;
  return `${scope}.${bareName.test(name) ? name : quoted(name)}`;
}

export type Operator = "=" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<=";

const bareValue = /^(-?\d+(\.\d+)?|true|false)$/;
const bareDuration = /^\d+(\.\d+)?(ns|us|µs|ms|s|m|h)$/;
const keywordNames = new Set(["kind", "status", "span:kind", "span:status"]);
const durationNames = new Set(["duration", "traceDuration", "span:duration", "trace:duration"]);

/**
 * A condition on one name. A text does not equal a number in TraceQL and a person does not say which one is stored, so
 * 500 and true are asked for as both; "500" in quotes is the text only.
 */
export function traceqlCondition(key: string, op: Operator, value: string): string {
  const name = traceqlName(key);
  const literal = /^"(.*)"$/s.exec(value);
  if (literal) return `${name} ${op} ${quoted(literal[1]!)}`;
  if (keywordNames.has(key) || (durationNames.has(key) && bareDuration.test(value))) return `${name} ${op} ${value}`;
  if (op === "=~" || op === "!~" || !(bareValue.test(value) || (op !== "=" && op !== "!=" && bareDuration.test(value)))) return `${name} ${op} ${quoted(value)}`;
  if (op !== "=" && op !== "!=") return `${name} ${op} ${value}`;
  return intrinsics.has(key) ? `${name} ${op} ${quoted(value)}` : `(${name} ${op} ${value} || ${name} ${op} ${quoted(value)})`;
}

export function traceqlTerm(t: Term): string {
  return traceqlCondition(t.key, t.op, t.value);
}

/** A spanset filter of all terms: "{ }" when there are none. */
export function traceql(terms: Term[], extra: string[] = []): string {
  const all = [...terms.map(traceqlTerm), ...extra];
  return all.length ? `{ ${all.join(" && ")} }` : "{ }";
}

/** The inside of a query that is one spanset filter and no more ("{ a = 1 }"), or undefined. */
function onlyFilter(query: string): string | undefined {
  const m = /^\{((?:[^{}"`|]|\|\||"(?:[^"\\]|\\.)*"|`[^`]*`)*)\}$/s.exec(query);
  return m ? m[1]!.trim() : undefined;
}

/** `||` outside of parentheses and strings. */
function joinsByOr(inside: string): boolean {
  let bare = inside.replace(/"(?:[^"\\]|\\.)*"|`[^`]*`/gs, "");
  for (let before = ""; before !== bare; ) bare = (before = bare).replace(/\([^()]*\)/g, "");
  return bare.includes("||");
}

/** `query` narrowed by conditions: inside its filter when it is one filter, else as one more spanset of the same trace. */
export function traceqlNarrowed(query: string, conditions: string[]): string {
  const own = query.trim();
  if (!conditions.length) return own || "{ }";
  const inside = own ? onlyFilter(own) : "";
  if (inside === undefined) return `{ ${conditions.join(" && ")} } && (${own})`;
  const kept = inside && joinsByOr(inside) ? `(${inside})` : inside;
  return `{ ${[...conditions, ...(kept ? [kept] : [])].join(" && ")} }`;
}

// -- log search ----------------------------------------------------------------------------------------------------------

const logFields: Record<string, string> = {
  "service.name": "service_name",
  severity: "severity_text",
  trace_id: "trace_id",
  span_id: "span_id",
  event_name: "event_name",
  body: "body.message",
};

/** The field of the log index that holds an attribute. */
export function logField(key: string): string {
  if (logFields[key]) return logFields[key];
  const scoped = /^(resource|span|log)\.(.+)$/.exec(key);
  if (scoped) return (scoped[1] === "resource" ? "resource_attributes." : "attributes.") + scoped[2]!;
  if (/^(attributes|resource_attributes|body)\./.test(key)) return key;
  if (Object.values(logFields).includes(key) || key === "severity_number") return key;
  return (isResourceKey(key) ? "resource_attributes." : "attributes.") + key;
}

/** A phrase of a log query, where a backslash makes the next character plain: nothing else is escaped. */
export function logQuoted(value: string): string {
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** A value inside a log query; bare when it can be. */
export function logValue(value: string): string {
  return /^[A-Za-z0-9_][\w.\-]*$/.test(value) && !/^(AND|OR|NOT|IN)$/.test(value) ? value : logQuoted(value);
}

export function logTerm(t: Term): string {
  const term = `${logField(t.key)}:${logValue(t.value)}`;
  return t.op === "=" ? term : `NOT ${term}`;
}

/** `query` narrowed by the terms; "*" for neither. */
export function logQuery(terms: Term[], query = ""): string {
  const own = query.trim() === "*" ? "" : query.trim();
  const parts = terms.map(logTerm);
  if (own) parts.push(parts.length && /\s(OR|AND)\s/.test(own) ? `(${own})` : own);
  return parts.length ? parts.join(" AND ") : "*";
}

// -- PromQL --------------------------------------------------------------------------------------------------------------

/** The label that holds an attribute: the service's name is the job. */
export function promLabel(key: string): string {
  if (key === "service.name") return "job";
  if (key === "service.instance.id") return "instance";
  return key.replace(/^(resource|span|log)\./, "").replace(/[^A-Za-z0-9_:]/g, "_");
}

/** Label matchers of all terms, without braces. */
export function promMatchers(terms: Term[]): string {
  return terms.map((t) => `${promLabel(t.key)}${t.op}${quoted(t.value)}`).join(",");
}
