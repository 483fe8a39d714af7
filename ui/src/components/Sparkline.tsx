/** A line without axes, for a table's cell. Gaps where a value is null. `label` says in words what it shows. */
export function Sparkline(p: { values: (number | null)[]; width?: number; height?: number; colour?: string; label: string; max?: number }) {
  const w = p.width ?? 96;
  const h = p.height ?? 20;
  const top = Math.max(p.max ?? 0, ...p.values.map((v) => v ?? 0)) || 1;
  const x = (i: number) => (p.values.length > 1 ? (i / (p.values.length - 1)) * (w - 2) + 1 : w / 2);
  let d = "";
  let pen = false;
  p.values.forEach((v, i) => {
    if (v === null || !Number.isFinite(v)) { pen = false; return; }
    d += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${(h - 1 - (v / top) * (h - 3)).toFixed(1)}`;
    pen = true;
  });
  return (
    <svg width={w} height={h} viewBox={`0 0 ${w} ${h}`} role="img" aria-label={p.label} style={{ display: "block" }}>
      <path d={d} fill="none" stroke={p.colour ?? "var(--accent)"} stroke-width="1.5" stroke-linejoin="round" />
    </svg>
  );
}
