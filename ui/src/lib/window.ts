// Long lists draw only what can be seen: rows of one height in a box that scrolls.
import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

const spare = 8;

export interface Shown {
  /** the rows to draw: from `first` up to, not including, `end` */
  first: number;
  end: number;
}

export function shownRows(top: number, height: number, count: number, rowHeight: number): Shown {
  const first = Math.max(0, Math.floor(top / rowHeight) - spare);
  return { first: Math.min(first, count), end: Math.min(count, Math.ceil((top + height) / rowHeight) + spare) };
}

/** Follows the scrolling and the size of `box`. */
export function useWindow(box: RefObject<HTMLElement>, count: number, rowHeight: number): Shown {
  const [at, setAt] = useState({ top: 0, height: 800 });
  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return;
    const read = () => setAt((old) => (old.top === el.scrollTop && old.height === el.clientHeight ? old : { top: el.scrollTop, height: el.clientHeight }));
    read();
    el.addEventListener("scroll", read, { passive: true });
    const watch = typeof ResizeObserver === "undefined" ? undefined : new ResizeObserver(read);
    watch?.observe(el);
    return () => { el.removeEventListener("scroll", read); watch?.disconnect(); };
  }, [box.current]);
  return shownRows(at.top, at.height, count, rowHeight);
}

/** Scrolls as little as makes the row visible; to the middle when it was far away. */
export function scrollToRow(el: HTMLElement | null, row: number, rowHeight: number): void {
  if (!el) return;
  const top = row * rowHeight, height = el.clientHeight;
  if (top >= el.scrollTop && top + rowHeight <= el.scrollTop + height) return;
  const near = Math.abs(top - (el.scrollTop + height / 2)) < height;
  el.scrollTop = !near ? top - height / 2 : top < el.scrollTop ? top : top + rowHeight - height;
}
