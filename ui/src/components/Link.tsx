import type { ComponentChildren, JSX } from "preact";
import { follow } from "../lib/url";

/** A link inside the UI: no page load, but a real address, so that it opens in a new tab and can be copied. */
export function Link({ to, children, onClick, ...rest }: { to: string; children: ComponentChildren } & Omit<JSX.AnchorHTMLAttributes, "href">) {
  return (
    <a
      {...rest}
      href={to}
      onClick={(e) => {
        if (typeof onClick === "function") (onClick as (e: MouseEvent) => void)(e);
        if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.shiftKey || e.button !== 0) return;
        e.preventDefault();
        follow(to);
      }}
    >
      {children}
    </a>
  );
}
