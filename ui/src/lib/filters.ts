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

function quoted(value: string): string {
  return '"' + value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n") + '"';
}

// -- TraceQL -----------------------------------------------------------------------------------------------------------

const intrinsics = new Set(["name", "kind", "status", "statusMessage", "duration", "rootName", "rootServiceName"]);
const bareName = /^[A-Za-z_][\w.\-/]*$/;

/** "resource.service.name", "span.http.route", `span."odd key"` */
export function traceqlName(key: string): string {
  if (intrinsics.has(key) || /^(trace|span|event|link|instrumentation):/.test(key)) return key;
  const scoped = /^(resource|span|event|link|instrumentation)\.(.+)$/.exec(key);
  const scope = scoped ? scoped[1]! : isResourceKey(key) ? "resource" : "span";
  const name = scoped ? scoped[2]! : key;
  return `${scope}.${bareName.test(name) ? name : quoted(name)}`;
}

export function traceqlTerm(t: Term): string {
  const bare = t.key === "kind" || t.key === "status" || t.key === "duration";
  return `${traceqlName(t.key)} ${t.op} ${bare ? t.value : quoted(t.value)}`;
}

/** A spanset filter of all terms: "{ }" when there are none. */
export function traceql(terms: Term[], extra: string[] = []): string {
  const all = [...terms.map(traceqlTerm), ...extra];
  return all.length ? `{ ${all.join(" && ")} }` : "{ }";
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

/** A value inside a log query; bare when it can be. */
export function logValue(value: string): string {
  return /^[A-Za-z0-9_][\w.\-]*$/.test(value) && !/^(AND|OR|NOT|IN)$/.test(value) ? value : quoted(value);
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
