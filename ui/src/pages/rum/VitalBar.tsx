import { percent, short } from "../../lib/units";
import { type Measured, rate, type Rating, type Vital, vitals, vitalText } from "./vitals";
import "./VitalBar.css";

const words: Record<Rating, string> = { good: "good", "needs-improvement": "needs work", poor: "poor" };

export function RatingWord({ rating }: { rating: Rating }) {
  return <span class="vital-word" data-rating={rating}>{words[rating]}</span>;
}

/** One vital: its 75th percentile, rated, and the shares of good, needs work and poor as one bar. */
export function VitalCard({ vital, measured }: { vital: Vital; measured: Measured | undefined }) {
  const v = vitals.find((x) => x.id === vital)!;
  const p75 = measured?.p75;
  const rating = p75 === undefined ? undefined : rate(vital, p75);
  return (
    <section class="card vital-card" aria-label={v.says}>
      <div class="row"><h3 class="grow" title={v.says}>{v.label}</h3>{rating && <RatingWord rating={rating} />}</div>
      <div class="vital-value">{p75 === undefined ? "no data" : vitalText(vital, p75)} <span class="quiet">p75</span></div>
      {measured && <Shares measured={measured} />}
      <div class="quiet vital-limits">good up to {vitalText(vital, v.good)}, poor above {vitalText(vital, v.poor)}{measured && `, ${short(measured.count)} measured`}</div>
    </section>
  );
}

function Shares({ measured }: { measured: Measured }) {
  const says = (Object.keys(words) as Rating[]).map((r) => `${words[r]} ${percent(measured.shares[r])}`).join(", ");
  return (
    <div class="vital-bar" role="img" aria-label={says} title={says}>
      {(Object.keys(words) as Rating[]).map((r) => measured.shares[r] > 0 && <span key={r} data-rating={r} style={{ flexGrow: measured.shares[r] }}>{measured.shares[r] >= 0.12 && percent(Math.round(measured.shares[r] * 100) / 100)}</span>)}
    </div>
  );
}

/** A percentile in a table's cell, with its rating as a word. */
export function VitalCell({ vital, measured }: { vital: Vital; measured: Measured | undefined }) {
  if (measured?.p75 === undefined) return <span class="quiet">-</span>;
  const rating = rate(vital, measured.p75);
  return <span class="vital-cell" data-rating={rating}>{vitalText(vital, measured.p75)}{rating !== "good" && <small> {words[rating]}</small>}</span>;
}
