// Explore logs: a query, how many over time by severity, the fields, and the rows newest first.
import { useCallback, useMemo } from "preact/hooks";
import { Chart } from "../../components/Chart";
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { QueryEditor } from "../../components/QueryEditor";
import { VirtualList } from "../../components/VirtualList";
import { fields as allFields, type LogRow, topValues } from "../../lib/api/quickwit";
import { severityToken, token } from "../../lib/colour";
import { logCompletion } from "../../lib/complete";
import { filters, filtersKey, logQuery } from "../../lib/filters";
import { useShortcut } from "../../lib/keys";
import { toHome } from "../../lib/links";
import { interval, intervalKey, setAbsolute } from "../../lib/range";
import { shown } from "../../lib/theme";
import { duration, short } from "../../lib/units";
import { choice, flag, pageState, text } from "../../lib/url";
import { Facets } from "./Facets";
import { aggregation, stepOf, toSeries } from "./histogram";
import { LogLine, rowKey } from "./LogLine";
import { LogPanel } from "./LogPanel";
import { rowsMax, useRows } from "./useRows";
import "./Logs.css";

const schema = { q: text(), wrap: flag(), sel: text(), tab: choice(["details", "related", "raw"], "details") };
const histogramHeight = 132;

const complete = logCompletion({
  names: async (signal) => (await allFields(signal)).map((f) => f.name),
  values: async (name, signal) => (await topValues(name, "*", interval.peek(), 50, signal)).buckets.map((b) => b.key_as_string ?? String(b.key)),
});

/** Fields that the rows have, in the index's names. */
export function fieldsOf(rows: LogRow[]): string[] {
  const names = new Set<string>();
  for (const r of rows.slice(0, 200)) {
    for (const k of Object.keys(r.attributes ?? {})) names.add(`attributes.${k}`);
    for (const k of Object.keys(r.resource_attributes ?? {})) names.add(`resource_attributes.${k}`);
  }
  return [...names].sort();
}

/** An offset into the whole query as one into the part that was typed. */
export function inOwn(position: number | undefined, whole: string, own: string): number | undefined {
  const from = own ? whole.lastIndexOf(own.trim()) : -1;
  return position === undefined || from < 0 || position < from ? undefined : position - from;
}

export default function Logs() {
  const [state, set] = pageState(schema);
  const query = logQuery(filters.value, state.q);
  const step = stepOf(interval.value);
  const found = useRows(`${query}\n${filtersKey.value}\n${intervalKey.value}`, query, interval.value, aggregation(step));
  const { rows, total } = found;
  const names = useMemo(() => fieldsOf(rows), [rows]);
  const chart = useMemo(
    () => toSeries(found.aggs["over_time"]?.buckets ?? [], interval.value, step, (s) => token(severityToken(s))),
    [found.aggs, shown.value],
  );
  const wrong = found.error && (found.error.status === 400 || found.error.status === 422) ? found.error : undefined;
  const at = rows.findIndex((r, i) => rowKey(r, i) === state.sel);
  const open = useCallback((i: number) => {
    const row = rows[i];
    if (row) set({ sel: rowKey(row, i) }, { replace: state.sel !== "" });
  }, [rows, state.sel]);
  const next = useCallback(() => open(at + 1), [open, at]);
  const previous = useCallback(() => open(Math.max(0, at - 1)), [open, at]);
  useShortcut("j", "Next line", "Logs", next);
  useShortcut("k", "Previous line", "Logs", previous);
  const close = useCallback(() => set({ sel: "", tab: "details" }), []);
  return (
    <>
      <div class="page-head logs-head">
        <h1>Logs</h1>
        <QueryEditor
          language="logs" label="Log query" value={state.q} onRun={(q) => set({ q, sel: "" })} complete={complete}
          error={wrong && { message: wrong.message, position: inOwn(wrong.position, query, state.q) }}
          placeholder='Words, "a phrase", field:value, AND, OR, NOT. Empty: all lines'
        />
      </div>
      {filters.value.length > 0 && <div class="quiet logs-query">With the filters: <code>{query}</code></div>}
      <Progress on={found.loading} />
      {found.error && !wrong && <ErrorBox error={found.error} />}
      {total === 0 && !found.loading ? (
        <Empty title="No line matches">
          <p>Choose a longer time range{state.q || filters.value.length ? ", or take a part of the query away" : ""}. New here? See <Link to={toHome()}>how to send logs</Link>.</p>
        </Empty>
      ) : (
        <div class="with-panel logs">
          <div class="logs-columns">
            <Facets fields={names} query={wrong ? undefined : query} />
            <div class="logs-main">
              <div class="card logs-histogram">
                <Chart label="Lines over time by severity" times={chart.times} series={chart.series} unit="none" kind="bars" stacked height={histogramHeight} over={interval.value} onZoom={setAbsolute} />
              </div>
              <div class="row">
                <span class="quiet" aria-live="polite">
                  {total !== undefined && `${short(total)} lines, newest first, in ${duration(found.tookMs / 1e3)}`}
                  {total !== undefined && total > rowsMax && `; the list ends after ${short(rowsMax)}`}
                </span>
                <div class="grow" />
                <label class="row"><input type="checkbox" checked={state.wrap} onChange={(e) => set({ wrap: e.currentTarget.checked })} /> Wrap</label>
              </div>
              <div class="card logs-list">
                <VirtualList
                  key={String(state.wrap)} label="Log lines" rows={rows} id={rowKey} rowHeight={26} showIndex={at} onEnd={found.more}
                  render={(row, i) => <LogLine row={row} wrap={state.wrap} selected={i === at} onOpen={() => open(i)} />}
                />
              </div>
            </div>
          </div>
          {at >= 0 && <LogPanel row={rows[at]!} tab={state.tab} onTab={(tab) => set({ tab }, { replace: true })} onClose={close} />}
        </div>
      )}
    </>
  );
}
