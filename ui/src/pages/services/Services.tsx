import { ErrorBox } from "../../components/ErrorBox";
import { Empty } from "../../components/Empty";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { type PanelTab, SidePanel } from "../../components/SidePanel";
import { Tabs } from "../../components/Tabs";
import { type Services as Answer, services } from "../../lib/api/native";
import { logQuery, quoted, traceql } from "../../lib/filters";
import { toHome, toLogs, toService, toServiceMetrics, toTraces } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { interval, intervalKey } from "../../lib/range";
import { choice, number, pageState, text } from "../../lib/url";
import { EdgeList, EdgeTable } from "./EdgeTable";
import { around } from "./layout";
import { ServiceMap } from "./ServiceMap";
import { Numbers } from "./Numbers";

const schema = {
  view: choice(["map", "table"], "map"),
  sel: text(),
  tab: choice(["details", "related", "raw"], "details"),
  focus: text(),
  hops: number(1),
};

/** What the panel shows of a node: its own numbers, the calls in and out, and where to go on. */
function Panel(p: { id: string; data: Answer; tab: PanelTab; onTab: (t: PanelTab) => void; onClose: () => void; onFocus: (name: string) => void }) {
  const at = p.id.indexOf(":");
  const kind = p.id.slice(0, at), name = p.id.slice(at + 1);
  const seconds = p.data.end - p.data.start;
  const service = kind === "service" ? p.data.services.find((s) => s.name === name) : undefined;
  const into = p.data.edges.filter((e) => e.to_kind === kind && e.to === name);
  const out = kind === "service" ? p.data.edges.filter((e) => e.from === name) : [];
  const own = [{ key: "service.name", op: "=" as const, value: name }];
  const sum = { requests: into.reduce((n, e) => n + e.requests, 0), errors: into.reduce((n, e) => n + e.errors, 0) };
  const details = (
    <div class="stack">
      <Numbers requests={service?.requests ?? sum.requests} errors={service?.errors ?? sum.errors} seconds={seconds} p50={service?.p50_ms ?? null} p95={service?.p95_ms ?? into[0]?.p95_ms ?? null} p99={service?.p99_ms ?? null} />
      <h3>Called by</h3>
      {into.length ? <EdgeList label={`Callers of ${name}`} edges={into} seconds={seconds} end="from" /> : <p class="quiet">Nobody, in this time range.</p>}
      {kind === "service" && <h3>Calls</h3>}
      {kind === "service" && (out.length ? <EdgeList label={`Calls of ${name}`} edges={out} seconds={seconds} end="to" /> : <p class="quiet">Nobody, in this time range.</p>)}
    </div>
  );
  const related = kind !== "service"
    ? <p class="quiet">Only services send telemetry. The callers' traces show what they asked of {name}: <Link to={toTraces(traceql([], [`span:kind = client && span.server.address = ${quoted(name)}`]))}>search</Link>.</p>
    : (
      <div class="stack">
        <Link to={toService(name)}>The service's page</Link>
        <Link to={toTraces(traceql(own))}>Its traces</Link>
        <Link to={toTraces(traceql(own, ["status = error"]))}>Its traces with errors</Link>
        <Link to={toLogs(logQuery(own))}>Its logs</Link>
        <Link to={toServiceMetrics(name)}>Its metrics</Link>
        <button type="button" onClick={() => p.onFocus(name)}>Only its neighbours</button>
      </div>
    );
  return (
    <SidePanel
      title={name} label={`${kind} ${name}`} tab={p.tab} onTab={p.onTab} onClose={p.onClose} details={details} related={related}
      raw={<pre>{JSON.stringify({ service, called_by: into, calls: out }, null, 2)}</pre>}
    />
  );
}

export default function Services() {
  const { data, error, loading } = useLoad(intervalKey.value, (signal) => services(interval.value, 30, signal));
  const [state, set] = pageState(schema);
  const shown = data && around(data.services, data.edges, state.focus || undefined, state.hops);
  return (
    <>
      <div class="page-head">
        <h1>Services</h1>
        <Tabs label="View" value={state.view} onChange={(view) => set({ view })} tabs={[{ id: "map", label: "Map" }, { id: "table", label: "Calls", count: shown?.edges.length }]} />
        {state.focus && (
          <span class="row">
            around {state.focus}, hops
            <input type="number" min={1} max={6} value={state.hops} aria-label="Hops" style={{ width: "56px" }} onInput={(e) => set({ hops: Number(e.currentTarget.value) || 1 }, { replace: true })} />
            <button type="button" onClick={() => set({ focus: "", hops: 1 })}>Show all</button>
          </span>
        )}
        <div class="grow" />
        <Link class="button" to={toHome()}>Show the list</Link>
      </div>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data?.partial && <ErrorBox title="The map is not complete" text="A limit of memory was reached, or nodes are out of reach (a banner says so then): calls may be missing." />}
      {shown && !shown.services.length && <Empty title="No spans in this time range"><p>Choose a longer range, or send traces: <Link to={toHome()}>how</Link>.</p></Empty>}
      {data && shown && shown.services.length > 0 && (
        <div class="with-panel">
          <div class="card">
            {state.view === "map"
              ? <ServiceMap services={shown.services} edges={shown.edges} seconds={data.end - data.start} selected={state.sel} onSelect={(sel) => set({ sel: sel === state.sel ? "" : sel })} />
              : <EdgeTable label="Calls between services" edges={shown.edges} seconds={data.end - data.start} />}
          </div>
          {state.sel && <Panel id={state.sel} data={data} tab={state.tab} onTab={(tab) => set({ tab }, { replace: true })} onClose={() => set({ sel: "", tab: "details" })} onFocus={(focus) => set({ focus, sel: "" })} />}
        </div>
      )}
    </>
  );
}
