import type { ComponentChildren } from "preact";
import "./State.css";

export type Level = "bad" | "warn" | "ok" | "idle";

const shapes: Record<Level, string> = { bad: "M6 1 11 10H1z", warn: "M6 1 11 6 6 11 1 6z", ok: "M1.5 6.5 4.5 9.5 10.5 2.5", idle: "M2 6h8" };

/** A state: always a shape and a word beside its colour. */
export function State({ level, children }: { level: Level; children: ComponentChildren }) {
  return (
    <span class="state" data-level={level}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
        <path d={shapes[level]} fill={level === "bad" || level === "warn" ? "currentColor" : "none"} stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" />
      </svg>
      {children}
    </span>
  );
}
