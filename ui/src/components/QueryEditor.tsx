import { useEffect, useRef, useState } from "preact/hooks";
import "./QueryEditor.css";

export type Language = "promql" | "traceql" | "logs";

export interface QueryError {
  message: string;
  /** offset into the query, when the API told one */
  position?: number;
}

/** A query, edited as text; Shift+Enter or Ctrl+Enter runs it. An error is marked at its position. */
export function QueryEditor(p: {
  language: Language;
  value: string;
  onRun: (value: string) => void;
  error?: QueryError;
  label: string;
  placeholder?: string;
}) {
  const [text, setText] = useState(p.value);
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => setText(p.value), [p.value]);
  const run = (e: KeyboardEvent) => {
    if (e.key !== "Enter" || !(e.shiftKey || e.ctrlKey || e.metaKey)) return;
    e.preventDefault();
    p.onRun(text);
  };
  return (
    <div class="query-editor" data-language={p.language}>
      <textarea
        ref={box} class="mono" rows={Math.min(8, text.split("\n").length)} spellcheck={false} aria-label={p.label} aria-invalid={p.error ? true : undefined}
        placeholder={p.placeholder} value={text} onInput={(e) => setText(e.currentTarget.value)} onKeyDown={run} onBlur={() => text !== p.value && p.onRun(text)}
      />
      {p.error && <div class="query-error" role="alert">{p.error.message}</div>}
    </div>
  );
}
