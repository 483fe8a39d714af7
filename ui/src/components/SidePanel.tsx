import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef } from "preact/hooks";
import { useShortcut } from "../lib/keys";
import { Icon } from "./Icon";
import { Tabs } from "./Tabs";
import "./SidePanel.css";

export type PanelTab = "details" | "related" | "raw";

/**
 * The panel of what was clicked, beside the list that it was clicked in. The same three tabs everywhere; Escape closes it
 * and gives the focus back to what had it.
 */
export function SidePanel(p: {
  title: ComponentChildren;
  label: string;
  tab: PanelTab;
  onTab: (tab: PanelTab) => void;
  onClose: () => void;
  details: ComponentChildren;
  related: ComponentChildren;
  raw: ComponentChildren;
}) {
  const box = useRef<HTMLElement>(null);
  const before = useRef<Element | null>(null);
  useEffect(() => {
    before.current = document.activeElement;
    box.current?.focus({ preventScroll: true });
    return () => (before.current as HTMLElement | null)?.focus?.({ preventScroll: true });
  }, []);
  const close = useCallback(() => p.onClose(), [p.onClose]);
  useShortcut("Escape", "Close the side panel", "Everywhere", close);
  return (
    <aside class="side-panel" aria-label={p.label} tabIndex={-1} ref={box}>
      <header class="side-panel-head">
        <div class="grow side-panel-title">{p.title}</div>
        <button type="button" class="plain" onClick={close} aria-label="Close the panel"><Icon name="close" /></button>
      </header>
      <Tabs
        label={p.label} value={p.tab} onChange={p.onTab}
        tabs={[{ id: "details", label: "Details" }, { id: "related", label: "Related" }, { id: "raw", label: "Raw" }]}
      />
      <div class="side-panel-body" tabIndex={0} role="tabpanel" aria-label={p.tab}>
        {p.tab === "details" ? p.details : p.tab === "related" ? p.related : p.raw}
      </div>
    </aside>
  );
}
