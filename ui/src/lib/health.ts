// Which service is worst now: a judgement from a service's own numbers, in words that a person would use.
import type { Service } from "./api/native";
import { duration, percent } from "./units";

export interface Health {
  level: "bad" | "warn" | "ok" | "idle";
  text: string;
  /** higher is worse; the order of the Home page */
  score: number;
}

const badShare = 0.05;
const warnShare = 0.01;

/** How bad a share of errors is, for a service and for the calls of one to another. */
export function errorLevel(share: number): "bad" | "warn" | "ok" {
  return share >= badShare ? "bad" : share >= warnShare ? "warn" : "ok";
}

const slower = 2;
/** A service that sent nothing for so long before the end of the range is silent: down, or cut off. */
const silentSeconds = 120;

/** The middle value of those that are there, or undefined. */
export function median(values: (number | null)[]): number | undefined {
  const there = values.filter((v): v is number => v !== null && Number.isFinite(v)).sort((a, b) => a - b);
  if (!there.length) return undefined;
  const mid = there.length >> 1;
  return there.length % 2 ? there[mid] : (there[mid - 1]! + there[mid]!) / 2;
}

/** Errors of the last quarter of the range, each step weighted by its requests. */
export function recentErrorShare(s: Service): number {
  const from = Math.floor((s.rate.length * 3) / 4);
  let requests = 0, errors = 0;
  for (let i = from; i < s.rate.length; i++) {
    requests += s.rate[i]!;
    errors += s.rate[i]! * (s.error_rate[i] ?? 0);
  }
  return requests > 0 ? errors / requests : 0;
}

/** p95 of the last quarter against the rest of the range, or undefined when either is missing. */
export function slowdown(s: Service): number | undefined {
  const from = Math.floor((s.p95.length * 3) / 4);
  const before = median(s.p95.slice(0, from));
  const now = median(s.p95.slice(from));
  return before === undefined || now === undefined || before <= 0 ? undefined : now / before;
}

/** `end`: the end of the time range, unix seconds. */
export function health(s: Service, end: number): Health {
  const silent = s.last_seen === null ? 0 : end - s.last_seen;
  if (silent > silentSeconds) return { level: "bad", text: `silent for ${duration(silent)}`, score: 2000 };
  if (s.requests === 0) return { level: "idle", text: "no requests", score: -1 };
  const share = Math.max(recentErrorShare(s), s.requests > 0 ? s.errors / s.requests / 4 : 0);
  const slow = slowdown(s);
  if (share >= badShare) return { level: "bad", text: `${percent(recentErrorShare(s) || s.errors / s.requests)} errors`, score: 1000 + share };
  if (slow !== undefined && slow >= slower && (s.p95_ms ?? 0) > 5)
    return { level: "warn", text: `${slow.toFixed(1)}× slower`, score: 500 + Math.min(slow, 100) };
  if (share >= warnShare) return { level: "warn", text: `${percent(recentErrorShare(s) || s.errors / s.requests)} errors`, score: 100 + share };
  return { level: "ok", text: "ok", score: share };
}
