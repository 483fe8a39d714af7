import { useCallback, useRef } from "preact/hooks";
import { Icon } from "../../components/Icon";
import { useShortcut } from "../../lib/keys";

/** Text to find among the spans, how many have it, and the way from one to the next. */
export function FindBox(p: { text: string; onText: (text: string) => void; found: number; at: number; onStep: (step: 1 | -1) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const focus = useCallback(() => { input.current?.focus(); input.current?.select(); }, []);
  useShortcut("ctrl+b", "Find in the trace", "Trace", focus);
  const key = (e: KeyboardEvent) => {
    if (e.key === "Enter") { p.onStep(e.shiftKey ? -1 : 1); e.preventDefault(); }
    if (e.key === "Escape") { input.current?.blur(); e.stopPropagation(); }
  };
  return (
    <div class="find-box" role="search" aria-label="Find in the trace">
      <Icon name="search" size={14} />
      <input ref={input} value={p.text} onInput={(e) => p.onText(e.currentTarget.value)} onKeyDown={key} placeholder="Find: name, attribute (Ctrl+B)" aria-label="Find spans by name or attribute" spellcheck={false} />
      <span class="quiet find-count" aria-live="polite">{p.text.trim() ? (p.found ? `${p.at >= 0 ? `${p.at + 1} of ` : ""}${p.found.toLocaleString("en")}` : "none") : ""}</span>
      <button type="button" class="plain" disabled={!p.found} onClick={() => p.onStep(-1)} aria-label="Previous match" title="Previous match (N or b)"><Icon name="left" size={14} /></button>
      <button type="button" class="plain" disabled={!p.found} onClick={() => p.onStep(1)} aria-label="Next match" title="Next match (n or f)"><Icon name="right" size={14} /></button>
    </div>
  );
}
