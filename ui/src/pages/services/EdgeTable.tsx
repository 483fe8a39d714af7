import { Link } from "../../components/Link";
import { ServiceName } from "../../components/ServiceName";
import { type Column, type Sort, Table } from "../../components/Table";
import type { Edge } from "../../lib/api/native";
import { toService } from "../../lib/links";
import { duration, percent, rate } from "../../lib/units";

function Peer({ edge }: { edge: Edge }) {
  if (edge.to_kind === "service") return <Link to={toService(edge.to)}><ServiceName name={edge.to} /></Link>;
  return <span title={edge.to_kind}>{edge.to} <span class="quiet">{edge.to_kind}</span></span>;
}

function columns(seconds: number): Column<Edge>[] {
  return [
    { id: "from", label: "Caller", sort: (e) => e.from, cell: (e) => <Link to={toService(e.from)}><ServiceName name={e.from} /></Link> },
    { id: "to", label: "Called", sort: (e) => e.to, cell: (e) => <Peer edge={e} /> },
    { id: "rate", label: "Calls", number: true, width: "110px", sort: (e) => e.requests, cell: (e) => rate(e.requests / seconds) },
    { id: "errors", label: "Errors", number: true, width: "100px", sort: (e) => e.errors / (e.requests || 1), cell: (e) => <span class={e.errors ? "bad" : undefined}>{percent(e.errors / (e.requests || 1))}</span> },
    { id: "p50", label: "p50", number: true, width: "100px", sort: (e) => e.p50_ms ?? 0, cell: (e) => (e.p50_ms === null ? "" : duration(e.p50_ms / 1e3)) },
    { id: "p95", label: "p95", number: true, width: "100px", sort: (e) => e.p95_ms ?? 0, cell: (e) => (e.p95_ms === null ? "" : duration(e.p95_ms / 1e3)) },
  ];
}

/** Callers or callees of one node, as the side panel has room for. */
export function EdgeList(p: { label: string; edges: Edge[]; seconds: number; end: "from" | "to" }) {
  const wanted = ["rate", "errors", "p95"];
  const peer: Column<Edge> = p.end === "to"
    ? { id: "peer", label: "Called", cell: (e) => <Peer edge={e} /> }
    : { id: "peer", label: "Caller", cell: (e) => <Link to={toService(e.from)}><ServiceName name={e.from} /></Link> };
  const rest = columns(p.seconds).filter((c) => wanted.includes(c.id)).map((c) => ({ ...c, sort: undefined, width: "78px" }));
  return <Table label={p.label} columns={[peer, ...rest]} rows={p.edges} id={(e) => `${e.from}>${e.to_kind}:${e.to}`} />;
}

/** The calls between services as a table: the map's numbers for reading, sorting and copying. */
export function EdgeTable(p: { label: string; edges: Edge[]; seconds: number; sort?: Sort; onSort?: (s: Sort) => void }) {
  return <Table label={p.label} columns={columns(p.seconds)} rows={p.edges} id={(e) => `${e.from}>${e.to_kind}:${e.to}`} sort={p.sort} onSort={p.onSort} />;
}
