// The rows of a search, a page at a time: more when the end of the list comes into sight, up to a bound.
import { useEffect, useRef, useState } from "preact/hooks";
import { type Found, type LogRow, search } from "../../lib/api/quickwit";
import { ApiError } from "../../lib/api/http";
import type { Interval } from "../../lib/time";

export const pageSize = 200;
/** As far as the list goes; a narrower query or range shows the rest. */
export const rowsMax = 10_000;

export interface Rows {
  rows: LogRow[];
  total: number | undefined;
  tookMs: number;
  aggs: Found["aggs"];
  loading: boolean;
  error: ApiError | undefined;
  more: () => void;
}

/** `key` changes when the search does. The first page brings the aggregations. */
export function useRows(key: string, query: string, over: Interval, aggs: Record<string, unknown>): Rows {
  const [state, setState] = useState<Omit<Rows, "more">>({ rows: [], total: undefined, tookMs: 0, aggs: {}, loading: true, error: undefined });
  const abort = useRef<AbortController>();
  const busy = useRef(false);
  const fail = (cause: unknown, signal: AbortSignal) => {
    if (signal.aborted) return;
    busy.current = false;
    const error = cause instanceof ApiError ? cause : new ApiError(0, String(cause));
    setState((s) => ({ ...s, loading: false, error }));
  };
  useEffect(() => {
    const mine = (abort.current = new AbortController());
    busy.current = true;
    setState((s) => ({ ...s, loading: true, error: undefined }));
    search({ query, over, hits: pageSize, aggs }, mine.signal).then(
      (f) => {
        if (mine.signal.aborted) return;
        busy.current = false;
        setState({ rows: f.hits, total: f.total, tookMs: f.tookMs, aggs: f.aggs, loading: false, error: undefined });
      },
      (e: unknown) => fail(e, mine.signal),
    );
    return () => mine.abort();
  }, [key]);
  const more = () => {
    const have = state.rows.length;
    if (busy.current || !state.total || have >= Math.min(state.total, rowsMax) || !abort.current) return;
    const { signal } = abort.current;
    busy.current = true;
    search({ query, over, hits: Math.min(pageSize, rowsMax - have), offset: have }, signal).then(
      (f) => {
        if (signal.aborted) return;
        busy.current = false;
        setState((s) => ({ ...s, rows: [...s.rows, ...f.hits] }));
      },
      (e: unknown) => fail(e, signal),
    );
  };
  return { ...state, more };
}
