// Dark, light, or as the system has it. The choice is the browser's, not the URL's: a link shows in the reader's theme.
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "dark" | "light";
const key = "tercet.theme";

function stored(): Theme {
  const t = localStorage.getItem(key);
  return t === "dark" || t === "light" ? t : "system";
}

export const theme = signal<Theme>(stored());

const systemDark = window.matchMedia?.("(prefers-color-scheme: dark)");
const system = signal(systemDark?.matches ?? true);
systemDark?.addEventListener("change", (e) => (system.value = e.matches));

/** What is shown now; canvases read it so that they are drawn again when it changes. */
export const shown = signal<"dark" | "light">("dark");

effect(() => {
  shown.value = theme.value === "system" ? (system.value ? "dark" : "light") : theme.value;
  document.documentElement.dataset.theme = shown.value;
});

export function nextTheme(): void {
  theme.value = theme.value === "system" ? "dark" : theme.value === "dark" ? "light" : "system";
  localStorage.setItem(key, theme.value);
}
