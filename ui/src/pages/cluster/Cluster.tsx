// The cluster as this node sees it: who is there, since when, and who has how much of what.
import { useEffect, useRef, useState } from "preact/hooks";
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Progress } from "../../components/Progress";
import { State } from "../../components/State";
import { type Cluster, cluster } from "../../lib/api/cluster";
import { useLoad } from "../../lib/load";
import { now } from "../../lib/range";
import { choice, pageState } from "../../lib/url";
import { Members } from "./Members";
import { Streams } from "./Streams";
import { Tenants } from "./Tenants";
import { since, summary, tenantsOf } from "./view";
import "./Cluster.css";

/** Asking makes every node count what it has: often enough to see a node come and go, no oftener. */
const periodMs = 5_000;
const schema = {
  sort: choice(["state", "node", "since", "lacks", "disk", "rtt", "zone", "version", "backend", "weight", "address"], "state"),
  dir: choice(["asc", "desc"], "asc"),
};

/** Grows by one every period while somebody looks. */
function useTicks(): number {
  const [n, set] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => !document.hidden && set((k) => k + 1), periodMs);
    return () => window.clearInterval(timer);
  }, []);
  return n;
}

export default function ClusterPage() {
  const [state, set] = pageState(schema);
  const ticks = useTicks();
  const last = useRef<Cluster | undefined>(undefined);
  const { data, error, loading } = useLoad(`${now.value} ${ticks}`, async (signal) => {
    const got = await cluster(signal), shown = since(got, last.current);
    last.current = got;
    return shown;
  });
  const sum = data && summary(data);
  return (
    <>
      <div class="page-head">
        <h1>Cluster</h1>
        {data && sum && <State level={sum.level}>{sum.text}</State>}
        <div class="grow" />
        {data && !data.alone && <span class="quiet">{data.label}: each row on {data.replicas} nodes, acknowledged by {data.write_quorum}; as node <span class="mono">{data.node.slice(0, 8)}</span> sees it</span>}
      </div>
      <Progress on={loading && !data} />
      {error && <ErrorBox error={error} />}
      {data?.alone && (
        <Empty title="This node is alone">
          <p>It keeps everything by itself. Others join it with <code>tercet serve --join HOST:7946</code>; from then on each row is on several nodes.</p>
        </Empty>
      )}
      {data && (
        <section class="card cluster-table">
          <h2>Members</h2>
          <Members cluster={data} sort={{ column: state.sort, descending: state.dir === "desc" }} onSort={(s) => set({ sort: s.column as typeof state.sort, dir: s.descending ? "desc" : "asc" })} />
        </section>
      )}
      {data && !data.alone && tenantsOf(data).length > 0 && (
        <section class="card cluster-table tenants">
          <h2>Tenants</h2>
          <p class="quiet">Tenants with settings of their own (<code>cluster.tenants</code>), and on how many nodes each tenant's rows are (<code>cluster.tenant_nodes</code>).</p>
          <Tenants rows={tenantsOf(data)} />
        </section>
      )}
      {data && !data.alone && (
        <section class="card cluster-table streams">
          <h2>Streams</h2>
          <p class="quiet">A stream is what is written to one set of nodes. A member that was away fetches what it missed by itself.</p>
          <Streams cluster={data} />
        </section>
      )}
    </>
  );
}
