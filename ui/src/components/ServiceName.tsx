import { serviceColour } from "../lib/colour";
import "./ServiceName.css";

/** A service's name with its colour, the same on every page. */
export function ServiceName({ name }: { name: string }) {
  return (
    <span class="service-name" title={name}>
      <span class="service-dot" style={{ background: serviceColour(name) }} aria-hidden="true" />
      <span class="cut">{name || "(no service)"}</span>
    </span>
  );
}
