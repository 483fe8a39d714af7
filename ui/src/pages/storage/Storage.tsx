// Where the bytes are: what takes the space, which metrics and attributes, and what is being done about it.
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { Tabs } from "../../components/Tabs";
import { deletions, retention, storage } from "../../lib/api/storage";
import { queryRange } from "../../lib/api/prometheus";
import { toHome } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { interval, intervalKey, now } from "../../lib/range";
import { niceStep } from "../../lib/time";
import { bytes, short } from "../../lib/units";
import { choice, flag, pageState, place, text } from "../../lib/url";
import { Facts } from "./Facts";
import { Growth, growthQuery } from "./Growth";
import { slices } from "./parts";
import { Space } from "./Space";
import { serverSort, tableOf } from "./Tables";

const limit = 200;
/** Of a table, until all are asked for: what is below it stays in sight. */
const few = 10;
const points = 120;
const schema = {
  tab: choice(["metrics", "attributes", "labels", "sets"], "metrics"),
  sort: choice(["bytes", "name", "count", "distinct", "per"], "bytes"),
  dir: choice(["desc", "asc"], "desc"),
  find: text(),
  all: flag(),
  long: flag(),
};

/** Warnings of an answer that lacks something, each in its own line. */
function Notes({ warnings }: { warnings: string[] | undefined }) {
  return warnings?.length ? <ErrorBox title="Not all could be told" text={warnings.join(" ")} /> : null;
}

export default function Storage() {
  const [state, set] = pageState(schema);
  const when = `${place.value.params.get("tenant") ?? ""} ${now.value}`;
  const { data, error, loading } = useLoad(`${when} ${state.sort} ${state.all}`, (signal) => storage(serverSort[state.sort]!, limit, state.all, signal));
  const rules = useLoad(when, retention);
  const tasks = useLoad(when, deletions);
  const step = niceStep(interval.value, points);
  const growth = useLoad(`${when} ${intervalKey.value}`, (signal) => queryRange(growthQuery, { start: Math.floor(interval.value.start / step) * step, end: interval.value.end }, step, signal));
  const s = data?.node.segments;
  const found = data && tableOf(data, state.tab, state.find, {
    sort: { column: state.sort, descending: state.dir === "desc" },
    onSort: (n) => set({ sort: n.column as typeof state.sort, dir: n.descending ? "desc" : "asc" }),
    rows: state.long ? limit : few,
  });
  const inMemory = data ? data.node.memory.bytes : 0;
  return (
    <>
      <div class="page-head">
        <h1>Storage</h1>
        {s && <span class="quiet">{bytes(s.bytes)} in {short(s.count)} segments{inMemory ? `, ${bytes(inMemory)} in memory` : ""}</span>}
        <div class="grow" />
        <label class="row"><input type="checkbox" checked={state.all} onChange={(e) => set({ all: e.currentTarget.checked })} /> All tenants</label>
      </div>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      <Notes warnings={data?.warnings} />
      {data && s && s.bytes === 0 && (
        <Empty title="Nothing is sealed yet">
          <p>{inMemory ? "What came so far is in memory and in the write-ahead log. It is sealed into segments after 15 minutes (storage.seal_age), or when memory fills." : <>No telemetry came yet: <Link to={toHome()}>how to send it</Link>.</>}</p>
        </Empty>
      )}
      {data && s && s.bytes > 0 && <section class="card stack"><h2>What takes the space</h2><Space slices={slices(data)} total={s.bytes} /></section>}
      {data && found && s!.bytes > 0 && (
        <section class="stack">
          <div class="row wrap">
            <Tabs
              label="What is measured" value={state.tab} onChange={(tab) => set({ tab, sort: "bytes", dir: "desc", long: false })}
              tabs={[
                { id: "metrics", label: "Metrics", count: short(data.metrics.total) }, { id: "attributes", label: "Attributes", count: short(data.columns.total) },
                { id: "labels", label: "Labels", count: short(data.labels.total) }, { id: "sets", label: "Signals and indexes", count: short(data.sets.total) },
              ]}
            />
            <div class="grow" />
            <input placeholder="Find by name" aria-label="Find by name" value={state.find} onInput={(e) => set({ find: e.currentTarget.value }, { replace: true })} />
            <span class="quiet">{found.found === found.total ? short(found.total) : `${short(found.found)} of ${short(found.total)}`}</span>
          </div>
          <div class="card storage-table">
            {found.table}
            {(found.shown < found.found || state.long) && <button type="button" class="plain" onClick={() => set({ long: !state.long })}>{state.long ? "Show fewer" : `Show ${short(found.found)}`}</button>}
          </div>
        </section>
      )}
      {data && <Facts data={data} retention={rules.data} deletions={tasks.data} />}
      {growth.data && growth.data.series.length > 0 && <Growth answer={growth.data} over={interval.value} step={step} />}
    </>
  );
}
