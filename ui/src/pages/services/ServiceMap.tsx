// The service map: boxes and curves in SVG, so that each can be focused, read and clicked.
import { useMemo } from "preact/hooks";
import type { Edge, Service } from "../../lib/api/native";
import { serviceColour } from "../../lib/colour";
import { errorLevel } from "../../lib/health";
import { duration, percent, rate } from "../../lib/units";
import { type MapEdge, type MapNode, nodeHeight, nodeWidth, place } from "./layout";
import "./ServiceMap.css";

function level(requests: number, errors: number) {
  return errorLevel(requests ? errors / requests : 0);
}

/** The share of errors as a ring around a disc of the service's colour. */
function Ring({ node }: { node: MapNode }) {
  const share = node.requests ? Math.min(1, node.errors / node.requests) : 0;
  const around = 2 * Math.PI * 13;
  return (
    <g transform={`translate(24 ${nodeHeight / 2})`}>
      <circle r="13" class="map-ring" />
      {share > 0 && <circle r="13" class="map-ring-bad" stroke-dasharray={`${Math.max(share * around, 2)} ${around}`} transform="rotate(-90)" />}
      {node.kind === "service" ? <circle r="8" fill={serviceColour(node.label)} /> : <KindMark kind={node.kind} />}
    </g>
  );
}

function KindMark({ kind }: { kind: Edge["to_kind"] }) {
  const d = kind === "database" ? "M-6 -5a6 2.4 0 0 1 12 0v10a6 2.4 0 0 1 -12 0zM-6 -5a6 2.4 0 0 0 12 0" : kind === "messaging" ? "M-7 -4h14v8h-14zM-7 -4l7 5 7-5" : "M-7 0a7 7 0 1 0 14 0a7 7 0 1 0 -14 0M-7 0h14M0 -7c-5 4 -5 10 0 14c5 -4 5 -10 0 -14";
  return <path d={d} class="map-kind" />;
}

function Node(p: { node: MapNode; seconds: number; selected: boolean; onSelect: () => void }) {
  const { node } = p;
  const name = node.label.length > 16 ? node.label.slice(0, 15) + "…" : node.label;
  const short = `${rate(node.requests / p.seconds)}${node.p95_ms === null ? "" : ` · ${duration(node.p95_ms / 1e3)}`}`;
  const press = (e: KeyboardEvent) => {
    if (e.key !== "Enter" && e.key !== " ") return;
    e.preventDefault();
    p.onSelect();
  };
  return (
    <g
      class="map-node" data-level={level(node.requests, node.errors)} data-kind={node.kind} data-selected={p.selected ? "" : undefined}
      transform={`translate(${node.x - nodeWidth / 2} ${node.y - nodeHeight / 2})`}
      role="button" tabIndex={0} onClick={p.onSelect} onKeyDown={press}
    >
      <rect width={nodeWidth} height={nodeHeight} rx="8" />
      <Ring node={node} />
      <text x="46" y="22" class="map-name">{name}</text>{" "}
      <text x="46" y="39" class="map-numbers">{short}</text>
    </g>
  );
}

function Line(p: { line: MapEdge; seconds: number; lit: boolean }) {
  const { edge } = p.line;
  const words = `${edge.from} to ${edge.to}: ${rate(edge.requests / p.seconds)}, ${percent(edge.requests ? edge.errors / edge.requests : 0)} errors${edge.p95_ms === null ? "" : `, p95 ${duration(edge.p95_ms / 1e3)}`}`;
  return (
    <g class="map-edge" data-level={level(edge.requests, edge.errors)} data-lit={p.lit ? "" : undefined}>
      <title>{words}</title>
      <path d={p.line.path} stroke-width={p.line.width} marker-end="url(#map-arrow)" />
      <path d={p.line.path} class="map-edge-touch" />
    </g>
  );
}

/** `selected` is a node's id ("service:orders"); `seconds` is the length of the interval, for rates. */
export function ServiceMap(p: { services: Service[]; edges: Edge[]; seconds: number; selected: string; onSelect: (id: string) => void }) {
  const map = useMemo(() => place(p.services, p.edges), [p.services, p.edges]);
  return (
    <div class="service-map">
      <svg viewBox={`0 0 ${map.width} ${map.height}`} style={{ width: `${map.width}px`, maxWidth: "100%" }} role="group" aria-label="Map of services and the calls between them">
        <defs>
          <marker id="map-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">
            <path d="M0 0 8 4 0 8z" class="map-arrow" />
          </marker>
        </defs>
        {map.edges.map((e) => (
          <Line key={e.id} line={e} seconds={p.seconds} lit={p.selected === `service:${e.edge.from}` || p.selected === `${e.edge.to_kind}:${e.edge.to}`} />
        ))}
        {map.nodes.map((n) => <Node key={n.id} node={n} seconds={p.seconds} selected={n.id === p.selected} onSelect={() => p.onSelect(n.id)} />)}
      </svg>
    </div>
  );
}
