import "./Progress.css";

/** A thin line at the top of what is loading. Keeps its height, so that nothing jumps. */
export function Progress({ on }: { on: boolean }) {
  return <div class="progress" data-on={on ? "" : undefined} role={on ? "status" : undefined} aria-label={on ? "Loading" : undefined} />;
}
