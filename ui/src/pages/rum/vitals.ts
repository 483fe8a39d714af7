// Web vitals from raw events: the thresholds that Google publishes, and the shares and percentiles of what was measured.
import type { Bucket } from "../../lib/api/quickwit";
import { duration } from "../../lib/units";

export type Vital = "lcp" | "inp" | "cls" | "fcp" | "ttfb";
export type Rating = "good" | "needs-improvement" | "poor";

export const vitals: { id: Vital; label: string; says: string; good: number; poor: number }[] = [
  { id: "lcp", label: "LCP", says: "Largest Contentful Paint: when the main content is there", good: 2500, poor: 4000 },
  { id: "inp", label: "INP", says: "Interaction to Next Paint: how long the page takes to react", good: 200, poor: 500 },
  { id: "cls", label: "CLS", says: "Cumulative Layout Shift: how much the page jumps", good: 0.1, poor: 0.25 },
  { id: "fcp", label: "FCP", says: "First Contentful Paint: when anything is there", good: 1800, poor: 3000 },
  { id: "ttfb", label: "TTFB", says: "Time to First Byte: how long the server takes", good: 800, poor: 1800 },
];

export function rate(vital: Vital, value: number): Rating {
  const v = vitals.find((x) => x.id === vital)!;
  return value <= v.good ? "good" : value <= v.poor ? "needs-improvement" : "poor";
}

/** Milliseconds as a duration; CLS has no unit. */
export function vitalText(vital: Vital, value: number): string {
  return vital === "cls" ? value.toFixed(value < 0.1 ? 3 : 2) : duration(value / 1e3);
}

export interface Measured {
  count: number;
  p75: number | undefined;
  /** shares of the ratings, together 1 */
  shares: Record<Rating, number>;
}

export interface RouteVitals {
  route: string;
  vitals: Partial<Record<Vital, Measured>>;
}

const value = "attributes.browser.web_vital.value";
const routesMax = 50;

/** Of each vital: how it was rated and its 75th percentile, over all and by route. */
export const vitalAggs = {
  vitals: {
    terms: { field: "attributes.browser.web_vital.name", size: 10 },
    aggs: {
      p75: { percentiles: { field: value, percents: [75] } },
      ratings: { terms: { field: "attributes.browser.web_vital.rating", size: 5 } },
      routes: {
        terms: { field: "attributes.url.template", size: routesMax },
        aggs: { p75: { percentiles: { field: value, percents: [75] } }, ratings: { terms: { field: "attributes.browser.web_vital.rating", size: 5 } } },
      },
    },
  },
};

function sub(b: Bucket, name: string): Bucket[] {
  return (b[name] as { buckets?: Bucket[] } | undefined)?.buckets ?? [];
}

function measured(b: Bucket): Measured {
  const p75 = (b["p75"] as { values?: Record<string, number | null> } | undefined)?.values?.["75.0"];
  const counts: Record<Rating, number> = { good: 0, "needs-improvement": 0, poor: 0 };
  for (const r of sub(b, "ratings")) if (r.key in counts) counts[r.key as Rating] += r.doc_count;
  const all = counts.good + counts["needs-improvement"] + counts.poor || 1;
  return {
    count: b.doc_count,
    p75: typeof p75 === "number" ? p75 : undefined,
    shares: { good: counts.good / all, "needs-improvement": counts["needs-improvement"] / all, poor: counts.poor / all },
  };
}

function known(key: string | number): Vital | undefined {
  return vitals.find((v) => v.id === String(key).toLowerCase())?.id;
}

export function readVitals(buckets: Bucket[]): { overall: Partial<Record<Vital, Measured>>; routes: RouteVitals[] } {
  const overall: Partial<Record<Vital, Measured>> = {};
  const routes = new Map<string, RouteVitals>();
  for (const b of buckets) {
    const vital = known(b.key);
    if (!vital) continue;
    overall[vital] = measured(b);
    for (const r of sub(b, "routes")) {
      const route = String(r.key);
      if (!routes.has(route)) routes.set(route, { route, vitals: {} });
      routes.get(route)!.vitals[vital] = measured(r);
    }
  }
  return { overall, routes: [...routes.values()].sort((a, b) => (a.route < b.route ? -1 : 1)) };
}
