// Fields of the found rows with their most frequent values. A field asks for its values when it is opened.
import { useState } from "preact/hooks";
import { ErrorBox } from "../../components/ErrorBox";
import { Icon } from "../../components/Icon";
import { Progress } from "../../components/Progress";
import { topValues } from "../../lib/api/quickwit";
import { addFilter } from "../../lib/filters";
import { useLoad } from "../../lib/load";
import { interval, intervalKey } from "../../lib/range";
import { short } from "../../lib/units";
import "./Facets.css";

const size = 10;
const always = ["service_name", "severity_text", "event_name"];

/** The attribute that a field of the index holds, as a filter's key. */
export function keyOf(field: string): string {
  const known: Record<string, string> = { service_name: "service.name", severity_text: "severity" };
  return known[field] ?? field.replace(/^attributes\./, "log.").replace(/^resource_attributes\./, "resource.");
}

function Values({ field, query }: { field: string; query: string }) {
  const { data, error, loading } = useLoad(`${field}\n${query}\n${intervalKey.value}`, (signal) => topValues(field, query, interval.value, size, signal));
  const most = data?.buckets[0]?.doc_count ?? 1;
  return (
    <div class="facet-values">
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && !data.buckets.length && <p class="quiet">No value in these rows.</p>}
      {data?.buckets.map((b) => {
        const value = b.key_as_string ?? String(b.key);
        return (
          <div key={value} class="facet-value" title={`${value}: ${b.doc_count} rows`}>
            <span class="facet-bar" style={{ width: `${(100 * b.doc_count) / most}%` }} aria-hidden="true" />
            <button type="button" class="plain facet-pick cut" onClick={() => addFilter({ key: keyOf(field), op: "=", value })}>{value || "(empty)"}</button>
            <span class="quiet">{short(b.doc_count)}</span>
            <button type="button" class="plain facet-not" aria-label={`Without ${field} ${value}`} title="Without these" onClick={() => addFilter({ key: keyOf(field), op: "!=", value })}><Icon name="minus" size={12} /></button>
          </div>
        );
      })}
    </div>
  );
}

/** `fields`: names in the index. `query` undefined: it cannot be answered, so no values are asked for. */
export function Facets({ fields, query }: { fields: string[]; query: string | undefined }) {
  const [open, setOpen] = useState<string[]>(["service_name", "severity_text"]);
  const [text, setText] = useState("");
  const names = [...always, ...fields.filter((f) => !always.includes(f))].filter((f) => f.toLowerCase().includes(text.toLowerCase()));
  const toggle = (f: string) => setOpen(open.includes(f) ? open.filter((o) => o !== f) : [...open, f]);
  return (
    <section class="facets card" aria-label="Fields">
      <input placeholder="Fields" aria-label="Find a field" value={text} onInput={(e) => setText(e.currentTarget.value)} />
      <div class="facet-list" tabIndex={0} role="group" aria-label="Fields of these rows">
        {names.map((f) => (
          <div key={f}>
            <button type="button" class="plain facet-name" aria-expanded={open.includes(f)} onClick={() => toggle(f)} title={f}>
              <Icon name={open.includes(f) ? "down" : "right"} size={12} />
              <span class="cut">{f.replace(/^(resource_)?attributes\./, "")}</span>
              {f.startsWith("resource_") && <span class="quiet">resource</span>}
            </button>
            {open.includes(f) && query !== undefined && <Values field={f} query={query} />}
          </div>
        ))}
      </div>
    </section>
  );
}
