import { expect, it } from "vitest";
import type { Cluster, Member } from "../../lib/api/cluster";
import { held, lacksOf, since, stateOf, summary, tenantsOf, uiOf } from "./view";

const member = (id: string, m: Partial<Member> = {}) => ({ id, state: "alive", health: "well", address: "10.0.0.1:7946", http_port_offset: 0, ...m }) as Member;
const stream = { id: "s", members: ["a", "b", "c"], here: 10, all: 12, have: [{ node: "a", batches: 12 }, { node: "b", batches: 9 }] };
const of = (members: Member[], c: Partial<Cluster> = {}) => ({ node: "a", alone: false, replicas: 3, write_quorum: 2, members, streams: [stream], ...c }) as Cluster;

it("says of a member how it is", () => {
  expect(stateOf(member("a"))).toEqual({ level: "ok", text: "alive" });
  expect(stateOf(member("a", { state: "suspect" })).level).toBe("warn");
  expect(stateOf(member("a", { health: "drained" }))).toEqual({ level: "warn", text: "drained, to be stopped" });
  expect(stateOf(member("a", { state: "dead", health: "draining" }))).toEqual({ level: "bad", text: "dead" });
  expect(stateOf(member("a", { health: "failing" }))).toEqual({ level: "bad", text: "alive, disk failing" });
  expect(stateOf(member("a", { state: "left" })).level).toBe("idle");
  expect(stateOf(member("a", { other_settings: true }))).toEqual({ level: "warn", text: "alive, other settings" });
});

it("finds a member's own UI", () => {
  expect(uiOf(member("a", { http_port_offset: 100 }))).toBe("http://10.0.0.1:3100/");
  expect(uiOf(member("a", { address: "[fd00::1]:7946" }))).toBe("http://[fd00::1]:3000/");
  expect(uiOf(member("a", { address: "javascript:1" }))).toBeUndefined();
});

it("counts what members lack, and knows of whom it is not known", () => {
  expect(held(stream)).toEqual([{ node: "a", batches: 12, lacks: 0 }, { node: "b", batches: 9, lacks: 3 }, { node: "c", batches: undefined, lacks: undefined }]);
  const c = of([]);
  expect([lacksOf(c, "a"), lacksOf(c, "b"), lacksOf(c, "c"), lacksOf(c, "d")]).toEqual([0, 3, undefined, 0]);
});

it("lists tenants only where some are placed otherwise", () => {
  const one = { tenant: "one", replicas: 1, write_quorum: 1, nodes: 0 };
  expect(tenantsOf(of([], { tenants: [], tenant_nodes: 0 }))).toEqual([]);
  expect(tenantsOf(of([], { tenants: [one], tenant_nodes: 4 }))).toEqual([one, { tenant: "", replicas: 3, write_quorum: 2, nodes: 4 }]);
});

it("sums up in a sentence", () => {
  const dead = member("c", { state: "dead" });
  expect(summary(of([member("a"), member("b"), dead]))).toMatchObject({ level: "warn", text: "2 of 3 nodes alive" });
  expect(summary(of([member("a"), member("b", { state: "suspect" }), dead])).level).toBe("bad");
  expect(summary(of([member("a"), member("b")])).text).toBe("all 2 nodes alive, 1 catching up");
  expect(summary(of([member("a"), member("c")])).level).toBe("ok");
  expect(summary(of([member("a")], { alone: true })).text).toBe("one node, alone");
});

it("does not take what is on its way for what is lacked", () => {
  const c = of([member("a"), member("b")]);
  expect(lacksOf(since(c, undefined), "b")).toBe(3);
  expect(lacksOf(since(c, of([], { streams: [{ ...stream, all: 10 }] })), "b")).toBe(1);
  expect(lacksOf(since(c, of([], { streams: [{ ...stream, all: 9 }] })), "b")).toBe(0);
  expect(lacksOf(since(c, of([], { streams: [] })), "b")).toBe(0);
});
