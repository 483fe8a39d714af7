import { describe, expect, it } from "vitest";
import { logQuery, parseTerm, promMatchers, traceql, traceqlCondition, traceqlNarrowed } from "./filters";

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

describe("conditions of TraceQL", () => {
  it("asks for numbers and booleans as both, quotes the rest", () => {
    expect(traceqlCondition("http.response.status_code", "=", "500")).toBe('(span.http.response.status_code = 500 || span.http.response.status_code = "500")');
    expect(traceqlCondition("x", "!=", "true")).toBe('(span.x != true || span.x != "true")');
    expect(traceqlCondition("x", ">", "1.5")).toBe("span.x > 1.5");
    expect(traceqlCondition("x", "=", '"500"')).toBe('span.x = "500"');
    expect(traceqlCondition("x", "=~", "5..")).toBe('span.x =~ "5.."');
    expect(traceqlCondition("name", "=", "200")).toBe('name = "200"');
    expect(traceqlCondition("status", "!=", "ok")).toBe("status != ok");
    expect(traceqlCondition("duration", ">=", "10ms")).toBe("duration >= 10ms");
    expect(traceqlCondition("duration", ">=", "x || true")).toBe('duration >= "x || true"');
    expect(traceqlCondition('odd "key', "=", "v")).toBe('span."odd \\"key" = "v"');
    expect(traceqlCondition(".any", "=", "v")).toBe('.any = "v"');
  });
  it("narrows a filter inside, anything else from outside", () => {
    const c = ['resource.service.name = "a"'];
    expect(traceqlNarrowed("", [])).toBe("{ }");
    expect(traceqlNarrowed("", c)).toBe('{ resource.service.name = "a" }');
    expect(traceqlNarrowed("{ }", c)).toBe('{ resource.service.name = "a" }');
    expect(traceqlNarrowed('{ name = "}" || kind = server }', c)).toBe('{ resource.service.name = "a" && (name = "}" || kind = server) }');
    expect(traceqlNarrowed('{ (span.a = 1 || span.a = "1") && name = "||" }', c)).toBe('{ resource.service.name = "a" && (span.a = 1 || span.a = "1") && name = "||" }');
    expect(traceqlNarrowed("{ } | count() > 2", c)).toBe('{ resource.service.name = "a" } && ({ } | count() > 2)');
    expect(traceqlNarrowed("{ a } >> { b }", c)).toBe('{ resource.service.name = "a" } && ({ a } >> { b })');
  });
});

it("what a language does not unescape is not escaped for it", () => {
  const t = [{ key: "a", op: "=" as const, value: 'line\nother "x" \\ \u0001' }];
  // Log search: a backslash makes the next character plain, so a newline stands as it is.
  expect(logQuery(t)).toBe('attributes.a:"line\nother \\"x\\" \\\\ \u0001"');
  // TraceQL and PromQL read \n; TraceQL reads no \u.
  expect(traceql(t)).toBe('{ span.a = "line\\nother \\"x\\" \\\\ \u0001" }');
  expect(promMatchers(t)).toBe('a="line\\nother \\"x\\" \\\\ \u0001"');
});
