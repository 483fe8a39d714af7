import { describe, expect, it } from "vitest";
import type { Edge, Service } from "../../lib/api/native";
import { around, nodeHeight, nodeWidth, place } from "./layout";

const service = (name: string): Service => ({
  name, language: "", spans: 1, requests: 10, errors: 1, p50_ms: 1, p95_ms: 2, p99_ms: 3, last_seen: 0, rate: [], error_rate: [], p95: [],
});
const edge = (from: string, to: string, to_kind: Edge["to_kind"] = "service", requests = 10): Edge => ({ from, to, to_kind, requests, errors: 0, p50_ms: 1, p95_ms: 2 });

const services = ["web", "shop", "orders", "payments"].map(service);
const edges = [edge("web", "shop"), edge("shop", "orders"), edge("orders", "payments", "service", 40), edge("orders", "shop", "database"), edge("payments", "shop", "database")];

describe("place", () => {
  const map = place(services, edges);
  it("keeps a service and a database of one name apart, and draws the shared database once", () => {
    expect(map.nodes.map((n) => n.id).sort()).toEqual(["database:shop", "service:orders", "service:payments", "service:shop", "service:web"]);
    expect(map.nodes.find((n) => n.id === "database:shop")!.requests).toBe(20);
  });
  it("goes from left to right along the calls, and nothing overlaps", () => {
    const x = (id: string) => map.nodes.find((n) => n.id === id)!.x;
    expect(x("service:web")).toBeLessThan(x("service:shop"));
    expect(x("service:orders")).toBeLessThan(x("service:payments"));
    for (const a of map.nodes)
      for (const b of map.nodes)
        if (a !== b) expect(Math.abs(a.x - b.x) >= nodeWidth || Math.abs(a.y - b.y) >= nodeHeight).toBe(true);
  });
  it("draws busier edges wider", () => {
    const width = (from: string) => map.edges.find((e) => e.edge.from === from)!.width;
    expect(width("orders")).toBeGreaterThan(width("web"));
  });
  it("survives cycles, calls to itself and callers that are not listed", () => {
    const m = place([service("a")], [edge("a", "a"), edge("a", "b"), edge("b", "a"), edge("ghost", "a")]);
    expect(m.nodes).toHaveLength(3);
    expect(m.edges.every((e) => e.path.startsWith("M"))).toBe(true);
  });
});

it("around keeps what is within the hops, in both directions", () => {
  expect(around(services, edges, "orders", 1).services.map((s) => s.name)).toEqual(["shop", "orders", "payments"]);
  expect(around(services, edges, "orders", 1).edges).toHaveLength(4);
  expect(around(services, edges, undefined, 1).edges).toHaveLength(5);
  expect(around(services, edges, "absent", 1).services).toHaveLength(0);
});
