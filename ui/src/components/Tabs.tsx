import "./Tabs.css";

export interface Tab<T extends string> {
  id: T;
  label: string;
  count?: number | string;
}

/** A row of tabs; arrow keys move between them. */
export function Tabs<T extends string>(p: { tabs: Tab<T>[]; value: T; onChange: (id: T) => void; label: string }) {
  const move = (e: KeyboardEvent) => {
    const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const at = p.tabs.findIndex((t) => t.id === p.value);
    const next = p.tabs[(at + step + p.tabs.length) % p.tabs.length]!;
    p.onChange(next.id);
    (e.currentTarget as HTMLElement).querySelector<HTMLElement>(`[data-tab="${next.id}"]`)?.focus();
    e.preventDefault();
  };
  return (
    <div class="tabs" role="tablist" aria-label={p.label} onKeyDown={move}>
      {p.tabs.map((t) => (
        <button
          key={t.id} type="button" role="tab" data-tab={t.id} class="tab"
          aria-selected={t.id === p.value} tabIndex={t.id === p.value ? 0 : -1} onClick={() => p.onChange(t.id)}
        >
          {t.label}
          {t.count !== undefined && <span class="tab-count">{t.count}</span>}
        </button>
      ))}
    </div>
  );
}
