// Time as people type it and as the APIs want it. A range is two texts, each relative ("now-15m", "now"), epoch
// seconds or milliseconds, or a date; `resolve` makes unix seconds of it. Nothing here reads the clock.

export interface Interval {
  /** unix seconds, may have fractions */
  start: number;
  end: number;
}

const unitSeconds: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 7 * 86400, M: 30 * 86400, y: 365 * 86400 };

/** "15m", "1h30m", "250ms" in seconds, or undefined. */
export function parseDuration(textIn: string): number | undefined {
  const t = textIn.trim();
  if (!/^(\d+(\.\d+)?(ms|[smhdwMy]))+$/.test(t)) return undefined;
  let total = 0;
  for (const [, n, unit] of t.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwMy])/g))
    total += Number(n) * (unit === "ms" ? 0.001 : unitSeconds[unit!]!);
  return total;
}

/** One end of a range in unix seconds, or undefined when it cannot be read. `now` is unix seconds. */
export function parseTime(textIn: string, now: number): number | undefined {
  const t = textIn.trim();
  if (t === "now") return now;
  const relative = /^now\s*([-+])\s*(.+)$/.exec(t);
  if (relative) {
    const d = parseDuration(relative[2]!);
    return d === undefined ? undefined : relative[1] === "-" ? now - d : now + d;
  }
  if (/^\d{9,11}(\.\d+)?$/.test(t)) return Number(t);
  if (/^\d{12,14}$/.test(t)) return Number(t) / 1000;
  if (/^\d{18,20}$/.test(t)) return Number(t) / 1e9;
  if (!/^\d{4}-\d{2}-\d{2}/.test(t)) return undefined;
  const ms = Date.parse(t.replace(" ", "T"));
  return Number.isNaN(ms) ? undefined : ms / 1000;
}

export function resolve(from: string, to: string, now: number): Interval | undefined {
  const start = parseTime(from, now);
  const end = parseTime(to, now);
  return start === undefined || end === undefined || start >= end ? undefined : { start, end };
}

export function isRelative(textIn: string): boolean {
  return textIn.trim().startsWith("now");
}

/** A step in seconds that gives at most `points` over the interval, from the steps people think in. */
export function niceStep(interval: Interval, points: number): number {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  const want = (interval.end - interval.start) / Math.max(points, 1);
  return steps.find((s) => s >= want) ?? Math.ceil(want / 86400) * 86400;
}

/** The starts of the steps that cover the interval, aligned to the step as the APIs align their buckets. */
export function stepStarts(over: Interval, step: number): number[] {
  const first = Math.floor(over.start / step) * step;
  return Array.from({ length: Math.max(1, Math.ceil((over.end - first) / step)) }, (_, i) => first + i * step);
}

export type Zone = "local" | "utc";

function parts(seconds: number, zone: Zone): Record<string, string> {
  const format = new Intl.DateTimeFormat("en-GB", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23", timeZone: zone === "utc" ? "UTC" : undefined,
  });
  return Object.fromEntries(format.formatToParts(new Date(seconds * 1000)).map((p) => [p.type, p.value]));
}

/** "2026-11-22 14:03:07" */
export function dateTime(seconds: number, zone: Zone): string {
  const p = parts(seconds, zone);
  return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second}`;
}

/** "14:03:07.250", with the day before it when it is not the day of `now`. */
export function clock(seconds: number, zone: Zone, now?: number, millis = false): string {
  const p = parts(Math.floor(seconds), zone);
  const ms = millis ? "." + String(Math.floor((seconds % 1) * 1000 + 1e-6)).padStart(3, "0") : "";
  const time = `${p.hour}:${p.minute}:${p.second}${ms}`;
  if (now === undefined) return time;
  const q = parts(now, zone);
  return p.year === q.year && p.month === q.month && p.day === q.day ? time : `${p.month}-${p.day} ${time}`;
}

/** "12 s ago", "3 min ago", "2 h ago", "5 d ago" */
export function ago(seconds: number, now: number): string {
  const d = Math.max(0, now - seconds);
  if (d < 5) return "just now";
  if (d < 90) return `${Math.round(d)} s ago`;
  if (d < 90 * 60) return `${Math.round(d / 60)} min ago`;
  if (d < 36 * 3600) return `${Math.round(d / 3600)} h ago`;
  return `${Math.round(d / 86400)} d ago`;
}

const names: Record<string, string> = { s: "s", m: "min", h: "h", d: "days", w: "weeks" };

/** "Last 15 min" for a relative range that ends now, else both ends. */
export function rangeLabel(from: string, to: string, zone: Zone, now: number): string {
  const simple = /^now-(\d+)([smhdw])$/.exec(from.replace(/\s/g, ""));
  if (simple && to.trim() === "now") return `Last ${simple[1]} ${names[simple[2]!]}`;
  const interval = resolve(from, to, now);
  if (!interval) return `${from} to ${to}`;
  if (isRelative(from) || isRelative(to)) return `${from} to ${to}`;
  return `${dateTime(interval.start, zone)} to ${dateTime(interval.end, zone)}`;
}
