import { describe, expect, it } from "vitest";
import { logQuery, parseTerm, promMatchers, traceql } from "./filters";

describe("parseTerm", () => {
  it("reads both operators, short names and quotes", () => {
    expect(parseTerm("service=checkout")).toEqual({ key: "service.name", op: "=", value: "checkout" });
    expect(parseTerm("http.route!=/health")).toEqual({ key: "http.route", op: "!=", value: "/health" });
    expect(parseTerm('a = "x=y"')).toEqual({ key: "a", op: "=", value: "x=y" });
  });
  it("refuses what is no term", () => {
    for (const t of ["", "service", "=x", "service=", "!=x"]) expect(parseTerm(t)).toBeUndefined();
  });
});

const terms = [
  { key: "service.name", op: "=", value: 'a"b\\c' },
  { key: "http.route", op: "!=", value: "/x y" },
] as const;

describe("each language quotes what a person typed", () => {
  it("TraceQL", () => expect(traceql([...terms])).toBe('{ resource.service.name = "a\\"b\\\\c" && span.http.route != "/x y" }'));
  it("log search", () => expect(logQuery([...terms], "error OR warn")).toBe('service_name:"a\\"b\\\\c" AND NOT attributes.http.route:"/x y" AND (error OR warn)'));
  it("PromQL", () => expect(promMatchers([...terms])).toBe('job="a\\"b\\\\c",http_route!="/x y"'));
  it("nothing narrows nothing", () => {
    expect(traceql([])).toBe("{ }");
    expect(logQuery([])).toBe("*");
    expect(logQuery([], "*")).toBe("*");
  });
});

it("a scope in front of a name says where the attribute is, in every language", () => {
  const t = [{ key: "resource.team", op: "=" as const, value: "a" }, { key: "span.x", op: "=" as const, value: "b" }];
  expect(traceql(t)).toBe('{ resource.team = "a" && span.x = "b" }');
  expect(logQuery(t)).toBe("resource_attributes.team:a AND attributes.x:b");
  expect(promMatchers(t)).toBe('team="a",x="b"');
});
