import { addFilter } from "../lib/filters";
import { Copy } from "./Copy";
import { Icon } from "./Icon";
import "./Fields.css";

/** A value as text: structures as JSON. */
export function valueText(v: unknown): string {
  return typeof v === "string" ? v : v === undefined ? "" : JSON.stringify(v);
}

/** Names and values of a record, each with + and - for the filter bar and copy. `prefix` goes before the filter's key. */
export function Fields(p: { fields: Record<string, unknown>; prefix?: string; filterable?: boolean }) {
  const names = Object.keys(p.fields).sort();
  if (!names.length) return <p class="quiet">None.</p>;
  const filterable = p.filterable ?? true;
  return (
    <dl class="fields">
      {names.map((name) => {
        const value = valueText(p.fields[name]);
        const key = (p.prefix ?? "") + name;
        return (
          <div class="field" key={name}>
            <dt title={name}>{name}</dt>
            <dd>
              <span class="field-value">{value}</span>
              <span class="field-actions">
                {filterable && (
                  <>
                    <button type="button" class="plain" title="Only these" aria-label={`Only ${name} = ${value}`} onClick={() => addFilter({ key, op: "=", value })}><Icon name="plus" size={12} /></button>
                    <button type="button" class="plain" title="Without these" aria-label={`Without ${name} = ${value}`} onClick={() => addFilter({ key, op: "!=", value })}><Icon name="minus" size={12} /></button>
                  </>
                )}
                <Copy text={value} label="" what={name} />
              </span>
            </dd>
          </div>
        );
      })}
    </dl>
  );
}
