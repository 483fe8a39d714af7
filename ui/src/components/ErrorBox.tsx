import type { ComponentChildren } from "preact";
import type { ApiError } from "../lib/api/http";
import "./ErrorBox.css";

/** Says what happened, why, and what to do next. For a failed load pass `error`; for anything else `title` and `text`. */
export function ErrorBox(p: { error?: ApiError; title?: string; text?: string; children?: ComponentChildren }) {
  const title = p.title ?? (p.error ? headline(p.error) : "Something went wrong");
  return (
    <div class="error-box" role="alert">
      <strong>{title}</strong>
      <div class="error-box-text">{p.text ?? p.error?.message}</div>
      {p.children}
    </div>
  );
}

function headline(e: ApiError): string {
  if (e.status === 0) return "No answer from the node";
  if (e.status === 400 || e.status === 422) return "The query cannot be answered as it stands";
  if (e.status === 404) return "Not found";
  if (e.status === 429 || e.status === 503) return "The node is busy; try again in a moment";
  return `The node answered ${e.status}`;
}
