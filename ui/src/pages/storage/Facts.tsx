// The node around the data: disk and watermarks, what waits in memory, merges, deletions, retention.
import type { ComponentChildren } from "preact";
import { State } from "../../components/State";
import type { Deletion, NodeStorage, Retention, Storage } from "../../lib/api/storage";
import { bytes, duration, percent, short } from "../../lib/units";
import { ratio, signalLabel } from "./parts";
import "./Facts.css";

function Card(p: { title: string; children: ComponentChildren }) {
  return <section class="card fact"><h2>{p.title}</h2>{p.children}</section>;
}

function Rows({ rows }: { rows: [string, ComponentChildren, string?][] }) {
  return <dl class="fact-rows">{rows.map(([k, v, title]) => <div key={k} title={title}><dt>{k}</dt><dd>{v}</dd></div>)}</dl>;
}

const levels = {
  room: ["ok", "room for everything"], tight: ["warn", "merges pause"], full: ["bad", "ingest is refused"], read_only: ["bad", "only deletions are written"],
} as const;

/** Used share of a disk, with the watermarks as lines over it. */
function Meter({ used, own, marks }: { used: number; own: number; marks: { at: number; label: string }[] }) {
  return (
    <div class="meter" role="img" aria-label={`${percent(used)} of the disk is used, ${percent(own)} by segments`}>
      <span class="meter-used" style={{ width: percent(used).replace(" ", "") }} />
      <span class="meter-own" style={{ width: percent(Math.min(own, used)).replace(" ", "") }} />
      {marks.filter((m) => m.at > 0).map((m) => <i key={m.label} style={{ left: `${m.at * 100}%` }} title={`${percent(m.at)}: ${m.label}`} />)}
    </div>
  );
}

function Disk({ node }: { node: NodeStorage }) {
  const d = node.disk, total = Math.max(d.total_bytes, 1);
  const used = 1 - d.free_bytes / total;
  const [level, text] = levels[d.level];
  const share = (n: number) => (n > 0 ? `at ${percent(n)}` : "never");
  return (
    <Card title="Disk">
      <Meter used={used} own={node.segments.local_bytes / total} marks={[{ at: d.pause_share, label: "merges pause" }, { at: d.refuse_share, label: "ingest is refused" }, { at: d.read_only_share, label: "only deletions are written" }]} />
      <Rows rows={[
        ["State", <State level={level}>{text}</State>],
        ["Used", `${percent(used)} of ${bytes(d.total_bytes)}`],
        ["Free", bytes(d.free_bytes)],
        ["Merges pause", share(d.pause_share)],
        ["Ingest is refused", share(d.refuse_share)],
        ["Only deletions are written", share(d.read_only_share)],
        ["Oldest segments go", d.retention_share > 0 ? `at ${percent(d.retention_share)} of the disk${d.retention_bytes ? ` (${bytes(d.retention_bytes)})` : ""}` : "never for room"],
      ]} />
    </Card>
  );
}

function Waiting({ node }: { node: NodeStorage }) {
  return (
    <Card title="Not sealed yet">
      <Rows rows={[
        ["In memory", `${bytes(node.memory.bytes)} of ${bytes(node.memory.bytes_max)}`, "memtables; sealing begins at half"],
        ["Write-ahead log", `${bytes(node.wal.bytes)} in ${short(node.wal.files)} files`, "what would be replayed, and files kept for another use"],
        ["Catalog", bytes(node.catalog.bytes)],
        ...(node.object ? [["Cache of the bucket", bytes(node.object.bytes)] as [string, string]] : []),
      ]} />
    </Card>
  );
}

function Segments({ data }: { data: Storage }) {
  const s = data.node.segments, r = ratio(data);
  return (
    <Card title="Segments">
      <Rows rows={[
        ["Segments", `${short(s.count)}, ${bytes(s.bytes)}`],
        ["Merged so often", s.levels.map((l) => `${l.level}×: ${short(l.segments)}`).join(", ") || "none", "how many segments were merged how often"],
        ...(s.remote_bytes ? [["In the bucket alone", bytes(s.remote_bytes)] as [string, string]] : []),
        ["Received for each byte stored", r === undefined ? "not known yet" : `${r.toFixed(1)} bytes`, "of what was received since the node started, unpacked, against the segments made of it"],
        ...(data.node.lost.segments ? [["Lost", <State level="bad">{short(data.node.lost.segments)} segments, {bytes(data.node.lost.bytes)}</State>] as [string, ComponentChildren]] : []),
      ]} />
    </Card>
  );
}

function Merges({ node }: { node: NodeStorage }) {
  const m = node.merges;
  const state = m.running ? <State level="ok">{short(m.running)} running</State> : m.waiting ? <State level="warn">{short(m.waiting)} due and waiting</State> : <State level="idle">nothing to merge</State>;
  return (
    <Card title="Merges">
      <Rows rows={[
        ["Now", state],
        ["Waiting", short(m.waiting), "for memory, room on the disk, or after a failure"],
        ["Done since the start", short(m.done)],
        ["Failed since the start", m.failed ? <span class="bad">{short(m.failed)}</span> : "0"],
        ["Read and written", `${bytes(m.read_bytes)}, ${bytes(m.written_bytes)}`],
      ]} />
    </Card>
  );
}

function Retained({ rules, node }: { rules: Retention | undefined; node: NodeStorage }) {
  const age = (s: number | null) => (s === null ? "for ever" : s % 86400 === 0 ? `${short(s / 86400)} d` : duration(s));
  const name = (r: Retention["rules"][number]) => [r.index ?? (r.signal ? signalLabel(r.signal) : r.matcher ? "" : "Everything of this tenant"), r.matcher].filter(Boolean).join(" ");
  return (
    <Card title="Retention">
      <Rows rows={[
        ["Everything", rules ? age(rules.default.age_seconds) : "not known"],
        ...(rules?.rules ?? []).map((r) => [name(r), age(r.age_seconds)] as [string, string]),
        ["Deleted since the start", bytes(node.since_start.retention_bytes)],
      ]} />
    </Card>
  );
}

function Deletions({ data, tasks }: { data: Storage; tasks: Deletion[] | undefined }) {
  const d = data.node.deletions, gone = data.signals.reduce((n, s) => n + s.gone_bytes, 0);
  const open = (tasks ?? []).filter((t) => t.state !== "done" && t.state !== "failed");
  return (
    <Card title="Deletions">
      <Rows rows={[
        ["Now", d.under_way ? <State level="warn">{short(d.under_way)} under way</State> : <State level="idle">none under way</State>],
        ["Rows marked", short(d.dead_rows), "deleted, and still in their segments"],
        ["Of series and indexes", short(d.tombstones), "deletions that segments still hold"],
        ["Bytes to go with their segments", bytes(gone), "row groups of which nothing is read any more: deleted, or too old"],
      ]} />
      {open.map((t) => <p key={t.id} class="fact-task"><State level={t.error ? "bad" : "warn"}>{t.state}</State> <code class="cut" title={t.query ?? t.series?.join(", ")}>{t.signal}: {t.query ?? t.series?.join(", ")}</code> {t.error && <span class="bad">{t.error}</span>}</p>)}
    </Card>
  );
}

export function Facts(p: { data: Storage; retention: Retention | undefined; deletions: Deletion[] | undefined }) {
  const node = p.data.node;
  return (
    <div class="facts">
      <Disk node={node} />
      <Segments data={p.data} />
      <Waiting node={node} />
      <Merges node={node} />
      <Retained rules={p.retention} node={node} />
      <Deletions data={p.data} tasks={p.deletions} />
    </div>
  );
}
