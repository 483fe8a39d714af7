import { ServiceName } from "../../components/ServiceName";
import { type Column, sorted, type Sort, Table } from "../../components/Table";
import type { Operation } from "../../lib/traceStats";
import { duration } from "../../lib/units";

const micros = (n: number) => duration(n / 1e6);
const most = 300;

/** "-self" <-> self, descending */
export function sortOf(text: string): Sort {
  return { column: text.replace(/^-/, ""), descending: text.startsWith("-") };
}

export function sortText(s: Sort): string {
  return (s.descending ? "-" : "") + s.column;
}

/** Sums over the trace's spans of each service and operation. */
export function Operations(p: { rows: Operation[]; length: number; sort: Sort; onSort: (s: Sort) => void; onShow: (o: Operation) => void }) {
  const bar = (o: Operation) => <span class="op-bar" style={{ width: `${p.length ? Math.min(100, (o.self / p.length) * 100) : 0}%` }} aria-hidden="true" />;
  const columns: Column<Operation>[] = [
    { id: "service", label: "Service", width: "18%", sort: (o) => o.service, cell: (o) => <ServiceName name={o.service} /> },
    { id: "name", label: "Operation", sort: (o) => o.name, cell: (o) => <button type="button" class="plain op-name cut" title={o.name} onClick={() => p.onShow(o)}>{o.name || "(no name)"}</button> },
    { id: "count", label: "Spans", number: true, width: "80px", sort: (o) => o.count, cell: (o) => o.count.toLocaleString("en") },
    { id: "errors", label: "Errors", number: true, width: "80px", sort: (o) => o.errors, cell: (o) => (o.errors ? <span class="bad">{o.errors.toLocaleString("en")}</span> : "") },
    { id: "self", label: "Self time", number: true, width: "160px", sort: (o) => o.self, cell: (o) => <span class="op-self">{bar(o)}{micros(o.self)}</span> },
    { id: "total", label: "Total", number: true, width: "100px", sort: (o) => o.total, cell: (o) => micros(o.total) },
    { id: "p95", label: "p95", number: true, width: "100px", sort: (o) => o.p95, cell: (o) => micros(o.p95) },
    { id: "max", label: "Longest", number: true, width: "100px", sort: (o) => o.max, cell: (o) => micros(o.max) },
  ];
  const rows = sorted(p.rows, columns, p.sort).slice(0, most);
  return (
    <div class="card op-card" tabIndex={0} role="region" aria-label="Operations">
      <Table label="Operations" columns={columns} rows={rows} id={(o) => JSON.stringify([o.service, o.name])} sort={p.sort} onSort={p.onSort} />
      {p.rows.length > most && <p class="quiet">The first {most} of {p.rows.length.toLocaleString("en")} operations, as sorted.</p>}
    </div>
  );
}
