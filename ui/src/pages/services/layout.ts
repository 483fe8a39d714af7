// Where the nodes of the service map stand: left to right along the calls, by dagre. Pure: edges in, boxes and curves out.
import { Graph, layout } from "@dagrejs/dagre";
import type { Edge, Service } from "../../lib/api/native";

export interface MapNode {
  id: string;
  label: string;
  kind: Edge["to_kind"];
  /** requests and errors: of the service itself, or of the calls to a database, queue or foreign host */
  requests: number;
  errors: number;
  p95_ms: number | null;
  x: number;
  y: number;
}

export interface MapEdge {
  id: string;
  edge: Edge;
  path: string;
  /** stroke width in px, by the share of the busiest edge */
  width: number;
  labelX: number;
  labelY: number;
}

export interface ServiceMap {
  nodes: MapNode[];
  edges: MapEdge[];
  width: number;
  height: number;
}

export const nodeWidth = 168;
export const nodeHeight = 52;

function idOf(kind: Edge["to_kind"], name: string): string {
  return `${kind}:${name}`;
}

/** A smooth line through dagre's points. */
function curve(points: { x: number; y: number }[]): string {
  if (points.length < 2) return "";
  let d = `M${points[0]!.x.toFixed(1)} ${points[0]!.y.toFixed(1)}`;
  for (let i = 1; i < points.length - 1; i++) {
    const p = points[i]!, q = points[i + 1]!;
    const last = i === points.length - 2;
    const x = last ? q.x : (p.x + q.x) / 2, y = last ? q.y : (p.y + q.y) / 2;
    d += `Q${p.x.toFixed(1)} ${p.y.toFixed(1)} ${x.toFixed(1)} ${y.toFixed(1)}`;
  }
  return points.length === 2 ? `${d}L${points[1]!.x.toFixed(1)} ${points[1]!.y.toFixed(1)}` : d;
}

/** The part of the graph within `hops` calls of a service, in both directions; all of it without one. */
export function around(services: Service[], edges: Edge[], focus: string | undefined, hops: number): { services: Service[]; edges: Edge[] } {
  if (!focus) return { services, edges };
  const near = new Set([idOf("service", focus)]);
  for (let i = 0; i < hops; i++) {
    const add = edges.filter((e) => near.has(idOf("service", e.from)) !== near.has(idOf(e.to_kind, e.to)));
    for (const e of add) near.add(idOf("service", e.from)).add(idOf(e.to_kind, e.to));
  }
  return {
    services: services.filter((s) => near.has(idOf("service", s.name))),
    edges: edges.filter((e) => near.has(idOf("service", e.from)) && near.has(idOf(e.to_kind, e.to))),
  };
}

export function place(services: Service[], edges: Edge[]): ServiceMap {
  const g = new Graph({ multigraph: true });
  g.setGraph({ rankdir: "LR", nodesep: 28, ranksep: 96, marginx: 16, marginy: 16 });
  g.setDefaultEdgeLabel(() => ({}));
  const nodes = new Map<string, MapNode>();
  const put = (node: MapNode) => {
    nodes.set(node.id, node);
    g.setNode(node.id, { width: nodeWidth, height: nodeHeight });
  };
  for (const s of services)
    put({ id: idOf("service", s.name), label: s.name, kind: "service", requests: s.requests, errors: s.errors, p95_ms: s.p95_ms, x: 0, y: 0 });
  for (const e of edges) {
    const id = idOf(e.to_kind, e.to);
    const there = nodes.get(id);
    if (!there) put({ id, label: e.to, kind: e.to_kind, requests: e.requests, errors: e.errors, p95_ms: e.p95_ms, x: 0, y: 0 });
    else if (e.to_kind !== "service") { there.requests += e.requests; there.errors += e.errors; }
    const from = idOf("service", e.from);
    if (!nodes.has(from)) put({ id: from, label: e.from, kind: "service", requests: 0, errors: 0, p95_ms: null, x: 0, y: 0 });
    g.setEdge(from, id, {}, `${from}>${id}`);
  }
  layout(g);
  for (const n of nodes.values()) {
    const at = g.node(n.id) as { x: number; y: number };
    n.x = at.x;
    n.y = at.y;
  }
  const busiest = Math.max(1, ...edges.map((e) => e.requests));
  const size = g.graph() as { width?: number; height?: number };
  return {
    nodes: [...nodes.values()],
    width: size.width ?? 0,
    height: size.height ?? 0,
    edges: edges.map((edge) => {
      const id = `${idOf("service", edge.from)}>${idOf(edge.to_kind, edge.to)}`;
      const points = (g.edge({ v: idOf("service", edge.from), w: idOf(edge.to_kind, edge.to), name: id }) as { points: { x: number; y: number }[] }).points;
      const mid = points[Math.floor(points.length / 2)]!;
      return { id, edge, path: curve(points), width: 1.2 + 4 * Math.sqrt(edge.requests / busiest), labelX: mid.x, labelY: mid.y };
    }),
  };
}
