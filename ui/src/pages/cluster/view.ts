// What the answer of /api/cluster means for a person: who is in which state, and who lacks what.
import type { Level } from "../../components/State";
import type { Cluster, Member, Stream, TenantCopies } from "../../lib/api/cluster";

/** State and health of a member in words. */
export function stateOf(m: Member): { level: Level; text: string } {
  if (m.state === "dead") return { level: "bad", text: "dead" };
  if (m.state === "left") return { level: "idle", text: "left" };
  if (m.state === "suspect") return { level: "warn", text: "suspect" };
  if (m.health === "failing") return { level: "bad", text: "alive, disk failing" };
  if (m.health === "draining") return { level: "warn", text: "alive, draining" };
  if (m.health === "drained") return { level: "warn", text: "drained, to be stopped" };
  if (m.health === "degraded") return { level: "warn", text: "alive, degraded" };
  if (m.other_settings) return { level: "warn", text: "alive, other settings" };
  return { level: "ok", text: "alive" };
}

/** The web UI of a member, by the host of its gossip; of an IPv6 address in brackets. Undefined when that is no address. */
export function uiOf(m: Member): string | undefined {
  const host = /^(\[[0-9a-fA-F:.]+\]|[\d.]+):\d+$/.exec(m.address)?.[1];
  return host && `http://${host}:${3000 + m.http_port_offset}/`;
}

/** The first half of an id: enough to tell nodes apart; the whole one is in the tooltip. */
export const shortId = (id: string) => id.slice(0, 8);

/** How rows of tenants are placed, those without settings of their own last; none where all are placed alike. */
export function tenantsOf(c: Cluster): TenantCopies[] {
  if (c.tenants.length === 0 && c.tenant_nodes === 0) return [];
  return [...c.tenants, { tenant: "", replicas: c.replicas, write_quorum: c.write_quorum, nodes: c.tenant_nodes }];
}

export interface Held {
  node: string;
  /** undefined: it did not answer */
  batches: number | undefined;
  lacks: number | undefined;
}

/** The streams of an answer with what there was in the answer before it. */
export function since(now: Cluster, before: Cluster | undefined): Cluster {
  if (!before) return now;
  const all = new Map(before.streams.map((s) => [s.id, s.all]));
  return { ...now, streams: now.streams.map((s) => ({ ...s, before: all.get(s.id) ?? 0 })) };
}

/** Of each member of a stream: what it has, and what it lacks of all that anybody has. What came since the answer before is on its way, not lacked. */
export function held(s: Stream): Held[] {
  const due = Math.min(s.all, s.before ?? s.all);
  return s.members.map((node) => {
    const batches = s.have.find((h) => h.node === node)?.batches;
    return { node, batches, lacks: batches === undefined ? undefined : Math.max(0, due - batches) };
  });
}

/** Of a member over all its streams: what it lacks; undefined when it did not answer. */
export function lacksOf(c: Cluster, id: string): number | undefined {
  let sum = 0;
  for (const s of c.streams)
    for (const h of held(s)) {
      if (h.node !== id) continue;
      if (h.lacks === undefined) return undefined;
      sum += h.lacks;
    }
  return sum;
}

export interface Summary {
  alive: number;
  away: number;
  text: string;
  level: Level;
}

/** In one sentence how the cluster is; the banners say what follows from it. */
export function summary(c: Cluster): Summary {
  const alive = c.members.filter((m) => m.state === "alive").length;
  const away = c.members.filter((m) => m.state === "suspect" || m.state === "dead").length;
  const behind = c.members.filter((m) => m.state === "alive" && (lacksOf(c, m.id) ?? 0) > 0).length;
  if (c.alone) return { alive, away, level: "idle", text: "one node, alone" };
  if (away) return { alive, away, level: alive < c.write_quorum ? "bad" : "warn", text: `${alive} of ${alive + away} nodes alive` };
  if (behind) return { alive, away, level: "warn", text: `all ${alive} nodes alive, ${behind} catching up` };
  return { alive, away, level: "ok", text: `all ${alive} nodes alive and equal` };
}
