// What the queries answered: as a table of the newest values, as the list of exemplars, or raw.
import { useState } from "preact/hooks";
import { Link } from "../../components/Link";
import { type Column, type Sort, Table } from "../../components/Table";
import { type Exemplar, type Series, seriesName } from "../../lib/api/prometheus";
import { toTrace } from "../../lib/links";
import { zone } from "../../lib/range";
import { dateTime } from "../../lib/time";
import { format, type Unit } from "../../lib/units";

const rowsMax = 500;

interface Row {
  query: string;
  series: Series;
}

export function ValueTable(p: { rows: Row[]; unit: Unit }) {
  const [sort, setSort] = useState<Sort>({ column: "value", descending: true });
  const many = new Set(p.rows.map((r) => r.query)).size > 1;
  const columns: Column<Row>[] = [
    ...(many ? [{ id: "query", label: "Query", width: "70px", cell: (r: Row) => r.query }] : []),
    { id: "series", label: "Series", sort: (r) => seriesName(r.series.labels), cell: (r) => <span class="mono" title={seriesName(r.series.labels)}>{seriesName(r.series.labels)}</span> },
    { id: "value", label: "Value", number: true, width: "160px", sort: (r) => r.series.values.at(-1) ?? NaN, cell: (r) => <span title={String(r.series.values.at(-1))}>{format(r.series.values.at(-1) ?? NaN, p.unit)}</span> },
  ];
  return (
    <>
      {p.rows.length > rowsMax && <p class="quiet">The first {rowsMax} of {p.rows.length} series.</p>}
      <Table label="Values at the end of the time range" columns={columns} rows={p.rows.slice(0, rowsMax)} id={(r) => r.query + seriesName(r.series.labels)} sort={sort} onSort={setSort} />
    </>
  );
}

export function ExemplarTable(p: { exemplars: Exemplar[]; unit: Unit; onOpen: (i: number) => void }) {
  const columns: Column<Exemplar & { i: number }>[] = [
    { id: "time", label: "Time", width: "170px", cell: (e) => <button type="button" class="plain" onClick={() => p.onOpen(e.i)}>{dateTime(e.timestamp, zone.value)}</button> },
    { id: "value", label: "Value", number: true, width: "110px", cell: (e) => format(e.value, e.span ? "s" : p.unit) },
    { id: "series", label: "Series", cell: (e) => <span class="mono" title={seriesName(e.series)}>{seriesName(e.series)}</span> },
    { id: "trace", label: "Trace", width: "290px", cell: (e) => (e.traceId ? <Link class="mono" to={toTrace(e.traceId, e.spanId)}>{e.traceId}</Link> : "") },
  ];
  if (!p.exemplars.length) return <p class="quiet">No exemplars of these series in this time range. SDKs attach them to histograms and counters measured inside a sampled span.</p>;
  return <Table label={p.exemplars[0]!.span ? "Spans of the same services" : "Exemplars"} columns={columns} rows={p.exemplars.slice(0, rowsMax).map((e, i) => ({ ...e, i }))} id={(e) => String(e.i)} />;
}
