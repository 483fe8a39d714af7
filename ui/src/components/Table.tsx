import type { ComponentChildren } from "preact";
import "./Table.css";

export interface Column<T> {
  id: string;
  label: string;
  /** right-aligned */
  number?: boolean;
  /** a CSS width; the rest is shared */
  width?: string;
  cell: (row: T) => ComponentChildren;
  /** given: the column can be sorted by it */
  sort?: (row: T) => number | string;
}

export interface Sort {
  column: string;
  descending: boolean;
}

export function sorted<T>(rows: T[], columns: Column<T>[], sort: Sort): T[] {
  const by = columns.find((c) => c.id === sort.column)?.sort;
  if (!by) return rows;
  const sign = sort.descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const x = by(a), y = by(b);
    return x < y ? -sign : x > y ? sign : 0;
  });
}

/** A table of at most a few hundred rows; longer lists are virtual (VirtualList). A click on a row selects it. */
export function Table<T>(p: {
  label: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => string;
  sort?: Sort;
  onSort?: (sort: Sort) => void;
  selected?: string;
  onSelect?: (row: T) => void;
}) {
  const rows = p.sort ? sorted(p.rows, p.columns, p.sort) : p.rows;
  const head = (c: Column<T>) => {
    const on = p.sort?.column === c.id;
    if (!c.sort || !p.onSort) return c.label;
    return (
      <button type="button" class="plain table-sort" onClick={() => p.onSort!({ column: c.id, descending: on ? !p.sort!.descending : Boolean(c.number) })}>
        {c.label}
        <span aria-hidden="true">{on ? (p.sort!.descending ? "↓" : "↑") : ""}</span>
      </button>
    );
  };
  return (
    <table class="table" aria-label={p.label}>
      <thead>
        <tr>
          {p.columns.map((c) => (
            <th
              key={c.id} scope="col" class={c.number ? "number" : undefined} style={c.width ? { width: c.width } : undefined}
              aria-sort={p.sort?.column === c.id ? (p.sort.descending ? "descending" : "ascending") : undefined}
            >
              {head(c)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => {
          const id = p.id(row);
          return (
            <tr
              key={id} data-selected={p.onSelect && id === p.selected ? "" : undefined} data-click={p.onSelect ? "" : undefined}
              onClick={p.onSelect && ((e) => { if (!(e.target as HTMLElement).closest("a,button")) p.onSelect!(row); })}
            >
              {p.columns.map((c) => <td key={c.id} class={c.number ? "number" : undefined}>{c.cell(row)}</td>)}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
