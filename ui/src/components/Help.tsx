import { signal } from "@preact/signals";
import { shortcuts } from "../lib/keys";
import { Dialog } from "./Dialog";
import "./Help.css";

const open = signal(false);
export const openHelp = () => (open.value = true);

const named: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };

/** The keys that work on this page, from the table that makes them work. */
export function Help() {
  const list = open.value ? shortcuts() : [];
  const groups = [...new Set(list.map((s) => s.group))];
  return (
    <Dialog open={open.value} onClose={() => (open.value = false)} label="Keys">
      <h1>Keys</h1>
      {groups.map((g) => (
        <section key={g} class="help-group">
          <h3>{g}</h3>
          <dl>
            {list.filter((s) => s.group === g).map((s) => (
              <div key={s.keys}>
                <dt>{s.keys.split(/[ +]/).map((k) => <kbd key={k}>{named[k] ?? k}</kbd>)}</dt>
                <dd>{s.label}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </Dialog>
  );
}
