import { beforeEach, describe, expect, it } from "vitest";
import { choice, flag, go, href, list, number, pageState, place, setQuery, text } from "./url";

beforeEach(() => go("/", { from: undefined, f: [], x: undefined }));

const schema = { q: list(), view: choice(["graph", "table"], "graph"), n: number(10), wrap: flag(), name: text("a") };

describe("pageState", () => {
  it("answers defaults for what is missing or nonsense", () => {
    go("/p", { view: "nonsense", n: "x" });
    expect(pageState(schema)[0]).toEqual({ q: [], view: "graph", n: 10, wrap: false, name: "a" });
  });
  it("writes what differs from the default and reads it back", () => {
    go("/p");
    pageState(schema)[1]({ q: ["up", "a=b&c"], view: "table", wrap: true, n: 10 });
    expect(place.value.params.toString()).toBe("q=up&q=a%3Db%26c&view=table&wrap=1");
    expect(pageState(schema)[0]).toMatchObject({ q: ["up", "a=b&c"], view: "table", wrap: true });
  });
});

it("links keep the time range and the filters, and nothing else", () => {
  go("/p", { from: "now-1h", f: ["service.name=a"], x: "1" });
  expect(href("/q", { y: 2 })).toBe("/q?from=now-1h&f=service.name%3Da&y=2");
});

it("setQuery keeps the page's other parameters", () => {
  go("/p", { a: "1", b: "2" });
  setQuery({ a: undefined, c: "3" });
  expect(place.value.params.toString()).toBe("b=2&c=3");
});
