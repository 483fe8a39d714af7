import { useEffect, useRef, useState } from "preact/hooks";
import type { Complete } from "../lib/complete";
import type { Editor, EditorOptions } from "./editor/codemirror";
import "./QueryEditor.css";

export type Language = "promql" | "traceql" | "logs";

export interface QueryError {
  message: string;
  /** offset into the query, when the API told one */
  position?: number;
}

export interface QueryEditorProps {
  language: Language;
  value: string;
  /** Shift+Enter, Ctrl+Enter, or leaving the field after a change */
  onRun: (value: string) => void;
  /** each change, before it is run */
  onChange?: (value: string) => void;
  error?: QueryError;
  label: string;
  placeholder?: string;
  /** completion of TraceQL and log queries */
  complete?: Complete;
  /** where PromQL's completion asks */
  prometheus?: EditorOptions["prometheus"];
}

/** A query, edited with completion and colours; an error is marked at its position. A plain field until the editor is loaded. */
export function QueryEditor(p: QueryEditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  const text = useRef(p.value);
  const latest = useRef(p);
  latest.current = p;
  const [rich, setRich] = useState(false);

  useEffect(() => {
    let gone = false;
    void import("./editor/codemirror").then(({ mount }) => {
      if (gone || !host.current) return;
      editor.current = mount(host.current, {
        language: p.language, value: text.current, label: p.label, placeholder: p.placeholder, prometheus: p.prometheus,
        complete: (t, at, signal) => latest.current.complete?.(t, at, signal) ?? Promise.resolve(undefined),
        onChange: (v) => { text.current = v; latest.current.onChange?.(v); },
        onRun: (v) => latest.current.onRun(v),
      });
      setRich(true);
    });
    return () => { gone = true; editor.current?.destroy(); editor.current = null; setRich(false); };
  }, [p.language, p.label, p.placeholder]);

  useEffect(() => {
    text.current = p.value;
    editor.current?.setValue(p.value);
  }, [p.value]);
  useEffect(() => editor.current?.setError(p.error?.position), [p.error?.position, p.error?.message, rich]);

  const leave = () => { if (text.current !== latest.current.value) latest.current.onRun(text.current); };
  return (
    <div class="query-editor" data-language={p.language} data-rich={rich ? "" : undefined} data-wrong={p.error ? "" : undefined} onFocusOut={(e) => { if (!(e.currentTarget as HTMLElement).contains(e.relatedTarget as Node | null)) leave(); }}>
      <div ref={host} class="query-editor-host" />
      {!rich && (
        <textarea
          class="mono" rows={1} spellcheck={false} aria-label={p.label} placeholder={p.placeholder} value={p.value}
          onInput={(e) => { text.current = e.currentTarget.value; latest.current.onChange?.(text.current); }}
          onKeyDown={(e) => { if (e.key === "Enter" && (e.shiftKey || e.ctrlKey || e.metaKey)) { e.preventDefault(); p.onRun(text.current); } }}
        />
      )}
      {p.error && <div class="query-error" role="alert">{p.error.message}</div>}
    </div>
  );
}
