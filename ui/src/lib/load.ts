// Loading for components: one hook. The key says what is wanted; when it changes, the request under way is aborted
// and the old answer stays on the screen until the new one is there.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api/http";

export interface Loaded<T> {
  data: T | undefined;
  error: ApiError | undefined;
  loading: boolean;
}

/** `key` undefined: nothing is wanted (yet). Pages fetch with this; components never do. */
export function useLoad<T>(key: string | undefined, fetch: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<Loaded<T>>({ data: undefined, error: undefined, loading: key !== undefined });
  const latest = useRef(fetch);
  latest.current = fetch;
  useEffect(() => {
    if (key === undefined) {
      setState({ data: undefined, error: undefined, loading: false });
      return;
    }
    const abort = new AbortController();
    setState((s) => ({ ...s, loading: true }));
    latest.current(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) setState({ data, error: undefined, loading: false });
      },
      (cause: unknown) => {
        if (abort.signal.aborted) return;
        const error = cause instanceof ApiError ? cause : new ApiError(0, String(cause));
        setState((s) => ({ data: s.data, error, loading: false }));
      },
    );
    return () => abort.abort();
  }, [key]);
  return state;
}
