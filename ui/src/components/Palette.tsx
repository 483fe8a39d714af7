import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { services } from "../lib/api/native";
import { logQuoted } from "../lib/filters";
import { toHome, toLogs, toMetrics, toRum, toService, toServices, toTrace, toTraces } from "../lib/links";
import { interval } from "../lib/range";
import { follow } from "../lib/url";
import { Dialog } from "./Dialog";
import "./Palette.css";

const open = signal(false);
export const openPalette = () => (open.value = true);

interface Choice {
  label: string;
  kind: string;
  to: string;
}

function pages(): Choice[] {
  const kind = "Page";
  return [
    { label: "Home", kind, to: toHome() },
    { label: "Metrics", kind, to: toMetrics() },
    { label: "Logs", kind, to: toLogs() },
    { label: "Traces", kind, to: toTraces() },
    { label: "Services", kind, to: toServices() },
    { label: "Real users", kind, to: toRum() },
  ];
}

/** What a typed text may mean: a page, a service, a trace id, or words to look for in the logs. */
export function choices(text: string, names: string[]): Choice[] {
  const t = text.trim().toLowerCase();
  const out: Choice[] = [];
  if (/^[0-9a-f]{16,32}$/.test(t)) out.push({ label: t, kind: "Trace", to: toTrace(t) });
  const all = [...pages(), ...names.map((n) => ({ label: n, kind: "Service", to: toService(n) }))];
  out.push(...all.filter((c) => c.label.toLowerCase().includes(t)));
  if (t) out.push({ label: `"${text.trim()}" in the logs`, kind: "Search", to: toLogs(`body.message:${logQuoted(text.trim())}`) });
  return out.slice(0, 12);
}

/** Ctrl+K: go to a page, a service, a trace, or search the logs, by typing. */
export function Palette() {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [names, setNames] = useState<string[]>([]);
  useEffect(() => {
    if (!open.value) return;
    setText("");
    setAt(0);
    services(interval.peek(), 1).then((s) => setNames(s.services.map((x) => x.name)), () => setNames([]));
  }, [open.value]);
  const list = open.value ? choices(text, names) : [];
  const pick = (c: Choice | undefined) => {
    open.value = false;
    if (c) follow(c.to);
  };
  const keys = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown") setAt(Math.min(at + 1, list.length - 1));
    else if (e.key === "ArrowUp") setAt(Math.max(at - 1, 0));
    else if (e.key === "Enter") pick(list[at]);
    else return;
    e.preventDefault();
  };
  return (
    <Dialog open={open.value} onClose={() => (open.value = false)} label="Go anywhere">
      <input
        class="palette-input" placeholder="A page, a service, a trace id, words of a log line" autoFocus value={text} role="combobox"
        aria-label="Go anywhere" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={list[at] ? `palette-${at}` : undefined}
        onInput={(e) => { setText(e.currentTarget.value); setAt(0); }} onKeyDown={keys}
      />
      <ul class="palette-list" id="palette-list" role="listbox" aria-label="Choices">
        {list.map((c, i) => (
          <li key={c.to} id={`palette-${i}`} role="option" aria-selected={i === at} onMouseEnter={() => setAt(i)} onClick={() => pick(c)}>
            <span class="grow cut">{c.label}</span>
            <span class="quiet">{c.kind}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
