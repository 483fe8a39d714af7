import { expect, it } from "vitest";
import { logCompletion, traceqlCompletion } from "./complete";

const asked: string[] = [];
const names = {
  names: () => Promise.resolve(["service.name", "http.route", "span.odd"]),
  values: (n: string) => { asked.push(n); return Promise.resolve(["checkout", "a b"]); },
};
const signal = new AbortController().signal;
const traceql = (t: string) => traceqlCompletion(names)(t, t.length, signal);
const logs = (t: string) => logCompletion(names)(t, t.length, signal);

it("TraceQL: scoped attributes inside braces", async () => {
  const c = await traceql("{ res");
  expect(c?.from).toBe(2);
  expect(c?.choices.map((x) => x.label)).toEqual(expect.arrayContaining(["resource.service.name", "span.http.route", "span.odd", "duration"]));
});

it("TraceQL: values inside quotes, of the attribute before the operator", async () => {
  const c = await traceql('{ resource.service.name = "che');
  expect(asked.at(-1)).toBe("resource.service.name");
  expect(c).toEqual({ from: 27, choices: [{ label: "checkout", kind: "value" }, { label: "a b", kind: "value" }] });
});

it("TraceQL: functions after a pipe, nothing outside", async () => {
  expect((await traceql("{ } | ra"))?.choices.some((x) => x.label === "rate()")).toBe(true);
  expect(await traceql("ra")).toBeUndefined();
  expect((await traceql("{ } | rate() by (re"))?.choices[0]!.label).toBe("resource.service.name");
});

it("logs: fields at a term, values after the colon, quoted when they must be", async () => {
  expect((await logs("error AND serv"))?.choices.map((x) => x.label)).toContain("http.route:");
  expect(await logs("service_name:ch")).toEqual({ from: 13, choices: [{ label: "checkout", kind: "value" }, { label: '"a b"', kind: "value" }] });
  expect((await logs('service_name:"a'))?.choices[1]!.label).toBe("a b");
  expect(await logs('"some words')).toBeUndefined();
});
