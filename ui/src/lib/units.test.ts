import { expect, it } from "vitest";
import { bytes, duration, percent, short, unitOf } from "./units";

it("short numbers", () => {
  expect(short(0)).toBe("0");
  expect(short(1234)).toBe("1.23 k");
  expect(short(12_345_678)).toBe("12.3 M");
  expect(short(0.00123)).toBe("0.0012");
  expect(short(NaN)).toBe("no value");
});

it("durations", () => {
  expect(duration(0)).toBe("0 s");
  expect(duration(1.2416)).toBe("1.24 s");
  expect(duration(0.0125)).toBe("12.5 ms");
  expect(duration(185)).toBe("3 min 5 s");
  expect(duration(2.5e-7)).toBe("250 ns");
});

it("shares and bytes", () => {
  expect(percent(0.987)).toBe("98.7 %");
  expect(bytes(1536)).toBe("1.50 KiB");
});

it("a metric's name tells its unit", () => {
  expect(unitOf("histogram_quantile(0.95, rate(http_server_request_duration_seconds[5m]))")).toBe("s");
  expect(unitOf("rate(http_requests_total[1m])")).toBe("per_second");
  expect(unitOf("process_resident_memory_bytes")).toBe("bytes");
  expect(unitOf("up")).toBe("none");
});
