// The Trace page's state, all of it in the URL.
import { choice, flag, type Param, text } from "../../lib/url";

/** A stretch of the trace, in microseconds since its start. */
export interface View {
  from: number;
  to: number;
}

/** "1200-45000" */
const stretch: Param<View | undefined> = {
  read: (raw) => {
    const m = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(raw[0] ?? "");
    const view = m && { from: Number(m[1]), to: Number(m[2]) };
    return view && view.to > view.from ? view : undefined;
  },
  write: (v) => (v ? [`${round(v.from)}-${round(v.to)}`] : []),
};

const round = (n: number) => Number(Math.max(0, n).toFixed(3));

export const views = ["waterfall", "flame", "table", "logs"] as const;
export type ViewName = (typeof views)[number];

export const schema = {
  view: choice(views, "waterfall"),
  /** the open span: its id, with "~2" when it is the second with that id */
  span: text(),
  tab: choice(["details", "related", "raw"] as const, "details"),
  find: text(),
  at: stretch,
  path: flag(true),
  /** times as recorded, uncorrected */
  recorded: flag(),
  sort: text("-self"),
};

/** `view` inside the trace's length. */
export function clip(view: View | undefined, duration: number): View {
  const whole = { from: 0, to: duration || 1 };
  if (!view) return whole;
  const from = Math.min(Math.max(0, view.from), whole.to), to = Math.min(view.to, whole.to);
  return to > from ? { from, to } : whole;
}

/** The stretch around `middle` (0..1 of the view), `factor` times as long. */
export function zoomed(view: View, factor: number, middle: number, duration: number): View | undefined {
  const at = view.from + (view.to - view.from) * middle;
  const length = Math.max((view.to - view.from) * factor, Math.min(duration, 0.01));
  if (length >= duration) return undefined;
  const from = Math.min(Math.max(0, at - length * middle), duration - length);
  return { from, to: from + length };
}

/** Moved by a share of its length, inside the trace. */
export function panned(view: View, share: number, duration: number): View {
  const length = view.to - view.from;
  const from = Math.min(Math.max(0, view.from + length * share), Math.max(0, duration - length));
  return { from, to: from + length };
}

const second = 1e6, day = 86400 * second;
const clockSteps = [30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].map((s) => s * second);

/** Round values for a ruler over the stretch, at most `most` of them. */
export function ticks(view: View, most: number): number[] {
  const length = view.to - view.from;
  const want = length / most;
  const power = 10 ** Math.floor(Math.log10(want));
  const steps = want < 2e7 ? [1, 2, 5, 10].map((n) => n * power) : clockSteps;
  const step = steps.find((s) => want <= s) ?? Math.ceil(want / day) * day;
  const out: number[] = [];
  for (let t = Math.ceil(view.from / step); t * step <= view.to && out.length <= most; t++) out.push(t * step);
  return out;
}
