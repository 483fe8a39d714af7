import { useEffect, useState } from "preact/hooks";
import { Icon } from "../../components/Icon";
import type { Operator } from "../../lib/filters";
import { type Form, isDuration, operators, type Row } from "./form";
import "./TraceForm.css";

/** What may stand in a field: asked for when the field gets the focus. */
export interface Suggestions {
  names: (signal: AbortSignal) => Promise<string[]>;
  /** values of a name, narrowed by the service */
  values: (name: string, service: string, signal: AbortSignal) => Promise<string[]>;
}

const most = 200;

/** A field with suggestions; what was typed counts when it is left, on Enter, or when a suggestion is taken. */
function Field(p: { label: string; value: string; onValue: (v: string) => void; suggest?: (signal: AbortSignal) => Promise<string[]>; placeholder?: string; check?: (v: string) => boolean; width: number; hideLabel?: boolean }) {
  const [text, setText] = useState(p.value);
  const [options, setOptions] = useState<string[]>([]);
  const [asked, setAsked] = useState(false);
  useEffect(() => setText(p.value), [p.value]);
  useEffect(() => {
    if (!asked || !p.suggest) return;
    const abort = new AbortController();
    p.suggest(abort.signal).then((all) => setOptions(all.slice(0, most)), () => setOptions([]));
    return () => abort.abort();
  }, [asked]);
  const wrong = Boolean(text && p.check && !p.check(text));
  const done = (v: string) => { if (v !== p.value && !(v && p.check && !p.check(v))) p.onValue(v); };
  const id = `suggest-${p.label.replace(/\W+/g, "-")}`;
  return (
    <label class="trace-field" style={{ width: `${p.width}px` }}>
      <span class={p.hideLabel ? "hidden-visually" : "quiet"}>{p.label}</span>
      <input
        value={text} list={p.suggest ? id : undefined} placeholder={p.placeholder} spellcheck={false} autoComplete="off" aria-invalid={wrong} title={wrong ? "A number and ns, us, ms, s, m or h: 250ms" : text || undefined}
        onFocus={() => setAsked(true)} onBlur={() => { setAsked(false); done(text); }} onKeyDown={(e) => { if (e.key === "Enter") done(text); }}
        onInput={(e) => {
          const v = e.currentTarget.value;
          setText(v);
          if ((e as InputEvent).inputType === "insertReplacementText" || (!(e as InputEvent).inputType && options.includes(v))) done(v);
        }}
      />
      {p.suggest && <datalist id={id}>{options.map((o) => <option key={o} value={o} />)}</datalist>}
    </label>
  );
}

function Condition(p: { row: Row; index: number; service: string; suggest: Suggestions; onRow: (r: Row | undefined) => void }) {
  const { row, suggest } = p;
  const n = p.index + 1;
  return (
    <div class="trace-row" role="group" aria-label={`Attribute ${n}`}>
      <Field label={`Attribute ${n}`} hideLabel width={190} value={row.key} placeholder="http.route" suggest={suggest.names} onValue={(key) => p.onRow({ ...row, key, value: key === row.key ? row.value : "" })} />
      <select aria-label={`Operator of attribute ${n}`} value={row.op} onChange={(e) => p.onRow({ ...row, op: e.currentTarget.value as Operator })}>
        {operators.map((o) => <option key={o}>{o}</option>)}
      </select>
      <Field key={row.key} label={`Value of attribute ${n}`} hideLabel width={170} value={row.value} placeholder="value" suggest={row.key ? (signal) => suggest.values(row.key, p.service, signal) : undefined} onValue={(value) => p.onRow({ ...row, value })} />
      <button type="button" class="plain" aria-label={`Remove attribute ${n}`} onClick={() => p.onRow(undefined)}><Icon name="close" size={12} /></button>
    </div>
  );
}

/** The query as fields. `form` undefined: the query says more than fields can. */
export function TraceForm(p: { form: Form | undefined; onForm: (f: Form) => void; onClear: () => void; suggest: Suggestions }) {
  const { form: f, suggest } = p;
  const [unfinished, setUnfinished] = useState<Row[]>([]);
  useEffect(() => setUnfinished([]), [f === undefined]);
  if (!f)
    return (
      <p class="quiet trace-form">
        This query says more than the form can show. <button type="button" onClick={p.onClear}>Start over with the form</button>
      </p>
    );
  const rows = [...f.rows, ...unfinished];
  const finished = (r: Row) => r.key !== "" && r.value !== "";
  const put = (all: Row[]) => {
    const done = all.filter(finished);
    setUnfinished(all.filter((r) => !finished(r)));
    if (JSON.stringify(done) !== JSON.stringify(f.rows)) p.onForm({ ...f, rows: done });
  };
  return (
    <div class="trace-form" role="search" aria-label="Search for traces">
      <Field label="Service" width={150} value={f.service} placeholder="any" suggest={(s) => suggest.values("service.name", "", s)} onValue={(service) => p.onForm({ ...f, service })} />
      <Field label="Operation" width={210} value={f.name} placeholder="any" suggest={(s) => suggest.values("name", f.service, s)} onValue={(name) => p.onForm({ ...f, name })} />
      <label class="trace-field">
        <span class="quiet">Status</span>
        <select value={f.status} onChange={(e) => p.onForm({ ...f, status: e.currentTarget.value })}>
          <option value="">any</option>
          {["error", "ok", "unset", ...(f.status && !["error", "ok", "unset"].includes(f.status) ? [f.status] : [])].map((s) => <option key={s}>{s}</option>)}
        </select>
      </label>
      <Field label="At least" width={80} value={f.min} placeholder="100ms" check={isDuration} onValue={(min) => p.onForm({ ...f, min })} />
      <Field label="At most" width={80} value={f.max} placeholder="5s" check={isDuration} onValue={(max) => p.onForm({ ...f, max })} />
      {rows.map((r, i) => (
        <Condition key={i} row={r} index={i} service={f.service} suggest={suggest} onRow={(next) => put(next ? rows.map((o, j) => (j === i ? next : o)) : rows.filter((_, j) => j !== i))} />
      ))}
      <button type="button" onClick={() => setUnfinished([...unfinished, { key: "", op: "=", value: "" }])}><Icon name="plus" size={12} /> Attribute</button>
    </div>
  );
}
