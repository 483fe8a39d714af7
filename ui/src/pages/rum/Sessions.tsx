import { Empty } from "../../components/Empty";
import { ErrorBox } from "../../components/ErrorBox";
import { Link } from "../../components/Link";
import { Progress } from "../../components/Progress";
import { type Column, Table } from "../../components/Table";
import { search } from "../../lib/api/quickwit";
import { toSession } from "../../lib/links";
import { useLoad } from "../../lib/load";
import { interval, intervalKey, now, zone } from "../../lib/range";
import { ago, dateTime } from "../../lib/time";
import { duration } from "../../lib/units";
import { readSessions, sessionAggs, type SessionRow, sessionsMax } from "./sessions";

const columns: Column<SessionRow>[] = [
  { id: "id", label: "Session", cell: (s) => <Link class="mono" to={toSession(s.id)}>{s.id}</Link> },
  { id: "first", label: "Began", width: "190px", cell: (s) => dateTime(s.first, zone.value) },
  { id: "length", label: "Length", number: true, width: "110px", cell: (s) => duration(Math.max(0, s.last - s.first)) },
  { id: "views", label: "Views", number: true, width: "80px", cell: (s) => s.views },
  { id: "clicks", label: "Clicks", number: true, width: "80px", cell: (s) => s.clicks },
  { id: "errors", label: "Errors", number: true, width: "80px", cell: (s) => <span class={s.errors ? "bad" : undefined}>{s.errors}</span> },
  { id: "last", label: "Last seen", number: true, width: "120px", cell: (s) => ago(s.last, now.value) },
];

/** Sessions of the time range, the latest first. */
export function Sessions({ query }: { query: string }) {
  const { data, error, loading } = useLoad(`${query} ${intervalKey.value}`, async (signal) => {
    const found = await search({ query, over: interval.value, hits: 0, aggs: sessionAggs }, signal);
    return readSessions(found.aggs["sessions"]?.buckets ?? []);
  });
  return (
    <>
      <Progress on={loading} />
      {error && <ErrorBox error={error} />}
      {data && !data.length && <Empty title="No sessions in this time range"><p>Events of a session carry the attribute session.id.</p></Empty>}
      {data && data.length >= sessionsMax && <p class="quiet">The {sessionsMax} sessions with the most events; choose a shorter range for the others.</p>}
      {data && data.length > 0 && <div class="card"><Table label="Sessions" columns={columns} rows={data} id={(s) => s.id} /></div>}
    </>
  );
}
