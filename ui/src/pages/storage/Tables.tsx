// The largest metrics, attributes, labels and sets as tables; each name leads to what has it.
import { Link } from "../../components/Link";
import { type Column, type Sort, sorted, Table } from "../../components/Table";
import type { ColumnPart, LabelPart, MetricPart, SetSums, Storage, StorageSort } from "../../lib/api/storage";
import { quoted } from "../../lib/filters";
import { toLogs, toMetrics, toTraces } from "../../lib/links";
import { typicalQuery } from "../../lib/promql";
import { now } from "../../lib/range";
import { ago } from "../../lib/time";
import { bytes, percent, short } from "../../lib/units";
import { columnLabel, logsWith, newestHour, signalLabel, spansWith } from "./parts";
import "./Tables.css";

export type TableTab = "metrics" | "attributes" | "labels" | "sets";

/** What the node is to sort by, so that the rows that come are the first ones by the table's column. */
export const serverSort: Record<string, StorageSort> = { bytes: "bytes", name: "name", count: "count", distinct: "distinct", per: "per" };

const whose = <T extends { tenant: string }>(all: boolean): Column<T>[] =>
  all ? [{ id: "tenant", label: "Tenant", width: "140px", cell: (r) => <span title={r.tenant}>{r.tenant}</span> }] : [];

const size = <T extends { bytes: number }>(of: number): Column<T>[] => [
  { id: "bytes", label: "Bytes", number: true, width: "104px", sort: (r) => r.bytes, cell: (r) => <span title={`${r.bytes} bytes`}>{bytes(r.bytes)}</span> },
  { id: "share", label: "Share", number: true, width: "84px", cell: (r) => <span class="quiet">{percent(of ? r.bytes / of : 0)}</span> },
];

function metricColumns(s: Storage): Column<MetricPart>[] {
  const over = newestHour(s, "metrics");
  return [
    { id: "name", label: "Metric", sort: (m) => m.name, cell: (m) => m.name && m.name !== "(no name)" ? <Link class="mono" to={toMetrics([typicalQuery(m.name, "")], over)} title={m.name}>{m.name}</Link> : <span class="quiet">{m.name || "(others)"}</span> },
    ...whose<MetricPart>(s.tenant === null),
    ...size<MetricPart>(s.node.segments.bytes),
    { id: "distinct", label: "Series", number: true, width: "96px", sort: (m) => m.series, cell: (m) => <span title={`${m.series} in the segment that has most`}>{short(m.series)}</span> },
    { id: "count", label: "Samples", number: true, width: "104px", sort: (m) => m.samples, cell: (m) => <span title={String(m.samples)}>{short(m.samples)}</span> },
    { id: "per", label: "Bytes a sample", number: true, width: "140px", sort: (m) => m.bytes_per_sample, cell: (m) => m.bytes_per_sample.toFixed(2) },
  ];
}

function attributeLink(c: ColumnPart, s: Storage) {
  const over = newestHour(s, c.signal), label = columnLabel(c);
  const spans = spansWith(c), logs = logsWith(c);
  if (spans) return <Link class="mono" to={toTraces(spans, over)} title={`Traces with ${label}`}>{label}</Link>;
  if (logs) return <Link class="mono" to={toLogs(logs, over)} title={`Logs with ${label}`}>{label}</Link>;
  return <span class="mono" title={c.attribute ? label : `${label}: a field of the signal's own`}>{label}</span>;
}

function attributeColumns(s: Storage): Column<ColumnPart>[] {
  return [
    { id: "name", label: "Attribute or field", sort: (c) => c.name, cell: (c) => attributeLink(c, s) },
    ...whose<ColumnPart>(s.tenant === null),
    { id: "signal", label: "Of", width: "150px", cell: (c) => <span class="cut">{signalLabel(c.signal)}{c.index ? ` ${c.index}` : ""}</span> },
    { id: "type", label: "Type", width: "76px", cell: (c) => <span class="quiet">{c.type}</span> },
    ...size<ColumnPart>(s.node.segments.bytes),
    { id: "count", label: "Values", number: true, width: "96px", sort: (c) => c.values, cell: (c) => <span title={`${c.values} of ${c.rows} rows`}>{short(c.values)}</span> },
    { id: "null", label: "Without", number: true, width: "88px", cell: (c) => <span class="quiet" title="rows without a value">{percent(c.null_share)}</span> },
    { id: "distinct", label: "Distinct", number: true, width: "96px", sort: (c) => c.distinct_max ?? 0, cell: (c) => c.distinct_max === undefined ? "" : <span title={`${c.distinct_max} texts in the row group that has most`}>{short(c.distinct_max)}</span> },
    { id: "per", label: "Bytes a value", number: true, width: "132px", sort: (c) => c.bytes_per_value, cell: (c) => c.bytes_per_value.toFixed(2) },
  ];
}

function labelColumns(s: Storage): Column<LabelPart>[] {
  const over = newestHour(s, "metrics");
  const query = (name: string) => `topk(20, count by (${/^[a-zA-Z_]\w*$/.test(name) ? name : quoted(name)}) ({${/^[a-zA-Z_]\w*$/.test(name) ? name : quoted(name)}!=""}))`;
  return [
    { id: "name", label: "Label", sort: (l) => l.name, cell: (l) => l.name ? <Link class="mono" to={toMetrics([query(l.name)], over)} title={`Series by ${l.name}`}>{l.name}</Link> : <span class="quiet">(others)</span> },
    ...whose<LabelPart>(s.tenant === null),
    ...size<LabelPart>(s.node.segments.bytes),
    { id: "count", label: "Values", number: true, width: "120px", sort: (l) => l.values, cell: (l) => <span title="of all segments; a value counts once in each">{short(l.values)}</span> },
  ];
}

function setColumns(s: Storage): Column<SetSums>[] {
  const time = (t: number | null) => (t === null ? "" : ago(t, now.value));
  const many = (x: SetSums) => x.rows ?? x.samples ?? 0;
  return [
    { id: "name", label: "Signal or index", sort: (x) => `${signalLabel(x.signal)} ${x.index ?? ""}`, cell: (x) => <>{signalLabel(x.signal)}{x.index ? ` ${x.index}` : ""}</> },
    { id: "tenant", label: "Tenant", width: "180px", cell: (x) => <span title={x.tenant}>{x.tenant}</span> },
    ...size<SetSums>(s.node.segments.bytes),
    { id: "count", label: "Rows or samples", number: true, width: "150px", sort: many, cell: (x) => <span title={String(many(x))}>{short(many(x))}</span> },
    { id: "per", label: "Bytes each", number: true, width: "120px", sort: (x) => (many(x) ? x.bytes / many(x) : 0), cell: (x) => (many(x) ? (x.bytes / many(x)).toFixed(2) : "") },
    { id: "oldest", label: "Oldest", number: true, width: "110px", cell: (x) => <span class="quiet">{time(x.oldest)}</span> },
    { id: "newest", label: "Newest", number: true, width: "110px", cell: (x) => <span class="quiet">{time(x.newest)}</span> },
  ];
}

interface Shown {
  total: number;
  /** that were found, and that the table has */
  found: number;
  shown: number;
  table: preact.JSX.Element;
}

function shownOf<T extends { name?: string; tenant: string; signal: string; index?: string }>(
  label: string, list: { total: number; top: T[] }, columns: Column<T>[], find: string, id: (r: T) => string, at: { sort: Sort; onSort: (s: Sort) => void; rows: number },
): Shown {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (r: T) => `${r.name ?? ""} ${r.signal} ${r.index ?? ""} ${r.tenant}`.toLowerCase();
  const found = sorted(list.top.filter((r) => words.every((w) => text(r).includes(w))), columns, at.sort);
  const rows = found.slice(0, at.rows);
  return { total: list.total, found: found.length, shown: rows.length, table: <Table label={label} columns={columns} rows={rows} id={id} sort={at.sort} onSort={at.onSort} /> };
}

/** The table of a tab, of at most at.rows rows. */
export function tableOf(s: Storage, tab: TableTab, find: string, at: { sort: Sort; onSort: (s: Sort) => void; rows: number }): Shown {
  const id = (r: { tenant: string; signal: string; index?: string; name?: string }) => [r.tenant, r.signal, r.index, r.name].join("\n");
  switch (tab) {
    case "metrics": return shownOf("Metrics by size", s.metrics, metricColumns(s), find, id, at);
    case "attributes": return shownOf("Attributes and fields by size", s.columns, attributeColumns(s), find, (c) => [id(c), c.relation, c.attribute, c.type].join("\n"), at);
    case "labels": return shownOf("Labels by size", s.labels, labelColumns(s), find, id, at);
    case "sets": return shownOf("Signals and indexes of tenants by size", s.sets, setColumns(s), find, id, at);
  }
}
