import { expect, it } from "vitest";
import { match } from "./router";

it("matches parts by name and decodes them", () => {
  expect(match("/", "/")).toEqual({});
  expect(match("/trace/:id", "/trace/abc")).toEqual({ id: "abc" });
  expect(match("/services/:name", "/services/a%2Fb%20c")).toEqual({ name: "a/b c" });
});

it("does not match another length, another word or bad escapes", () => {
  expect(match("/trace/:id", "/trace")).toBeUndefined();
  expect(match("/trace/:id", "/services/x")).toBeUndefined();
  expect(match("/trace/:id", "/trace/%E0%A4%A")).toBeUndefined();
});
