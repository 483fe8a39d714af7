import { expect, it } from "vitest";
import { exemplarQuery, servicesOf } from "./behind";

it("asks the buckets, which carry the exemplars", () => {
  expect(exemplarQuery("sum(rate(x_seconds_count[1m])) / rate(x_seconds_sum[1m])")).toBe("sum(rate(x_seconds_bucket[1m])) / rate(x_seconds_bucket[1m])");
  expect(exemplarQuery("count(up)")).toBe("count(up)");
});

it("finds the services that a query names", () => {
  expect(servicesOf(['rate(x{job="shop/orders"}[1m]) + y{service_name="a\\"b"}', 'z{job!="no", job =~ "x.*"}'])).toEqual(["orders", 'a"b']);
  expect(servicesOf(["up"])).toEqual([]);
});
