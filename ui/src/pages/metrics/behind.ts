// The traces behind a metric: its exemplars; or, where the SDK sends none, spans of the services that the query names,
// measured at the same time.
import { type Exemplar, exemplars } from "../../lib/api/prometheus";
import { metricsRange } from "../../lib/api/tempo";
import { quoted } from "../../lib/filters";
import { type Interval, niceStep } from "../../lib/time";

const servicesMax = 5;
const steps = 30;

/** The query whose series carry the exemplars: SDKs attach them to a histogram, so to its buckets. */
export function exemplarQuery(query: string): string {
  return query.replace(/\b([a-zA-Z_:][\w:]*)_(count|sum)\b/g, "$1_bucket");
}

/** The services whose series the queries select: job="namespace/name" or job="name", and service_name="name". */
export function servicesOf(queries: string[]): string[] {
  const names = new Set<string>();
  for (const q of queries)
    for (const m of q.matchAll(/\b(?:job|service_name)\s*=\s*"((?:[^"\\]|\\.)*)"/g)) {
      const name = m[1]!.replace(/\\(.)/g, "$1");
      names.add(name.slice(name.lastIndexOf("/") + 1));
    }
  return [...names].filter(Boolean).slice(0, servicesMax);
}

async function spansOf(service: string, over: Interval, signal: AbortSignal): Promise<Exemplar[]> {
  const q = `{ resource.service.name = ${quoted(service)} && (kind = server || kind = consumer) } | quantile_over_time(duration, .95) with (exemplars=true)`;
  const series = await metricsRange(q, over, niceStep(over, steps), signal);
  return series.flatMap((s) => s.exemplars).map((e) => ({ labels: {}, series: { job: service }, span: true, ...e }));
}

export async function behind(queries: string[], over: Interval, signal: AbortSignal): Promise<Exemplar[]> {
  // Exemplars are an extra: a query that cannot be read says so where its answer is shown.
  const found = (await Promise.all(queries.map((q) => exemplars(exemplarQuery(q), over, signal).catch(() => [])))).flat();
  if (found.length) return found;
  return (await Promise.all(servicesOf(queries).map((s) => spansOf(s, over, signal)))).flat();
}
