// One trace. The page fetches the trace and its log lines; what they mean is lib/trace's, how they look the parts'.
import { useEffect, useMemo, useState } from "preact/hooks";
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Progress } from "../../components/Progress";
import { Tabs } from "../../components/Tabs";
import { search } from "../../lib/api/quickwit";
import { type OtlpTrace, trace as fetchTrace } from "../../lib/api/tempo";
import { logValue } from "../../lib/filters";
import { useLoad } from "../../lib/load";
import { now, refresh } from "../../lib/range";
import { readTrace, type Span, type Trace, unixSeconds } from "../../lib/trace";
import { find, nextMatch } from "../../lib/traceFind";
import { criticalPath, pathBySpan } from "../../lib/tracePath";
import { flames, operations } from "../../lib/traceStats";
import { short } from "../../lib/units";
import { pageState } from "../../lib/url";
import type { PageProps } from "../../router";
import { FindBox } from "./FindBox";
import { FlameGraph } from "./FlameGraph";
import { logsBySpan, placeLogs } from "./logs";
import { Minimap } from "./Minimap";
import { Operations, sortOf, sortText } from "./Operations";
import { SpanPanel } from "./SpanPanel";
import { SpanRelated } from "./SpanRelated";
import { clip, schema } from "./state";
import { TraceHeader } from "./TraceHeader";
import { TraceLogs } from "./TraceLogs";
import { useViewKeys } from "./viewKeys";
import { Waterfall } from "./Waterfall";
import "./TracePage.css";

const logsMost = 1000;
const aroundSeconds = 3600;

/** Names of the spans in the URL: the id, "id~2" for the second span with that id. */
function spanKeys(spans: Span[]): { of: (s: Span) => string; index: (key: string) => number | undefined } {
  const byKey = new Map<string, number>();
  const names: string[] = [];
  for (const s of spans) {
    let name = s.id;
    for (let n = 2; byKey.has(name); n++) name = `${s.id}~${n}`;
    if (!s.group) byKey.set(name, s.index);
    names.push(name);
  }
  return { of: (s) => names[s.index]!, index: (key) => byKey.get(key) };
}

export default function TracePage({ path }: PageProps) {
  const id = path["id"]!.toLowerCase();
  const [state] = pageState(schema);
  const { data, error, loading } = useLoad(`${id} ${now.value}`, async (signal) => ({ id, ...(await fetchTrace(id, signal)) }));
  const got = data?.id === id ? data : undefined;
  const model = useMemo(() => got && readTrace(id, got.trace, !state.recorded), [got, state.recorded]);
  return (
    <>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {model && !model.count && (
        <Empty title="No span of this trace is stored">
          <p>Id <code>{id}</code>. Its spans may not have arrived yet, belong to another tenant, or be older than what is kept.</p>
          <button type="button" onClick={refresh}>Look again</button>
        </Empty>
      )}
      {model && model.count > 0 && <TraceView key={id} trace={model} json={got!.trace} partial={got!.partial} />}
    </>
  );
}

function TraceView({ trace, json, partial }: { trace: Trace; json: OtlpTrace; partial: boolean }) {
  const [state, set] = pageState(schema);
  const keys = useMemo(() => spanKeys(trace.spans), [trace]);
  const open = state.span ? keys.index(state.span) : undefined;
  const [cursor, setCursor] = useState(open ?? trace.root!.index);
  useEffect(() => { if (open !== undefined) setCursor(open); }, [open, trace]);
  const over = { start: unixSeconds(trace, 0) - aroundSeconds, end: unixSeconds(trace, trace.duration) + aroundSeconds };
  const lines = useLoad(`${trace.id} ${now.value}`, (signal) => search({ query: `trace_id:${logValue(trace.id)}`, over, hits: logsMost, ascending: true }, signal));
  const logs = useMemo(() => placeLogs(trace, lines.data?.hits ?? []), [trace, lines.data]);
  const bySpan = useMemo(() => logsBySpan(logs), [logs]);
  const path = useMemo(() => pathBySpan(criticalPath(trace.roots)), [trace]);
  const matches = useMemo(() => find(trace.spans, state.find), [trace, state.find]);
  const view = clip(state.at, trace.duration);
  useViewKeys(view, trace.duration, (at) => set({ at }, { replace: true }));

  const show = (s: Span) => { setCursor(s.index); set({ span: keys.of(s) }, { replace: open !== undefined }); };
  const move = (index: number) => {
    const s = trace.spans[index]!;
    if (open !== undefined && !s.group) show(s);
    else setCursor(index);
  };
  const findText = (text: string) => {
    set({ find: text }, { replace: true });
    const found = find(trace.spans, text);
    if (found.length && !found.includes(cursor)) setCursor(found[0]!);
  };
  const stepTo = (among: number[], step: 1 | -1) => { const to = nextMatch(among, cursor, step); if (to !== undefined) move(to); };
  const nextError = () => {
    const to = nextMatch(trace.spans.filter((s) => s.status === "error").map((s) => s.index), open ?? -1, 1);
    if (to !== undefined) show(trace.spans[to]!);
  };
  const selected = open === undefined ? undefined : trace.spans[open]!;
  return (
    <div class="trace-page">
      <TraceHeader
        trace={trace} json={json} over={over} logs={lines.data?.total} partial={partial}
        recorded={state.recorded} onRecorded={(recorded) => set({ recorded })} onError={nextError}
      />
      <div class="row trace-tools">
        <Tabs
          label="Views of the trace" value={state.view} onChange={(v) => set({ view: v })}
          tabs={[{ id: "waterfall", label: "Waterfall" }, { id: "flame", label: "Flame graph" }, { id: "table", label: "Table" }, { id: "logs", label: "Logs", count: lines.data ? short(lines.data.total) : undefined }]}
        />
        <span class="grow" />
        {state.view === "waterfall" && <button type="button" aria-pressed={state.path} onClick={() => set({ path: !state.path })} title="What the end of the trace waited for"><i class="trace-path-sign" aria-hidden="true" />Critical path</button>}
        {(state.view === "waterfall" || state.view === "flame") && <FindBox text={state.find} onText={findText} found={matches.length} at={matches.indexOf(cursor)} onStep={(n) => stepTo(matches, n)} />}
      </div>
      {lines.error && <ErrorBox title="The trace's logs could not be read" text={lines.error.message} />}
      <div class="with-panel">
        <div class="trace-body">
          {state.view === "waterfall" && (
            <>
              <Minimap trace={trace} view={view} onView={(at) => set({ at }, { replace: true })} />
              <Waterfall trace={trace} view={view} path={state.path ? path : undefined} logs={bySpan} matches={matches} cursor={cursor} onCursor={move} open={open} onOpen={show} />
            </>
          )}
          {state.view === "flame" && <Flames trace={trace} matches={state.find.trim() ? matches : undefined} onOpen={show} />}
          {state.view === "table" && (
            <Sums trace={trace} sort={state.sort} onSort={(sort) => set({ sort }, { replace: true })} onShow={(text) => { set({ view: "waterfall", find: text }); const first = find(trace.spans, text)[0]; if (first !== undefined) setCursor(first); }} />
          )}
          {state.view === "logs" && <TraceLogs trace={trace} logs={logs} total={lines.data?.total ?? 0} over={over} open={open} onOpen={show} />}
        </div>
        {selected && (
          <SpanPanel
            trace={trace} span={selected} path={path.get(selected.index)} logs={bySpan.get(selected.index) ?? []} tab={state.tab}
            onTab={(tab) => set({ tab }, { replace: true })} onClose={() => set({ span: "", tab: "details" })}
            related={<SpanRelated trace={trace} span={selected} logs={bySpan.get(selected.index) ?? []} />}
          />
        )}
      </div>
    </div>
  );
}

function Flames(p: { trace: Trace; matches: number[] | undefined; onOpen: (s: Span) => void }) {
  const all = useMemo(() => flames(p.trace.spans), [p.trace]);
  const found = useMemo(() => p.matches && new Set(p.matches.map((i) => p.trace.spans[i]!)), [p.trace, p.matches]);
  return <FlameGraph flames={all} found={found} onOpen={p.onOpen} />;
}

function Sums(p: { trace: Trace; sort: string; onSort: (sort: string) => void; onShow: (text: string) => void }) {
  const rows = useMemo(() => operations(p.trace.spans), [p.trace]);
  return <Operations rows={rows} length={p.trace.duration} sort={sortOf(p.sort)} onSort={(s) => p.onSort(sortText(s))} onShow={(o) => p.onShow(`${o.service} ${o.name}`)} />;
}
