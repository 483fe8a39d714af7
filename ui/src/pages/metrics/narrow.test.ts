import { expect, it } from "vitest";
import { narrow } from "./narrow";

const terms = [{ key: "service.name", op: "=" as const, value: "a" }];

it("adds the matchers to every selector", () => {
  expect(narrow("up", terms)).toBe('up{job="a"}');
  expect(narrow('sum(rate(x{code="5"}[5m])) / sum(rate(x{}[5m] offset 1h))', terms)).toBe('sum(rate(x{code="5",job="a"}[5m])) / sum(rate(x{job="a"}[5m] offset 1h))');
  expect(narrow('{__name__="x"}', terms)).toBe('{__name__="x",job="a"}');
});

it("leaves a selector that names the label itself, and what does not parse", () => {
  expect(narrow('up{job="b"}', terms)).toBe('up{job="b"}');
  expect(narrow("sum(", terms)).toBe("sum(");
  expect(narrow("1 + 2", terms)).toBe("1 + 2");
  expect(narrow("up", [])).toBe("up");
});
