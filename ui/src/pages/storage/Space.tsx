// One bar of what takes the space, and the same as a list.
import { bytes, percent } from "../../lib/units";
import type { Slice } from "./parts";
import "./Space.css";

export function Space({ slices, total }: { slices: Slice[]; total: number }) {
  const words = slices.map((s) => `${s.label} ${percent(s.bytes / total)}`).join(", ");
  return (
    <div class="stack">
      <div class="space-bar" role="img" aria-label={`What takes the space: ${words}`}>
        {slices.map((s) => <span key={s.id} style={{ flexGrow: s.bytes, background: s.colour }} title={`${s.label}: ${bytes(s.bytes)}, ${percent(s.bytes / total)}`} />)}
      </div>
      <ul class="space-list">
        {slices.map((s) => (
          <li key={s.id} title={`${s.title} (${s.bytes} bytes)`}>
            <i style={{ background: s.colour }} aria-hidden="true" />
            <span>{s.label}</span>
            <span class="number">{bytes(s.bytes)}</span>
            <span class="number quiet">{percent(s.bytes / total)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
