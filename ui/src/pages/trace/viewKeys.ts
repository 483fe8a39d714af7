// Keys that look closer at, and move along, the stretch of the trace that is shown.
import { useCallback, useRef } from "preact/hooks";
import { useShortcut } from "../../lib/keys";
import { panned, type View, zoomed } from "./state";

export function useViewKeys(view: View, duration: number, set: (view: View | undefined) => void): void {
  const latest = useRef({ view, duration, set });
  latest.current = { view, duration, set };
  const zoom = (factor: number) => { const l = latest.current; l.set(zoomed(l.view, factor, 0.5, l.duration)); };
  const pan = (share: number) => { const l = latest.current; if (l.view.to - l.view.from < l.duration) l.set(panned(l.view, share, l.duration)); };
  useShortcut("+", "Look closer", "Trace", useCallback(() => zoom(0.5), []));
  useShortcut("-", "Look from farther", "Trace", useCallback(() => zoom(2), []));
  useShortcut("0", "The whole trace", "Trace", useCallback(() => latest.current.set(undefined), []));
  useShortcut("a", "Earlier", "Trace", useCallback(() => pan(-0.25), []));
  useShortcut("d", "Later", "Trace", useCallback(() => pan(0.25), []));
}
