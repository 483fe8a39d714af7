import { expect, it } from "vitest";
import { readErrors, readSessions, story } from "./sessions";

it("reads sessions, the latest first", () => {
  const bucket = (key: string, last: number, events: [string, number][]) => ({
    key, doc_count: 9, first: { value: 1000 }, last: { value: last }, events: { buckets: events.map(([k, doc_count]) => ({ key: k, doc_count })) },
  });
  expect(readSessions([bucket("a", 2000, [["browser.navigation", 2]]), bucket("b", 3000, [["exception", 1], ["browser.user_action.click", 4]])])).toEqual([
    { id: "b", first: 1, last: 3, views: 0, clicks: 4, errors: 1 },
    { id: "a", first: 1, last: 2, views: 2, clicks: 0, errors: 0 },
  ]);
});

it("groups errors by type and message, the most frequent first", () => {
  const message = (key: string, doc_count: number) => ({ key, doc_count, sessions: { value: 2 }, routes: { buckets: [{ key: "/cart", doc_count }] }, first: { value: 1000 }, last: { value: 5000 } });
  const got = readErrors([{ key: "TypeError", doc_count: 5, messages: { buckets: [message("x", 1), message("y", 4)] } }]);
  expect(got.map((g) => [g.type, g.message, g.count, g.sessions, g.routes])).toEqual([["TypeError", "y", 4, 2, ["/cart"]], ["TypeError", "x", 1, 2, ["/cart"]]]);
});

it("tells a session's story in order, failed requests marked", () => {
  const steps = story(
    [
      { timestamp_nanos: 3e9, event_name: "exception", attributes: { "exception.type": "TypeError", "exception.message": "boom" } },
      { timestamp_nanos: 1e9, event_name: "browser.navigation", attributes: { "url.path": "/cart" } },
    ],
    [{ traceID: "t", startTimeUnixNano: "2000000000", spanSets: [{ matched: 1, spans: [{ spanID: "s", name: "POST", startTimeUnixNano: "2000000000", durationNanos: "5000000", attributes: [{ key: "http.response.status_code", value: { intValue: "502" } }] }] }] }],
  );
  expect(steps.map((s) => [s.kind, s.text, s.bad])).toEqual([["view", "/cart", false], ["request", "POST", true], ["error", "TypeError: boom", true]]);
  expect(steps[1]).toMatchObject({ traceId: "t", spanId: "s", detail: "502 in 5.0 ms" });
});
