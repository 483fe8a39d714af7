import { errorLevel } from "../../lib/health";
import { duration, percent, rate, short } from "../../lib/units";
import "./Numbers.css";

function One(p: { label: string; value: string; title?: string; bad?: boolean }) {
  return (
    <div class="number-one" title={p.title}>
      <span class="quiet">{p.label}</span>
      <strong class={p.bad ? "bad" : undefined}>{p.value}</strong>
    </div>
  );
}

/** Rate, errors and durations in a row. Milliseconds; null where there is none. */
export function Numbers(p: { requests: number; errors: number; seconds: number; p50: number | null; p95: number | null; p99: number | null }) {
  const share = p.requests ? p.errors / p.requests : 0;
  const ms = (v: number | null) => (v === null ? "no value" : duration(v / 1e3));
  return (
    <div class="numbers">
      <One label="Requests" value={rate(p.requests / p.seconds)} title={`${short(p.requests)} in this time range`} />
      <One label="Errors" value={percent(share)} title={`${short(p.errors)} requests failed`} bad={errorLevel(share) === "bad"} />
      {p.p50 !== null && <One label="p50" value={ms(p.p50)} />}
      <One label="p95" value={ms(p.p95)} />
      {p.p99 !== null && <One label="p99" value={ms(p.p99)} />}
    </div>
  );
}
