// A list of any length: only the rows in sight (and a few around) are in the page. Rows may differ in height.
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useReducer, useRef } from "preact/hooks";
import "./VirtualList.css";

const overscan = 12;

export interface VirtualListProps<T> {
  label: string;
  rows: T[];
  id: (row: T, index: number) => string;
  /** the height of a row until it is measured */
  rowHeight: number;
  render: (row: T, index: number) => ComponentChildren;
  /** scrolled into sight when it changes */
  showIndex?: number;
  /** called when the end comes into sight */
  onEnd?: () => void;
}

export function VirtualList<T>(p: VirtualListProps<T>) {
  const scroller = useRef<HTMLDivElement>(null);
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const options = {
    count: p.rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => p.rowHeight,
    getItemKey: (i: number) => p.id(p.rows[i]!, i),
    overscan,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => redraw(0),
  };
  const list = useMemo(() => new Virtualizer<HTMLDivElement, HTMLDivElement>(options), []);
  list.setOptions(options);
  useEffect(() => list._didMount(), [list]);
  useEffect(() => list._willUpdate());
  useEffect(() => {
    if (p.showIndex !== undefined && p.showIndex >= 0) list.scrollToIndex(p.showIndex, { align: "auto" });
  }, [p.showIndex]);
  const items = list.getVirtualItems();
  const last = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (p.rows.length && last >= p.rows.length - 1) p.onEnd?.();
  }, [last, p.rows.length]);
  return (
    <div class="virtual-list" ref={scroller} tabIndex={0} role="group" aria-label={p.label}>
      <div style={{ height: `${list.getTotalSize()}px`, position: "relative" }} role="list">
        {items.map((v) => (
          <div key={v.key} data-index={v.index} ref={(el) => list.measureElement(el)} class="virtual-row" role="listitem" style={{ transform: `translateY(${v.start}px)` }}>
            {p.render(p.rows[v.index]!, v.index)}
          </div>
        ))}
      </div>
    </div>
  );
}
