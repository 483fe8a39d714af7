import { useEffect, useRef, useState } from "preact/hooks";
import { absoluteLink, livePeriod, now, range, refresh, setRange, shift, zone, zoomOut } from "../lib/range";
import { dateTime, rangeLabel, resolve } from "../lib/time";
import { setQuery } from "../lib/url";
import { Copy } from "./Copy";
import { Icon } from "./Icon";
import "./TimeRange.css";

const quick = ["5m", "15m", "30m", "1h", "3h", "6h", "12h", "24h", "2d", "7d", "30d"];
const periods = ["5s", "10s", "30s", "1m", "5m"];

function Picker({ close }: { close: () => void }) {
  const [from, setFrom] = useState(range.value.from);
  const [to, setTo] = useState(range.value.to);
  const got = resolve(from, to, Date.now() / 1000);
  const apply = (e: Event) => {
    e.preventDefault();
    if (!got) return;
    setRange(from.trim(), to.trim());
    close();
  };
  return (
    <div class="time-picker">
      <ul class="time-quick" aria-label="Quick ranges">
        {quick.map((q) => (
          <li key={q}>
            <button type="button" class="plain" aria-pressed={range.value.from === `now-${q}` && range.value.to === "now"} onClick={() => { setRange(`now-${q}`, "now"); close(); }}>
              {rangeLabel(`now-${q}`, "now", zone.value, 0)}
            </button>
          </li>
        ))}
      </ul>
      <form class="stack" onSubmit={apply}>
        <label>From<input value={from} onInput={(e) => setFrom(e.currentTarget.value)} spellcheck={false} aria-describedby="time-says" /></label>
        <label>To<input value={to} onInput={(e) => setTo(e.currentTarget.value)} spellcheck={false} aria-describedby="time-says" /></label>
        <p id="time-says" class={got ? "quiet" : "bad"} aria-live="polite">
          {got
            ? `${dateTime(got.start, zone.value)} to ${dateTime(got.end, zone.value)}`
            : "Write now-2h, 2026-11-22 14:00, or unix seconds or milliseconds, the earlier first."}
        </p>
        <div class="row">
          <button type="submit" class="primary" disabled={!got}>Apply</button>
          <label class="row"><input type="checkbox" checked={zone.value === "utc"} onChange={(e) => setQuery({ tz: e.currentTarget.checked ? "utc" : undefined })} /> UTC</label>
        </div>
        <Copy label="Copy link to this moment" text={absoluteLink} />
      </form>
    </div>
  );
}

/** The time range of every page: quick, relative or absolute; shift, zoom, refresh and live. */
export function TimeRange() {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const away = (e: Event) => {
      if (e instanceof KeyboardEvent ? e.key === "Escape" : !box.current?.contains(e.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    document.addEventListener("keydown", away);
    return () => { document.removeEventListener("pointerdown", away); document.removeEventListener("keydown", away); };
  }, [open]);
  const { from, to } = range.value;
  const zoneName = zone.value === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
  return (
    <div class="time-range" ref={box}>
      <button type="button" class="plain" aria-label="Earlier" title="Earlier (t ←)" onClick={() => shift(-1)}><Icon name="left" /></button>
      <button type="button" aria-expanded={open} aria-haspopup="true" onClick={() => setOpen(!open)} title={zoneName}>
        {rangeLabel(from, to, zone.value, now.value)} <Icon name="down" size={12} />
      </button>
      <button type="button" class="plain" aria-label="Later" title="Later (t →)" onClick={() => shift(1)}><Icon name="right" /></button>
      <button type="button" class="plain" aria-label="Zoom out" title="Zoom out (t z)" onClick={zoomOut}><Icon name="zoomOut" /></button>
      <button type="button" class="plain" aria-label="Refresh" title="Refresh" onClick={refresh}><Icon name="refresh" /></button>
      <select aria-label="Refresh by itself" value={livePeriod.value ? String(livePeriod.value) : ""} onChange={(e) => setQuery({ refresh: e.currentTarget.value ? `${e.currentTarget.value}s` : undefined })}>
        <option value="">not live</option>
        {periods.map((p) => <option key={p} value={String(p.endsWith("m") ? parseInt(p) * 60 : parseInt(p))}>live {p}</option>)}
      </select>
      {open && <Picker close={() => setOpen(false)} />}
    </div>
  );
}
