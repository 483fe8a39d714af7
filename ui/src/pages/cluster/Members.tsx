// The members as a table: the worst first, this node marked.
import { State } from "../../components/State";
import { type Column, type Sort, Table } from "../../components/Table";
import type { Cluster, Member } from "../../lib/api/cluster";
import { duration, short } from "../../lib/units";
import { lacksOf, shortId, stateOf, uiOf } from "./view";

const rank = { bad: 0, warn: 1, ok: 2, idle: 3 };

function Lacks({ n }: { n: number | undefined }) {
  if (n === undefined) return <span class="quiet" title="it did not answer">not known</span>;
  return n ? <State level="warn"><span title={`${n} requests that others have`}>{short(n)}</span></State> : <span class="quiet">nothing</span>;
}

function columns(c: Cluster): Column<Member>[] {
  const node = (m: Member) => {
    const ui = m.self || m.state !== "alive" ? undefined : uiOf(m);
    const id = ui ? <a class="mono" href={ui} title={`${m.id}: its own UI`}>{shortId(m.id)}</a> : <span class="mono" title={m.id}>{shortId(m.id)}</span>;
    return <>{id}{m.self && <span class="quiet"> this node</span>}</>;
  };
  return [
    { id: "node", label: "Node", width: "170px", sort: (m) => m.id, cell: node },
    { id: "state", label: "State", width: "160px", sort: (m) => rank[stateOf(m).level], cell: (m) => <State level={stateOf(m).level}>{stateOf(m).text}</State> },
    { id: "since", label: "For", number: true, width: "80px", sort: (m) => m.since_ms, cell: (m) => duration(Math.round(m.since_ms / 1000)) },
    { id: "lacks", label: "Has to catch up", number: true, width: "130px", sort: (m) => lacksOf(c, m.id) ?? -1, cell: (m) => <Lacks n={lacksOf(c, m.id)} /> },
    { id: "disk", label: "Disk used", number: true, width: "100px", sort: (m) => m.disk_percent ?? -1, cell: (m) => m.disk_percent == null ? <span class="quiet">not known</span> : m.disk_percent >= 85 ? <State level={m.disk_percent >= 95 ? "bad" : "warn"}>{m.disk_percent} %</State> : `${m.disk_percent} %` },
    { id: "rtt", label: "Round trip", number: true, width: "110px", sort: (m) => m.rtt_us, cell: (m) => m.connected ? duration(m.rtt_us / 1e6) : <span class="quiet">{m.self ? "" : "not connected"}</span> },
    { id: "zone", label: "Zone", width: "100px", sort: (m) => m.zone, cell: (m) => m.zone ? <span title={m.zone}>{m.zone}</span> : <span class="quiet">none</span> },
    { id: "version", label: "Version", width: "80px", sort: (m) => m.version, cell: (m) => m.version },
    { id: "backend", label: "Backend", width: "80px", sort: (m) => m.backend, cell: (m) => m.backend },
    { id: "weight", label: "Weight", number: true, width: "70px", sort: (m) => m.weight, cell: (m) => String(m.weight) },
    { id: "address", label: "Gossip", width: "180px", sort: (m) => m.address, cell: (m) => <span class="mono" title={`calls: ${m.calls_address}; start ${m.generation}`}>{m.address}</span> },
  ];
}

export function Members(p: { cluster: Cluster; sort: Sort; onSort: (s: Sort) => void }) {
  return <Table label="Members of the cluster" columns={columns(p.cluster)} rows={p.cluster.members} id={(m) => m.id} sort={p.sort} onSort={p.onSort} />;
}
