// The URL is the state. `place` is where we are; every page reads its state from it through a schema and writes it
// back with the setter, so that Back, reload and a copied link all show the same thing. Parameters named in `shared`
// (time range, filters, ...) survive a change of page.
import { signal } from "@preact/signals";

export interface Place {
  path: string;
  params: URLSearchParams;
}

const shared = ["from", "to", "tz", "refresh", "f", "tenant"] as const;

function read(): Place {
  return { path: location.pathname, params: new URLSearchParams(location.search) };
}

export const place = signal<Place>(read());
window.addEventListener("popstate", () => (place.value = read()));

/** What a link's parameters may be; undefined, "" and [] are left out. */
export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

function fill(params: URLSearchParams, query: Query): void {
  for (const [key, value] of Object.entries(query)) {
    params.delete(key);
    if (value === undefined || value === "" || value === false) continue;
    if (Array.isArray(value)) for (const one of value) params.append(key, one);
    else params.set(key, String(value));
  }
}

/** The address of a page with `query`, carrying the shared parameters of the present place (query may override them). */
export function href(path: string, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const key of shared) for (const value of place.value.params.getAll(key)) params.append(key, value);
  fill(params, query);
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

function move(address: string, replace: boolean): void {
  if (address === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  place.value = read();
}

/** Goes to another page (or the same with other parameters). */
export function go(path: string, query: Query = {}, how: { replace?: boolean } = {}): void {
  move(href(path, query), how.replace ?? false);
}

/** Follows an address that `href` made. */
export function follow(address: string): void {
  move(address, false);
}

/** Changes some parameters of the present page and keeps the rest. */
export function setQuery(query: Query, how: { replace?: boolean } = {}): void {
  const params = new URLSearchParams(place.value.params);
  fill(params, query);
  const text = params.toString();
  move(text ? `${place.value.path}?${text}` : place.value.path, how.replace ?? false);
}

// -- schemas ---------------------------------------------------------------------------------------------------------

/** How one parameter is read and written. A value that equals the default is not written. */
export interface Param<T> {
  read(raw: string[]): T;
  write(value: T): string[];
}

export function text(fallback = ""): Param<string> {
  return { read: (raw) => raw[0] ?? fallback, write: (v) => (v === fallback ? [] : [v]) };
}

export function choice<const T extends string>(values: readonly T[], fallback: T): Param<T> {
  return {
    read: (raw) => values.find((v) => v === raw[0]) ?? fallback,
    write: (v) => (v === fallback ? [] : [v]),
  };
}

export function flag(fallback = false): Param<boolean> {
  return {
    read: (raw) => (raw[0] === undefined ? fallback : raw[0] === "1"),
    write: (v) => (v === fallback ? [] : [v ? "1" : "0"]),
  };
}

export function number(fallback: number): Param<number> {
  return {
    read: (raw) => {
      const n = raw[0] === undefined || raw[0] === "" ? NaN : Number(raw[0]);
      return Number.isFinite(n) ? n : fallback;
    },
    write: (v) => (v === fallback ? [] : [String(v)]),
  };
}

export function list(): Param<string[]> {
  return { read: (raw) => raw, write: (v) => v };
}

type Values<S> = { [K in keyof S]: S[K] extends Param<infer T> ? T : never };

/**
 * A page's state from the URL and the setter of it. Reads `place`, so a component that calls it is drawn again when the
 * URL changes. The setter pushes an entry of the history unless `replace` is asked for (typing, dragging).
 */
export function pageState<S extends Record<string, Param<never> | Param<any>>>(
  schema: S,
): [Values<S>, (changes: Partial<Values<S>>, how?: { replace?: boolean }) => void] {
  const params = place.value.params;
  const values = {} as Values<S>;
  for (const key in schema) values[key] = schema[key]!.read(params.getAll(key)) as Values<S>[typeof key];
  const set = (changes: Partial<Values<S>>, how: { replace?: boolean } = {}) => {
    const query: Record<string, string[]> = {};
    for (const key in changes) query[key] = schema[key]!.write(changes[key] as never);
    setQuery(query, how);
  };
  return [values, set];
}
