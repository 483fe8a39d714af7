// One row of the waterfall: the span's place in the tree, and its bar.
import { Icon } from "../../components/Icon";
import { serviceColour } from "../../lib/colour";
import type { Span } from "../../lib/trace";
import type { Stretch } from "../../lib/tracePath";
import { duration } from "../../lib/units";
import type { TraceLog } from "./logs";
import type { View } from "./state";

export interface RowProps {
  span: Span;
  view: View;
  collapsed: boolean;
  current: boolean;
  open: boolean;
  match: boolean;
  path: Stretch[] | undefined;
  logs: TraceLog[] | undefined;
  onOpen: (s: Span) => void;
  onToggle: (s: Span) => void;
}

const indent = 12, deepest = 16;
const dots = 24;

const share = (t: number, v: View) => ((t - v.from) / (v.to - v.from)) * 100;
const percent = (n: number) => `${n.toFixed(3)}%`;

function Dot({ log, view }: { log: TraceLog; view: View }) {
  const at = share(log.at, view);
  if (at < 0 || at > 100) return null;
  return <i class="log-dot" data-severity={log.severity} style={{ left: percent(at) }} title={`${log.row.severity_text ?? ""} ${log.text.slice(0, 200)}`} />;
}

function Bar({ span: s, view, path, logs }: RowProps) {
  const from = share(s.start, view), to = share(s.start + s.duration, view);
  const left = Math.max(0, Math.min(100, from)), right = Math.max(0, Math.min(100, to));
  const shown = to >= 0 && from <= 100;
  const label = duration(s.duration / 1e6);
  const side = 100 - right >= 14 ? "after" : left >= 14 ? "before" : "inside";
  const place = side === "after" ? { left: percent(right) } : side === "before" ? { right: percent(100 - left) } : { left: percent(left) };
  return (
    <div class="wf-bars">
      {shown && (
        <>
          <div class="wf-bar" data-group={s.group ? "" : undefined} data-kind={s.kind} style={{ left: percent(left), width: percent(right - left), background: s.group ? undefined : serviceColour(s.resource.service) }} />
          {path?.map((p) => {
            const a = Math.max(0, share(p.from, view)), b = Math.min(100, share(p.to, view));
            return b > a ? <div key={p.from} class="wf-path" style={{ left: percent(a), width: percent(b - a) }} /> : null;
          })}
          <span class="wf-time" data-side={side} style={place}>
            {s.status === "error" && <span class="bad"><Icon name="warning" size={12} /></span>}
            {label}
          </span>
        </>
      )}
      {!shown && <span class="wf-away quiet" style={from > 100 ? { right: 0 } : { left: 0 }}>{from > 100 ? "→" : "←"}</span>}
      {logs?.slice(0, dots).map((l, i) => <Dot key={i} log={l} view={view} />)}
    </div>
  );
}

export function WaterfallRow(p: RowProps) {
  const s = p.span;
  const other = !s.group && s.parent?.resource.service !== s.resource.service;
  return (
    <div
      class="wf-row" role="treeitem" id={`span-${s.index}`} aria-level={s.depth + 1} aria-selected={p.open}
      aria-expanded={s.size > 1 ? !p.collapsed : undefined} data-current={p.current ? "" : undefined} data-open={p.open ? "" : undefined} data-match={p.match ? "" : undefined}
      onClick={() => (s.group ? p.onToggle(s) : p.onOpen(s))}
    >
      <div class="wf-name" style={{ paddingLeft: `${Math.min(s.depth, deepest) * indent + 4}px` }}>
        {s.depth > deepest && <span class="wf-deep" title="depth">{s.depth}</span>}
        {s.size > 1
          ? <span class="wf-toggle" data-collapsed={p.collapsed ? "" : undefined} title={p.collapsed ? `Show ${s.size - 1} below` : "Hide what is below"} onClick={(e) => { e.stopPropagation(); p.onToggle(s); }}><Icon name={p.collapsed ? "right" : "down"} size={10} /></span>
          : <span class="wf-toggle" />}
        {!s.group && <i class="wf-service" style={{ background: serviceColour(s.resource.service) }} />}
        {other && <b class="wf-service-name">{s.resource.service || "(no service)"}</b>}
        <span class={s.status === "error" ? "cut bad" : s.group ? "cut quiet" : "cut"}>{s.name || "(no name)"}</span>
        {s.status === "error" && <span class="bad wf-mark"><Icon name="warning" size={12} /><span class="hidden-visually">error</span></span>}
        {p.collapsed && <span class="wf-count">{s.size - 1}</span>}
      </div>
      <Bar {...p} />
    </div>
  );
}
