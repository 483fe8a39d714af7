import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { tags, tagValues } from "../lib/api/tempo";
import { addFilter, clearFilters, filters, isResourceKey, parseTerm, removeFilter, termText, traceqlName } from "../lib/filters";
import { useShortcut } from "../lib/keys";
import { interval } from "../lib/range";
import { Icon } from "./Icon";
import "./FilterBar.css";

const suggestions = 40;

/** What may follow the typed text: attribute names before the operator, values after it. */
async function suggest(text: string, signal: AbortSignal): Promise<string[]> {
  const m = /^\s*([^=!\s]+)\s*(!=|=)\s*(.*)$/s.exec(text);
  const over = interval.peek();
  if (!m) {
    const scopes = await tags(over, signal);
    const names = scopes.filter((s) => s.name === "resource" || s.name === "span").flatMap((s) => s.tags);
    const t = text.trim().toLowerCase();
    return [...new Set(names)].filter((n) => n.toLowerCase().includes(t)).slice(0, suggestions).map((n) => `${n}=`);
  }
  const key = parseTerm(`${m[1]}=x`)?.key ?? m[1]!;
  const values = await tagValues(traceqlName(key), over, undefined, signal);
  const t = m[3]!.toLowerCase();
  return values.filter((v) => v.toLowerCase().includes(t)).slice(0, suggestions).map((v) => `${key}${m[2]}${v}`);
}

/** The terms that narrow every page, and a field to add one: "service=checkout", "http.route!=/health". */
export function FilterBar() {
  const [text, setText] = useState("");
  const [options, setOptions] = useState<string[]>([]);
  const [wrong, setWrong] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const focus = useCallback(() => input.current?.focus(), []);
  useShortcut("/", "Add a filter", "Everywhere", focus);
  useEffect(() => {
    if (document.activeElement !== input.current) return;
    const abort = new AbortController();
    const timer = window.setTimeout(() => suggest(text, abort.signal).then(setOptions, () => setOptions([])), 150);
    return () => { window.clearTimeout(timer); abort.abort(); };
  }, [text]);
  const submit = (e: Event) => {
    e.preventDefault();
    const term = parseTerm(text);
    setWrong(!term && text.trim() !== "");
    if (!term) return;
    addFilter(term);
    setText("");
  };
  return (
    <form class="filter-bar" onSubmit={submit} role="search" aria-label="Filters of every page">
      {filters.value.map((t) => (
        <span key={termText(t)} class="filter-term" title={isResourceKey(t.key) ? "an attribute of the resource" : "an attribute of the record"}>
          <span class="quiet">{t.key}</span> {t.op} <strong class="cut">{t.value}</strong>
          <button type="button" class="plain" aria-label={`Remove ${termText(t)}`} onClick={() => removeFilter(t)}><Icon name="close" size={12} /></button>
        </span>
      ))}
      <input
        ref={input} class="filter-input grow" list="filter-options" placeholder="Filter: service=checkout" aria-label="Add a filter"
        aria-invalid={wrong} title={wrong ? "A filter is name=value or name!=value" : undefined} spellcheck={false} autoComplete="off"
        value={text} onInput={(e) => { setText(e.currentTarget.value); setWrong(false); }}
        onKeyDown={(e) => { if (e.key === "Escape") e.currentTarget.blur(); if (e.key === "Backspace" && !text && filters.value.length) removeFilter(filters.value.at(-1)!); }}
      />
      <datalist id="filter-options">{options.map((o) => <option key={o} value={o} />)}</datalist>
      {filters.value.length > 1 && <button type="button" class="plain" onClick={clearFilters}>Clear</button>}
    </form>
  );
}
