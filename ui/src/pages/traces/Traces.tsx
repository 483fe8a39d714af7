// Explore traces: a form and TraceQL for one query, durations over time, and the traces that match.
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { Chart } from "../../components/Chart";
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Onboarding } from "../../components/Onboarding";
import { Progress } from "../../components/Progress";
import { QueryEditor } from "../../components/QueryEditor";
import { VirtualList } from "../../components/VirtualList";
import type { ApiError } from "../../lib/api/http";
import { status } from "../../lib/api/native";
import { token } from "../../lib/colour";
import { traceqlCompletion } from "../../lib/complete";
import { filters, traceqlNarrowed, traceqlTerm } from "../../lib/filters";
import { useShortcut } from "../../lib/keys";
import { toTrace } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { interval, intervalKey, setAbsolute, toText } from "../../lib/range";
import { shown } from "../../lib/theme";
import { type Interval, niceStep } from "../../lib/time";
import type { Unit } from "../../lib/units";
import { choice, follow, number, pageState, setQuery, text } from "../../lib/url";
import { type Form, readForm, writeForm } from "./form";
import { type Box, durationText, selected, slowest } from "./heat";
import { HeatMap } from "./HeatMap";
import { type Charts, findTraces, measure, said, suggestions } from "./search";
import { TraceForm } from "./TraceForm";
import { TracePanel } from "./TracePanel";
import { TraceRelated } from "./TraceRelated";
import { type Summary, TraceHead, TraceRow } from "./TraceRow";
import "./Traces.css";

const firstLimit = 100, lastLimit = 1000;
const columns = 90;

const schema = {
  q: text(),
  sort: choice(["newest", "slowest"] as const, "newest"),
  limit: number(firstLimit),
  sel: text(),
  tab: choice(["details", "related", "raw"] as const, "details"),
};

const complete = traceqlCompletion({ names: suggestions.names, values: (name, signal) => suggestions.values(name, "", signal) });
const wrongQuery = (e: ApiError | undefined) => (e && (e.status === 400 || e.status === 422) ? e : undefined);

/** The error as the person's own text has it: a position in what the page added is the end of it. */
function ownError(e: ApiError | undefined, query: string, own: string): { message: string; position?: number } | undefined {
  if (!e) return undefined;
  const before = query.indexOf(own);
  const position = e.position === undefined || before < 0 ? undefined : Math.max(0, Math.min(e.position - before, own.length));
  return { message: e.message.replace(/ \| select\(name[^']*(?=')/, "").replace(/^invalid TraceQL query: /, ""), position };
}

export default function Traces() {
  const [state, set] = pageState(schema);
  const over = interval.value;
  const query = traceqlNarrowed(state.q, filters.value.map(traceqlTerm));
  const limit = Math.min(Math.max(1, state.limit), lastLimit);
  const step = niceStep(over, columns);
  const charts = useLoad(`${query}\n${intervalKey.value}`, (signal) => measure(query, over, step, signal));
  // The slowest are found by the durations that the heat map knows; without it they are the slowest of the newest.
  const bound = state.sort === "slowest" && charts.data ? slowest(charts.data.heat, limit) : 0;
  const asked = bound ? traceqlNarrowed(query, [`duration >= ${durationText(bound, false)}`]) : query;
  const ready = state.sort === "newest" || !charts.loading;
  const found = useLoad(ready ? `${asked}\n${intervalKey.value}\n${limit}` : undefined, (signal) => findTraces(asked, over, bound ? lastLimit : limit, signal));
  const rows = useMemo(() => (state.sort === "slowest" ? [...(found.data ?? [])].sort((a, b) => b.length - a.length).slice(0, limit) : found.data ?? []), [found.data, state.sort, limit]);
  const form = useMemo(() => readForm(state.q), [state.q]);
  const run = (q: string) => {
    if (/^\s*[0-9a-f]{32}\s*$/i.test(q)) follow(toTrace(q.trim().toLowerCase()));
    else set({ q: q.trim() === "{ }" || q.trim() === "{}" ? "" : q.trim(), sel: "", limit: firstLimit });
  };
  const narrow = (box: Box) => {
    const s = selected(charts.data!.heat, over, box);
    const min = s.min === undefined ? undefined : durationText(s.min, false), max = s.max === undefined ? undefined : durationText(s.max, true);
    const limits = [...(min ? [`duration >= ${min}`] : []), ...(max ? [`duration <= ${max}`] : [])];
    const q = form ? writeForm({ ...form, min: min ?? form.min, max: max ?? form.max }) : traceqlNarrowed(state.q, limits);
    setQuery({ q, from: toText(s.over.start), to: toText(s.over.end), sel: undefined });
  };
  const error = found.error ?? (charts.error && !found.data ? charts.error : undefined);
  const none = !found.loading && !error && found.data?.length === 0;
  return (
    <div class="traces-page">
      <div class="page-head traces-head"><h1>Traces</h1><TraceForm form={form} onForm={(f: Form) => run(writeForm(f))} onClear={() => run("")} suggest={suggestions} /></div>
      <QueryEditor
        language="traceql" label="TraceQL query" value={state.q} onRun={run} complete={complete} error={ownError(wrongQuery(error), asked, state.q || "{ }")}
        placeholder='TraceQL: { resource.service.name = "checkout" && duration > 1s }. Empty: all traces. A trace id: that trace'
      />
      {filters.value.length > 0 && <div class="quiet traces-query">With the filters: <code>{query}</code></div>}
      <Progress on={found.loading || charts.loading} />
      {error && !wrongQuery(error) && <ErrorBox error={error} />}
      {none && <NoTraces narrowed={state.q !== "" || filters.value.length > 0} />}
      {!none && !wrongQuery(error) && (
        <>
          <Overview charts={charts.data} error={charts.error} over={over} onBox={narrow} />
          <Found rows={rows} bound={bound} limit={limit} all={(found.data?.length ?? 0) < limit} loading={found.loading} state={state} set={set} />
        </>
      )}
    </div>
  );
}

function NoTraces({ narrowed }: { narrowed: boolean }) {
  const { data } = useLoad("status", (signal) => status(signal));
  if (data && !data.data.spans) return <Onboarding />;
  return (
    <Empty title="No trace matches">
      <p>Choose a longer time range{narrowed ? ", or take a part of the query or of the filters away" : ""}.</p>
    </Empty>
  );
}

/** The heat map and rate, errors, p95 of the matching spans. Keeps its height while it loads. */
function Overview(p: { charts: Charts | undefined; error: ApiError | undefined; over: Interval; onBox: (box: Box) => void }) {
  const c = p.charts;
  const theme = shown.value;
  const series = useMemo(() => {
    const one = (label: string, colour: string, values: (number | null)[]) => [{ label, colour: token(colour), values }];
    return c && { rate: one("spans per second", "--accent", c.rates.rate), errors: one("failed", "--bad", c.rates.errors), p95: one("p95", "--warn", c.p95.values) };
  }, [c, theme]);
  if (p.error && !c) return <p class="quiet traces-no-charts">No charts for this query: {p.error.message}</p>;
  const small = (title: string, label: string, unit: Unit, times: number[], s: NonNullable<typeof series>["rate"] | undefined) => (
    <section class="card traces-chart">
      <h3>{title}</h3>
      {s && <Chart label={label} times={times} series={s} unit={unit} height={136} kind="area" over={p.over} onZoom={setAbsolute} />}
    </section>
  );
  return (
    <div class="traces-overview">
      <section class="card traces-chart">
        <h3>Durations <span class="quiet traces-hint">drag a box to look closer</span></h3>
        {c && <HeatMap heat={c.heat} over={p.over} onBox={p.onBox} />}
      </section>
      {small("Rate", "Matching spans per second over time", "per_second", c?.rates.times ?? [], series?.rate)}
      {small("Errors", "Share of the matching spans that failed, over time", "ratio", c?.rates.times ?? [], series?.errors)}
      {small("Duration, p95", "95th percentile of the durations of the matching spans over time", "s", c?.p95.times ?? [], series?.p95)}
    </div>
  );
}

type State = ReturnType<typeof pageState<typeof schema>>;

function Found(p: { rows: Summary[]; bound: number; limit: number; all: boolean; loading: boolean; state: State[0]; set: State[1] }) {
  const { rows, state, set } = p;
  const at = rows.findIndex((r) => r.id === state.sel);
  const longest = rows.reduce((n, r) => Math.max(n, r.length), 0);
  const [near, setNear] = useState(at);
  useEffect(() => { if (at >= 0) setNear(at); }, [at]);
  const open = useCallback((i: number) => { const r = rows[i]; if (r) set({ sel: r.id }, { replace: state.sel !== "" }); }, [rows, state.sel]);
  const next = useCallback(() => open(at + 1), [open, at]);
  const previous = useCallback(() => open(Math.max(0, at - 1)), [open, at]);
  const enter = useCallback(() => { if (at >= 0) follow(toTrace(rows[at]!.id)); }, [rows, at]);
  useShortcut("j", "Next trace", "Traces", next);
  useShortcut("k", "Previous trace", "Traces", previous);
  useShortcut("o", "Open the trace", "Traces", enter);
  const close = useCallback(() => set({ sel: "", tab: "details" }), []);
  const trace = rows[at];
  return (
    <div class="with-panel traces-found">
      <div class="traces-main">
        <div class="row">
          <span class="quiet" aria-live="polite">{p.loading && !rows.length ? "Searching" : said(rows.length, p.all, state.sort === "slowest", p.bound)}</span>
          {!p.all && !p.bound && p.limit < lastLimit && <button type="button" class="plain" onClick={() => set({ limit: Math.min(lastLimit, p.limit * 3) })}>Show more</button>}
          <span class="grow" />
          <span class="row" role="group" aria-label="Order">
            {(["newest", "slowest"] as const).map((s) => <button key={s} type="button" aria-pressed={state.sort === s} onClick={() => set({ sort: s })}>{s === "newest" ? "Newest" : "Slowest"}</button>)}
          </span>
        </div>
        <div class="card traces-list">
          <TraceHead />
          <VirtualList
            label="Traces" rows={rows} id={(r) => r.id} rowHeight={32} showIndex={near}
            render={(r, i) => <TraceRow trace={r} longest={longest} selected={i === at} onOpen={() => open(i)} />}
          />
        </div>
      </div>
      {trace && <TracePanel trace={trace} tab={state.tab} onTab={(tab) => set({ tab }, { replace: true })} onClose={close} related={<TraceRelated trace={trace} />} />}
    </div>
  );
}
