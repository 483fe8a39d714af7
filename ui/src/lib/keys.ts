// Keyboard shortcuts: one table for the handler and for the help dialog. A shortcut is one key ("?", "/", "Escape",
// "ctrl+k") or two in a row ("g h", within a second). Nothing fires while a text field has the focus, except Escape
// and those with ctrl.
import { useEffect } from "preact/hooks";

export interface Shortcut {
  keys: string;
  label: string;
  group: string;
  run: () => void;
}

const active = new Map<string, Shortcut[]>();

/** What is bound now, for the help dialog. */
export function shortcuts(): Shortcut[] {
  return [...active.values()].map((s) => s[s.length - 1]!).filter((s) => s.label !== "");
}

/** Binds a shortcut; the newest binding of the same keys wins. Answers the function that takes it back. */
export function bind(s: Shortcut): () => void {
  const stack = active.get(s.keys) ?? [];
  stack.push(s);
  active.set(s.keys, stack);
  return () => {
    const at = stack.indexOf(s);
    if (at >= 0) stack.splice(at, 1);
    if (!stack.length) active.delete(s.keys);
  };
}

/** Binds while the component is shown. */
export function useShortcut(keys: string, label: string, group: string, run: () => void): void {
  useEffect(() => bind({ keys, label, group, run }), [keys, label, group, run]);
}

let first = "";
let firstAt = 0;

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

export function onKey(e: KeyboardEvent): void {
  if (e.altKey || e.defaultPrevented) return;
  const ctrl = e.ctrlKey || e.metaKey;
  if (typing(e.target) && !ctrl && e.key !== "Escape") return;
  const key = (ctrl ? "ctrl+" : "") + (e.key.length === 1 ? (ctrl ? e.key.toLowerCase() : e.key) : e.key);
  const pair = e.timeStamp - firstAt < 1000 && first ? `${first} ${key}` : "";
  const hit = (pair && active.get(pair)?.at(-1)) || active.get(key)?.at(-1);
  first = hit ? "" : key;
  firstAt = e.timeStamp;
  if (!hit) return;
  e.preventDefault();
  hit.run();
}

window.addEventListener("keydown", onKey);
