// Numbers as people read them: short, with a unit, tabular. The full value belongs into a tooltip.

export type Unit = "none" | "s" | "ms" | "ns" | "bytes" | "ratio" | "per_second";

function digits(n: number): string {
  const a = Math.abs(n);
  return a >= 100 || Number.isInteger(n) ? n.toFixed(0) : a >= 10 ? n.toFixed(1) : n.toFixed(2);
}

/** 1234 -> "1.23 k" */
export function short(n: number): string {
  if (!Number.isFinite(n)) return Number.isNaN(n) ? "no value" : n > 0 ? "+Inf" : "-Inf";
  const a = Math.abs(n);
  for (const [limit, suffix] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]] as const)
    if (a >= limit) return digits(n / limit) + suffix;
  if (a !== 0 && a < 0.01) return n.toPrecision(2);
  return digits(n);
}

/** seconds -> "1.24 s", "12.5 ms", "3 min 5 s" */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return short(seconds);
  const a = Math.abs(seconds);
  if (a === 0) return "0 s";
  if (a < 1e-6) return digits(seconds * 1e9) + " ns";
  if (a < 1e-3) return digits(seconds * 1e6) + " µs";
  if (a < 1) return digits(seconds * 1e3) + " ms";
  if (a < 60) return digits(seconds) + " s";
  const whole = Math.round(a);
  const sign = seconds < 0 ? "-" : "";
  if (a < 3600) return `${sign}${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (a < 86400) return `${sign}${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${sign}${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function bytes(n: number): string {
  const a = Math.abs(n);
  for (const [limit, suffix] of [[2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"]] as const)
    if (a >= limit) return digits(n / limit) + suffix;
  return digits(n) + " B";
}

/** 0.0123 -> "1.23 %" */
export function percent(ratio: number): string {
  return Number.isFinite(ratio) ? digits(ratio * 100) + " %" : "no value";
}

/** 12.3 -> "12.3/s" */
export function rate(perSecond: number): string {
  return short(perSecond) + "/s";
}

export function format(n: number, unit: Unit): string {
  switch (unit) {
    case "s": return duration(n);
    case "ms": return duration(n / 1e3);
    case "ns": return duration(n / 1e9);
    case "bytes": return bytes(n);
    case "ratio": return percent(n);
    case "per_second": return rate(n);
    case "none": return short(n);
  }
}

/** The unit that a metric's name tells by the Prometheus conventions; `expr` may be a whole query. */
export function unitOf(expr: string): Unit {
  const counted = /\b(rate|irate|increase)\s*\(/.test(expr);
  if (/histogram_quantile\s*\(/.test(expr) && /_seconds/.test(expr)) return "s";
  if (/_seconds(_sum)?\b/.test(expr) && !/_seconds_(count|bucket|total)/.test(expr) && !counted) return "s";
  if (/_bytes\b/.test(expr) && !counted) return "bytes";
  if (/_ratio\b/.test(expr)) return "ratio";
  if (/\b(rate|irate)\s*\(/.test(expr) && !/\//.test(expr)) return "per_second";
  return "none";
}
