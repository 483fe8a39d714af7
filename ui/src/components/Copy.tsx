import { useState } from "preact/hooks";
import { Icon } from "./Icon";

/** Copies a text (made when clicked) and says so for a moment. */
export function Copy({ text, label = "Copy", what }: { text: string | (() => string); label?: string; what?: string }) {
  const [done, setDone] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      setDone("Copied");
    } catch {
      setDone("Not allowed by the browser");
    }
    window.setTimeout(() => setDone(""), 1500);
  };
  return (
    <button type="button" class="plain" onClick={copy} title={what ? `Copy ${what}` : undefined} aria-label={what ? `Copy ${what}` : undefined}>
      <Icon name="copy" />
      <span aria-live="polite">{done || label}</span>
    </button>
  );
}
