// Explore metrics: queries A, B, C, their graph with exemplars, their values as a table; a browser of what there is when
// nothing is asked yet.
import { useCallback, useMemo, useState } from "preact/hooks";
import { Chart } from "../../components/Chart";
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Icon } from "../../components/Icon";
import { Progress } from "../../components/Progress";
import { QueryEditor } from "../../components/QueryEditor";
import { Tabs } from "../../components/Tabs";
import { ApiError } from "../../lib/api/http";
import { type Answer, queryRange } from "../../lib/api/prometheus";
import { filters, filtersKey } from "../../lib/filters";
import { useLoad } from "../../lib/load";
import { expandMacros } from "../../lib/promql";
import { interval, intervalKey, setAbsolute } from "../../lib/range";
import { niceStep } from "../../lib/time";
import { unitOf } from "../../lib/units";
import { choice, flag, list, pageState, place, text } from "../../lib/url";
import { Browser } from "./Browser";
import { ExemplarPanel } from "./ExemplarPanel";
import { toFrame } from "./frame";
import { Legend } from "./Legend";
import { narrow } from "./narrow";
import { behind } from "./behind";
import { marksOf, thin } from "./marks";
import { ExemplarTable, ValueTable } from "./Results";
import "./Metrics.css";

const schema = {
  q: list(),
  view: choice(["graph", "table", "exemplars", "raw"], "graph"),
  stack: flag(),
  sel: text(),
  tab: choice(["details", "related", "raw"], "details"),
};
const points = 240;
const queriesMax = 8;
const letter = (i: number) => String.fromCharCode(65 + i);

interface Run {
  name: string;
  /** as it was sent */
  query: string;
  answer?: Answer;
  error?: ApiError;
}

async function runAll(queries: { name: string; query: string }[], start: number, end: number, step: number, signal: AbortSignal): Promise<Run[]> {
  return Promise.all(
    queries.map(async (q): Promise<Run> => {
      try {
        return { ...q, answer: await queryRange(q.query, { start, end }, step, signal) };
      } catch (e) {
        return { ...q, error: e instanceof ApiError ? e : new ApiError(0, String(e)) };
      }
    }),
  );
}

const prometheusApi = {
  url: "/prometheus",
  fetch: ((input: RequestInfo, init?: RequestInit) => {
    const tenant = place.peek().params.get("tenant");
    return fetch(input, tenant ? { ...init, headers: { ...(init?.headers as Record<string, string>), "X-Scope-OrgID": tenant } } : init);
  }) as typeof fetch,
};

/** Warnings and infos of all answers, each once. */
function Notes({ runs }: { runs: Run[] }) {
  const notes = [...new Set(runs.flatMap((r) => [...(r.answer?.warnings ?? []), ...(r.answer?.infos ?? [])]))];
  return notes.length ? <ul class="metric-notes">{notes.slice(0, 5).map((n) => <li key={n}><Icon name="warning" size={14} /> {n}</li>)}</ul> : null;
}

export default function Metrics() {
  const [state, set] = pageState(schema);
  const [hidden, setHidden] = useState<Set<string>>(new Set());
  const written = state.q.length ? state.q : [""];
  const step = niceStep(interval.value, points);
  const start = Math.floor(interval.value.start / step) * step;
  const end = Math.floor(interval.value.end / step) * step;
  const asked = written
    .map((q, i) => ({ name: letter(i), query: narrow(expandMacros(q, step, interval.value), filters.value) }))
    .filter((q) => q.query.trim() !== "");
  const key = asked.length ? `${asked.map((q) => q.name + q.query).join("\n")}\n${filtersKey.value} ${intervalKey.value}` : undefined;
  const { data: runs, loading } = useLoad(key, (signal) => runAll(asked, start, end, step, signal));
  const dots = useLoad(key, (signal) => behind(asked.map((q) => q.query), interval.value, signal));
  const frame = useMemo(() => toFrame((runs ?? []).filter((r) => r.answer).map((r) => ({ name: r.name, answer: r.answer! })), start, end, step), [runs]);
  const unit = unitOf(asked[0]?.query ?? "");
  const found = useMemo(() => thin(dots.data ?? [], interval.value.start, interval.value.end), [dots.data]);
  const marks = useMemo(() => marksOf(found, frame, asked.map((q) => q.query)), [found, frame]);
  const at = state.sel === "" ? -1 : Number(state.sel);
  const openExemplar = useCallback((i: number) => set({ sel: String(i) }), []);
  const change = (i: number, q: string) => set({ q: written.length === 1 && q === "" ? [] : written.map((old, k) => (k === i ? q : old)), sel: "" });
  const errors = new Map((runs ?? []).filter((r) => r.error).map((r) => [r.name, r.error!]));
  return (
    <>
      <div class="page-head"><h1>Metrics</h1></div>
      <div class="stack metric-queries">
        {written.map((q, i) => (
          <div class="row metric-query" key={i}>
            <span class="metric-letter" aria-hidden="true">{letter(i)}</span>
            <QueryEditor
              language="promql" label={`Query ${letter(i)}`} value={q} prometheus={prometheusApi} onRun={(v) => change(i, v)}
              placeholder="A PromQL query; Shift+Enter runs it" error={errorOf(errors.get(letter(i)), asked.some((a) => a.query === q))}
            />
            {written.length > 1 && <button type="button" class="plain" aria-label={`Remove query ${letter(i)}`} onClick={() => set({ q: written.filter((_, k) => k !== i) })}><Icon name="close" /></button>}
          </div>
        ))}
        <div class="row">
          {asked.length > 0 && written.length < queriesMax && <button type="button" onClick={() => set({ q: [...written, ""] })}><Icon name="plus" size={12} /> Query</button>}
          {filters.value.length > 0 && asked.map((q) => <code key={q.name} class="quiet cut" title={q.query}>{q.name}: {q.query}</code>)}
        </div>
      </div>
      <Progress on={loading} />
      {asked.length === 0 && <Browser onPick={(q) => set({ q: [q] })} />}
      {runs && <Notes runs={runs} />}
      {asked.length > 0 && (
        <div class="with-panel">
          <div class="stack">
            <div class="row">
              <Tabs
                label="Result as" value={state.view} onChange={(view) => set({ view })}
                tabs={[{ id: "graph", label: "Graph" }, { id: "table", label: "Table" }, { id: "exemplars", label: found[0]?.span ? "Spans" : "Exemplars", count: found.length }, { id: "raw", label: "Raw" }]}
              />
              <div class="grow" />
              {state.view === "graph" && <label class="row"><input type="checkbox" checked={state.stack} onChange={(e) => set({ stack: e.currentTarget.checked })} /> Stack</label>}
            </div>
            {runs && runs.every((r) => r.answer && !r.answer.series.length && r.answer.type !== "string") && <Empty title="No series match"><p>Nothing in this time range has these names and labels.</p></Empty>}
            {state.view === "graph" && frame.series.length > 0 && (
              <>
                <div class="card metric-graph">
                  <Chart
                    label={`Graph of ${asked.map((q) => q.query).join(" and ")}`} times={frame.times} series={frame.series.map((s) => ({ ...s, hidden: hidden.has(s.label) }))}
                    unit={unit} stacked={state.stack} height={340} over={interval.value} onZoom={setAbsolute} marks={marks} onMark={(_, i) => openExemplar(i)}
                  />
                </div>
                {frame.hidden > 0 && <p class="quiet">The {frame.series.length} largest series; {frame.hidden} more are in the table.</p>}
                <div class="card metric-legend"><Legend series={frame.series} unit={unit} hidden={hidden} onHidden={setHidden} /></div>
              </>
            )}
            {state.view === "table" && runs && <div class="card"><ValueTable unit={unit} rows={runs.flatMap((r) => (r.answer?.series ?? []).map((series) => ({ query: r.name, series })))} /></div>}
            {state.view === "exemplars" && <div class="card"><ExemplarTable exemplars={found} unit={unit} onOpen={openExemplar} />{dots.error && <ErrorBox error={dots.error} />}</div>}
            {state.view === "raw" && runs && <div class="card"><pre tabIndex={0}>{JSON.stringify(runs.map((r) => ({ query: r.query, ...(r.answer ?? { error: r.error?.message }) })), null, 1).slice(0, 200_000)}</pre></div>}
          </div>
          {found[at] && <ExemplarPanel exemplar={found[at]} tab={state.tab} onTab={(tab) => set({ tab }, { replace: true })} onClose={() => set({ sel: "", tab: "details" })} />}
        </div>
      )}
    </>
  );
}

/** The error of a query; its position only where the query was sent as it was typed. */
function errorOf(e: ApiError | undefined, same: boolean): { message: string; position?: number } | undefined {
  return e && { message: e.message, position: same ? e.position : undefined };
}
