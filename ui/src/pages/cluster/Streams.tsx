// The streams as a table: a replica set each, and how much of it every member has.
import { State } from "../../components/State";
import { type Column, Table } from "../../components/Table";
import type { Cluster, Stream } from "../../lib/api/cluster";
import { percent, short } from "../../lib/units";
import { type Held, held, shortId } from "./view";

/** Behind a number of lines a table is not read: the rest is told as a count. */
const shown = 50;

function Share({ of, all }: { of: Held; all: number }) {
  const name = <span class="mono" title={of.node}>{shortId(of.node)}</span>;
  if (of.batches === undefined) return <span class="share">{name} <State level="bad">no answer</State></span>;
  const text = <span title={`${of.batches} of ${all} requests`}>{all ? percent(Math.floor((of.batches / all) * 10000) / 10000) : "empty"}</span>;
  return <span class="share">{name} {of.lacks ? <State level="warn">{text}</State> : <span class="quiet">{text}</span>}</span>;
}

const columns: Column<Stream>[] = [
  { id: "id", label: "Stream", width: "120px", cell: (s) => <span class="mono" title={s.id}>{shortId(s.id)}</span> },
  { id: "rows", label: "Of", width: "140px", cell: (s) => s.tenant ?? (s.group ? `group ${s.group}` : <span class="quiet">all others</span>) },
  { id: "all", label: "Requests", number: true, width: "110px", cell: (s) => <span title={String(s.all)}>{short(s.all)}</span> },
  { id: "have", label: "What its members have", cell: (s) => <span class="shares">{held(s).map((h) => <Share key={h.node} of={h} all={s.all} />)}</span> },
];

export function Streams({ cluster }: { cluster: Cluster }) {
  const rows = cluster.streams.filter((s) => s.all > 0).sort((a, b) => b.all - a.all);
  return (
    <>
      <Table label="Streams and who has how much" columns={columns} rows={rows.slice(0, shown)} id={(s) => s.id} />
      {rows.length > shown && <p class="quiet">and {short(rows.length - shown)} more</p>}
      {rows.length === 0 && <p class="quiet">Nothing is written yet.</p>}
    </>
  );
}
