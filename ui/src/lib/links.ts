// Where things lead: every link between signals is made here, so that a page's address is known in one place.
import { toText } from "./range";
import type { Interval } from "./time";
import { href } from "./url";

function around(over: Interval | undefined): { from?: string; to?: string } {
  return over ? { from: toText(over.start), to: toText(over.end) } : {};
}

/** `seconds` before and after a moment. */
export function near(time: number, seconds: number): Interval {
  return { start: time - seconds, end: time + seconds };
}

export const toHome = () => href("/");
export const toMetrics = (queries: string[] = [], over?: Interval) => href("/explore/metrics", { q: queries, ...around(over) });
/** What a service measures: the browser of metrics, narrowed to it. */
export const toServiceMetrics = (service: string, over?: Interval) => href("/explore/metrics", { f: [`service.name=${service}`], ...around(over) });
export const toLogs = (query = "", over?: Interval) => href("/explore/logs", { q: query, ...around(over) });
export const toTraces = (query = "", over?: Interval) => href("/explore/traces", { q: query, ...around(over) });
export const toSlowestTraces = (query: string) => href("/explore/traces", { q: query, sort: "slowest" });
export const toTrace = (id: string, span?: string) => href(`/trace/${encodeURIComponent(id)}`, { span });
export const toServices = () => href("/services");
export const toService = (name: string) => href(`/services/${encodeURIComponent(name)}`);
export const toRum = (tab?: string) => href("/rum", { tab });
export const toStorage = () => href("/storage");
export const toCluster = () => href("/cluster");
export const toSession = (id: string) => href(`/rum/sessions/${encodeURIComponent(id)}`);
