import { describe, expect, it } from "vitest";
import { positionOf } from "./http";

describe("positionOf", () => {
  it("reads what the three query languages say", () => {
    expect(positionOf("1:5: parse error: unexpected end", "sum(")).toBe(4);
    expect(positionOf("invalid TraceQL query: parse error at line 1, col 21: attribute or value expected", "{ status = error && }")).toBe(20);
    expect(positionOf("parse error at line 2, col 3: x", "{ a\n && }")).toBe(6);
    expect(positionOf("unexpected ')' at 7", "a AND ()")).toBe(7);
  });
  it("stays in the query, and is undefined when none is told", () => {
    expect(positionOf("line 1, col 99", "{ }")).toBe(3);
    expect(positionOf("line 9, col 1", "{ }")).toBeUndefined();
    expect(positionOf("too much", "{ }")).toBeUndefined();
  });
});
