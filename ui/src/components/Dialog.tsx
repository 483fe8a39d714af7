import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import "./Dialog.css";

/** A modal dialog: the browser's own, so that focus, Escape and the rest of the page behave. */
export function Dialog(p: { open: boolean; onClose: () => void; label: string; children: ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = box.current!;
    if (p.open && !d.open) d.showModal();
    if (!p.open && d.open) d.close();
  }, [p.open]);
  return (
    <dialog
      ref={box} class="dialog" aria-label={p.label} onClose={p.onClose}
      onClick={(e) => { if (e.target === box.current) p.onClose(); }}
    >
      {p.open && <div class="dialog-body">{p.children}</div>}
    </dialog>
  );
}
