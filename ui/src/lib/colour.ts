// Colours that say the same on every page: a service's by hash from a colour-blind-safe set (after Paul Tol's
// qualitative schemes; each reads on both themes), a series' by its place in the list, a severity's by its kind.

const palette = [
  "#4e9ae8", "#e8833a", "#3fb07f", "#d96aa7", "#b7a32e", "#8d7be0",
  "#35b1c4", "#c9634f", "#7f9f3f", "#b079c9", "#5f8fa8", "#c4925a",
];

export function hash(text: string): number {
  let h = 0x811c9dfb; // FNV-1a with a start that keeps names one meets together (frontend, cart, checkout...) apart
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h ^= h >>> 15;
  return Math.imul(h, 0x2c1b3c6d) >>> 0;
}

export function serviceColour(name: string): string {
  return palette[hash(name) % palette.length]!;
}

export function seriesColour(index: number): string {
  return palette[index % palette.length]!;
}

export type Severity = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "unset";

/** OTLP's severity numbers, 1-24 in steps of four; the text decides when there is no number. */
export function severityOf(number: number | undefined, text = ""): Severity {
  const kinds = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
  if (number && number >= 1 && number <= 24) return kinds[Math.floor((number - 1) / 4)]!;
  const t = text.toLowerCase();
  if (/^(fatal|crit|emerg|alert|panic)/.test(t)) return "fatal";
  if (/^err/.test(t)) return "error";
  if (/^warn/.test(t)) return "warn";
  if (/^(info|notice)/.test(t)) return "info";
  if (/^debug/.test(t)) return "debug";
  if (/^trace/.test(t)) return "trace";
  return "unset";
}

/** The token of a severity's colour, for CSS and for canvases (through `token`). */
export function severityToken(s: Severity): string {
  return `--severity-${s}`;
}

/** The present value of a design token: canvases cannot use var(). */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
