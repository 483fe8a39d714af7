import type { ComponentChildren } from "preact";
import "./Empty.css";

/** Nothing to show, why, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}
