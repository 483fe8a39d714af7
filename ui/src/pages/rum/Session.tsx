// One user's session in order of time: views, clicks, requests with their back-end traces, errors.
import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Fields } from "../../components/Fields";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { search as searchLogs } from "../../lib/api/quickwit";
import { search as searchTraces } from "../../lib/api/tempo";
import { logQuoted, quoted } from "../../lib/filters";
import { toLogs, toRum, toTrace } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { interval, intervalKey, zone } from "../../lib/range";
import { clock, dateTime } from "../../lib/time";
import { duration } from "../../lib/units";
import { choice, pageState } from "../../lib/url";
import type { PageProps } from "../../router";
import { type Step, story } from "./sessions";
import "./Session.css";

const eventsMax = 1000, tracesMax = 300, spansEach = 5;
const schema = { show: choice(["main", "all"], "main") };
const words: Record<Step["kind"], string> = { view: "view", click: "click", request: "request", error: "error", vital: "vital", other: "event" };

function StepRow({ step, from }: { step: Step; from: number }) {
  return (
    <li class="session-step" data-kind={step.kind} data-bad={step.bad ? "" : undefined}>
      <span class="quiet mono" title={dateTime(step.time, zone.value)}>{clock(step.time, zone.value)}</span>
      <span class="quiet mono number">+{duration(step.time - from)}</span>
      <span class="session-kind">{words[step.kind]}</span>
      <span class="cut" title={step.text}>{step.text}</span>
      <span class="quiet cut">{step.detail}</span>
      <span>{step.traceId && <Link to={toTrace(step.traceId, step.spanId)}>Trace</Link>}</span>
    </li>
  );
}

export default function Session({ path }: PageProps) {
  const id = path["id"]!;
  const [state, set] = pageState(schema);
  const query = `attributes.session.id:${logQuoted(id)}`;
  const { data, error, loading } = useLoad(`${id} ${intervalKey.value}`, async (signal) => {
    const [logs, traces] = await Promise.all([
      searchLogs({ query, over: interval.value, hits: eventsMax, ascending: true }, signal),
      searchTraces(`{ span.session.id = ${quoted(id)} && kind = client } | select(span.url.full, span.http.response.status_code)`, interval.value, tracesMax, spansEach, signal),
    ]);
    return { logs, steps: story(logs.hits, traces.traces) };
  });
  const steps = data?.steps ?? [];
  const shown = state.show === "all" ? steps : steps.filter((s) => s.kind !== "vital" && s.kind !== "other");
  const first = steps[0]?.time ?? 0, last = steps.at(-1)?.time ?? 0;
  const count = (kind: Step["kind"]) => steps.filter((s) => s.kind === kind).length;
  const resource = data?.logs.hits[0]?.resource_attributes ?? {};
  return (
    <>
      <div class="page-head">
        <h1>Session</h1><code class="quiet">{id}</code>
        <div class="grow" />
        <Link class="button" to={toLogs(query)}>Its events in the logs</Link>
        <Link class="button" to={toRum("sessions")}>All sessions</Link>
      </div>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && !steps.length && <Empty title="Nothing of this session in this time range"><p>Choose a longer range.</p></Empty>}
      {data && steps.length > 0 && (
        <>
          <p class="quiet session-sum">
            {dateTime(first, zone.value)}, {duration(last - first)} long: {count("view")} views, {count("click")} clicks, {count("request")} requests, {count("error")} errors.
            {data.logs.total > eventsMax && ` The first ${eventsMax} of ${data.logs.total} events.`}
          </p>
          <div class="session-columns">
            <section class="card">
              <div class="row">
                <h2 class="grow">What happened</h2>
                <label class="row"><input type="checkbox" checked={state.show === "all"} onChange={(e) => set({ show: e.currentTarget.checked ? "all" : "main" })} /> Vitals and other events too</label>
              </div>
              <ol class="session-steps">{shown.map((s, i) => <StepRow key={i} step={s} from={first} />)}</ol>
            </section>
            <section class="card"><h2>Browser</h2><Fields fields={resource} prefix="resource." /></section>
          </div>
        </>
      )}
    </>
  );
}
