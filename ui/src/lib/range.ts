// The one time range of every page: `from` and `to` of the URL, resolved against a clock that moves only when asked
// to (a refresh by hand, the live timer, a changed range), so that all parts of a page show the same interval.
import { computed, effect, signal } from "@preact/signals";
import { place, setQuery } from "./url";
import { type Interval, parseDuration, resolve, type Zone } from "./time";

export const defaultFrom = "now-15m";

const clockNow = signal(Date.now() / 1000);

export const range = computed(() => ({
  from: place.value.params.get("from") ?? defaultFrom,
  to: place.value.params.get("to") ?? "now",
}));

export const zone = computed<Zone>(() => (place.value.params.get("tz") === "utc" ? "utc" : "local"));

/** The moment that "now" stands for on the page. */
export const now = computed(() => clockNow.value);

export const interval = computed<Interval>(() => {
  const { from, to } = range.value;
  return resolve(from, to, clockNow.value) ?? resolve(defaultFrom, "now", clockNow.value)!;
});

/** A text that changes exactly when the interval does: part of the key of every load. */
export const intervalKey = computed(() => `${interval.value.start.toFixed(3)}-${interval.value.end.toFixed(3)}`);

export function refresh(): void {
  clockNow.value = Date.now() / 1000;
}

export function setRange(from: string, to: string): void {
  clockNow.value = Date.now() / 1000;
  setQuery({ from: from === defaultFrom && to === "now" ? undefined : from, to: to === "now" ? undefined : to });
}

/** An absolute range, as a drag over a graph gives it. */
export function setAbsolute(next: Interval): void {
  setRange(toText(next.start), toText(next.end));
}

/** Unix milliseconds: what the URL holds for an absolute time. */
export function toText(seconds: number): string {
  return String(Math.round(seconds * 1000));
}

export function shift(direction: -1 | 1): void {
  const { start, end } = interval.value;
  const by = ((end - start) / 2) * direction;
  setAbsolute({ start: start + by, end: end + by });
}

export function zoomOut(): void {
  const { start, end } = interval.value;
  const by = (end - start) / 2;
  setAbsolute({ start: start - by, end: Math.min(end + by, Date.now() / 1000) });
}

/** The present page's address with the range made absolute: what "Copy link" copies. */
export function absoluteLink(): string {
  const address = new URL(location.href);
  address.searchParams.set("from", toText(interval.value.start));
  address.searchParams.set("to", toText(interval.value.end));
  address.searchParams.delete("refresh");
  return address.toString();
}

// -- live ----------------------------------------------------------------------------------------------------------------

/** Seconds between refreshes, 0 when not live. */
export const livePeriod = computed(() => {
  const seconds = parseDuration(place.value.params.get("refresh") ?? "") ?? 0;
  return seconds > 0 ? Math.max(seconds, 2) : 0;
});

effect(() => {
  const period = livePeriod.value;
  if (!period) return;
  const timer = window.setInterval(() => {
    if (!document.hidden) refresh();
  }, period * 1000);
  return () => window.clearInterval(timer);
});
