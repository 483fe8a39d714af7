import { expect, it } from "vitest";
import { summary } from "./LogLine";

const row = (over: object) => ({ timestamp_nanos: 1, ...over });

it("says the body, or what an event's attributes say", () => {
  expect(summary(row({ body: { message: "hello" } }))).toBe("hello");
  expect(summary(row({ body: { a: 1, message: "x" } }))).toBe('{"a":1,"message":"x"}');
  expect(summary(row({ event_name: "browser.web_vital", attributes: { "browser.document.url.full": "http://x", "url.template": "/", "browser.web_vital.name": "lcp", "browser.web_vital.value": 12.5 } })))
    .toBe("browser.web_vital name=lcp value=12.5 url.template=/");
  expect(summary(row({ attributes: { a: "b" } }))).toBe("a=b");
});
