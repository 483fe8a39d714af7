import { expect, it } from "vitest";
import type { ColumnPart, Storage } from "../../lib/api/storage";
import { columnLabel, logsWith, newestHour, ratio, slices, spansWith } from "./parts";

const sums = { gone_bytes: 0, dead_rows: 0, memory: {} };
const some = {
  node: {
    segments: { parts: { data: 70, other_tenants: 5, trace_ids: 3, words: 0, directories: 20, padding: 2 } },
    since_start: { received_bytes: 1000, sealed_bytes: 100 },
  },
  signals: [
    { signal: "spans", bytes: 40, oldest: 1000, newest: 9000.5, ...sums },
    { signal: "logs", bytes: 30, oldest: 8000, newest: 8100, ...sums },
    { signal: "metrics", bytes: 0, oldest: null, newest: null, ...sums },
  ],
} as unknown as Storage;
const column = (c: Partial<ColumnPart>) => ({ signal: "spans", relation: "row", attribute: true, name: "http.route", ...c }) as ColumnPart;

it("cuts all bytes of the segments", () => {
  expect(slices(some).map((s) => [s.id, s.bytes])).toEqual([["spans", 40], ["logs", 30], ["trace_ids", 3], ["directories", 22], ["other", 5]]);
});

it("knows where a signal's data is", () => {
  expect(newestHour(some, "spans")).toEqual({ start: 5400, end: 9002 });
  expect(newestHour(some, "logs")).toEqual({ start: 8000, end: 8101 });
  expect(newestHour(some, "metrics")).toBeUndefined();
  expect(newestHour(some, "docs")).toBeUndefined();
});

it("leads from an attribute to what has it", () => {
  expect(spansWith(column({}))).toBe("{ span.http.route != nil }");
  expect(spansWith(column({ relation: "resource", name: "odd key" }))).toBe('{ resource."odd key" != nil }');
  expect(spansWith(column({ relation: "event", name: "exception.type" }))).toBe("{ event.exception.type != nil }");
  expect(spansWith(column({ attribute: false, name: "trace_id" }))).toBeUndefined();
  expect(spansWith(column({ signal: "logs" }))).toBeUndefined();
  expect(logsWith(column({ signal: "logs", name: "n" }))).toBe("attributes.n:*");
  expect(logsWith(column({ signal: "logs", relation: "resource", name: "host.name" }))).toBe("resource_attributes.host.name:*");
  expect(logsWith(column({ signal: "logs", name: "odd key" }))).toBeUndefined();
  expect(logsWith(column({}))).toBeUndefined();
  expect(columnLabel(column({ relation: "resource" }))).toBe("resource http.route");
});

it("tells a ratio only when it can", () => {
  expect(ratio(some)).toBe(10);
  expect(ratio({ node: { since_start: { received_bytes: 10, sealed_bytes: 0 } } } as unknown as Storage)).toBeUndefined();
});
