// PromQL as text: the query that one would ask of a metric, and the macros that Grafana's users know.
import { promMatchers, quoted, type Term } from "./filters";
import type { Interval } from "./time";

const plainName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** name{matchers}, with a name that is no plain word as a quoted one. */
export function selector(name: string, terms: Term[] = []): string {
  const inside = promMatchers(terms);
  if (plainName.test(name)) return inside ? `${name}{${inside}}` : name;
  return `{${[quoted(name), inside].filter(Boolean).join(",")}}`;
}

/** What one would ask of a metric of this type: a rate of a counter, the 95th percentile of a histogram, a gauge as it is. */
export function typicalQuery(name: string, type: string, terms: Term[] = []): string {
  const base = name.replace(/_(bucket|count|sum)$/, "");
  if (type === "histogram" || /_bucket$/.test(name)) {
    const bucket = /_bucket$/.test(name) || plainName.test(name) ? selector(`${base}_bucket`, terms) : selector(`${name}_bucket`, terms);
    return `histogram_quantile(0.95, sum by (le) (rate(${bucket}[$__rate_interval])))`;
  }
  if (type === "counter" || /_(total|count|sum)$/.test(name)) return `rate(${selector(name, terms)}[$__rate_interval])`;
  return selector(name, terms);
}

/** The scrape or export interval that is assumed where none is known, in seconds. */
const exportInterval = 15;

/** Replaces $__interval, $__rate_interval and $__range (with and without _s, _ms). */
export function expandMacros(query: string, step: number, over: Interval): string {
  const range = Math.max(1, Math.round(over.end - over.start));
  const rate = Math.max(step + exportInterval, 4 * exportInterval);
  return query
    .replace(/\$(__rate_interval|\{__rate_interval\})/g, `${rate}s`)
    .replace(/\$__interval_ms\b/g, String(step * 1000))
    .replace(/\$(__interval|\{__interval\})/g, `${step}s`)
    .replace(/\$__range_ms\b/g, String(range * 1000))
    .replace(/\$__range_s\b/g, String(range))
    .replace(/\$(__range|\{__range\})/g, `${range}s`);
}

/** Names as people count them: a histogram's buckets, count and sum are one metric. */
export function families<M extends { name: string; type: string }>(metrics: M[]): M[] {
  const out = new Map<string, M>();
  for (const m of metrics) {
    const name = m.type === "histogram" ? m.name.replace(/_(bucket|count|sum)$/, "") : m.name;
    if (!out.has(name)) out.set(name, { ...m, name });
  }
  return [...out.values()];
}
