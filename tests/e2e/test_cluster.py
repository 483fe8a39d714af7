"""Three nodes as real processes: every API of every node answers as one node that was sent the same, byte for byte. Nodes are
killed, paused and started again under traffic: nothing acknowledged is lost, stored twice, or silently missing from an answer."""
import concurrent.futures
import time

import grpc
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
import pytest

import otlp
from clusters import InTurn, Traffic, answers, check_stored, differences, partial, send_all, stored, write
from node import PORTS, eventually


def test_answers_of_one(make_cluster):
    """Data goes to each of three nodes in turn, and the same to a node alone."""
    end = int(time.time()) // 60 * 60
    alone, three = make_cluster(1, "alone").start(), make_cluster().start()
    trace = send_all(InTurn(alone[0]), end)
    assert send_all(InTurn(*three.nodes), end) == trace
    want = answers(alone[0], end, trace)
    got = {node.data: answers(node, end, trace) for node in three.nodes}
    for data, one in got.items():
        assert not (d := differences(want, one)), f"{data}\n{d}"
    three[0].kill()
    for node in three.nodes[1:]:
        assert not (d := differences(want, answers(node, end, trace))), f"{node.data}\n{d}"
    three[0].start()
    three[1].kill()
    assert not (d := differences(want, answers(three[0], end, trace))), d


def test_every_node_sees_what_one_acknowledged(three):
    """At once: all signals, written to each node and read from each other one."""
    for i in range(30):
        to = three[i % 3]
        service = f"s{i}"
        for path, rq in (("logs", otlp.logs(service, range(5))), ("traces", otlp.traces(service, range(i * 10 + 1, i * 10 + 6))),
                         ("metrics", otlp.gauge(service, "seen", {n: i + n for n in range(5)}))):
            assert to.post("otlp", f"/v1/{path}", rq.SerializeToString(), otlp.PROTO).status == 200
        for k in (1, 2, 3):
            node = three[(i + k) % 3]
            assert node.logs(f"service_name:{service}")["num_hits"] == 5
            assert len(node.search(f'{{ resource.service.name = "{service}" }}')) == 5
            assert node.get("tempo", f"/api/traces/{i * 10 + 3:032x}").status == 200
            assert node.query(f'sum(seen{{job="{service}"}})')[0]["value"][1] == str(5 * i + 10)


def test_one_is_killed_under_traffic(three):
    """No query fails or is partial. It comes back, fetches what it missed from logs, and answers with one other alone."""
    with Traffic(three.nodes) as traffic:
        assert eventually(lambda: traffic.acked >= 50)
        three[1].kill()  # with what it is asked just now
        traffic.leave(three[1])
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 200)
        three.wait_state(three[1], "dead")
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 50)
        three[1].start()
        traffic.leave(None)
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 100)
    assert not traffic.wrong, traffic.wrong[:5]
    three.wait_members(3)
    for node in three.nodes:
        check_stored(node, "traffic", traffic.acked)
    three[0].kill()
    for node in three.nodes[1:]:
        check_stored(node, "traffic", traffic.acked)
        assert not any((p := partial(node)).values()), p


def test_two_are_away(three):
    """Ingest is refused in a way that is tried again, answers say that they may lack something; all is well when one is back."""
    for i in range(3):
        assert write(three[i], "kept", range(i * 10, i * 10 + 10)).status == 200
    left = three[0]
    time.sleep(0.2)  # an ack is that two have it: the third gets it with the next request, 10 ms later at the latest
    three[1].kill()
    three[2].kill()
    a = write(left, "refused", [1])
    assert a.status == 503 and int(a.headers["retry-after"]) >= 1 and b"1 of 3 nodes, 2 are wanted" in a.body, a
    stub = LogsServiceStub(grpc.insecure_channel(f"127.0.0.1:{PORTS['grpc'] + left.offset}"))
    with pytest.raises(grpc.RpcError) as refused:
        stub.Export(otlp.logs("refused", [2]), timeout=20)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE, refused.value
    details = status_pb2.Status.FromString(dict(refused.value.trailing_metadata())["grpc-status-details-bin"]).details
    retry = error_details_pb2.RetryInfo()
    assert any(d.Unpack(retry) for d in details) and retry.retry_delay.ToNanoseconds() > 0, details
    # At once, and when they are known to be dead.
    for moment in ("at once", "dead"):
        told = partial(left)
        assert all("may be missing" in str(v) for v in told.values()), (moment, {k: v for k, v in told.items() if not v})
        assert left.logs("service_name:kept")["num_hits"] == 30
        if moment == "at once":
            three.wait_members(2, "dead")
    banners = [b["text"] for b in left.get("ui", "/api/ui/status").json["banners"]]
    assert any("Answers may be incomplete" in b for b in banners) and any("Too few nodes are left for writes" in b for b in banners), banners
    three[2].start()
    assert eventually(lambda: write(left, "refused", [1]).status == 200)
    for node in (left, three[2]):
        assert eventually(lambda: not any(partial(node).values())), partial(node)
        assert eventually(lambda: ["1 of 3 nodes does not answer" in b["text"] for b in node.get("ui", "/api/ui/status").json["banners"]] == [True])
        assert set(stored(node, "kept")) == set(range(30))
        assert stored(node, "refused")[1] == 1


def test_one_is_paused(three):
    """It holds its connections and says nothing for ten seconds; others go on, and it catches up."""
    with Traffic(three.nodes) as traffic:
        assert eventually(lambda: traffic.acked >= 50)
        traffic.leave(three[2])
        three[2].pause()
        acked = traffic.acked
        time.sleep(10)
        assert traffic.acked > acked + 50, (acked, traffic.acked)
        three[2].resume()
        traffic.leave(None)
        acked = traffic.acked
        assert eventually(lambda: traffic.acked >= acked + 50)
    assert not traffic.wrong, traffic.wrong[:5]
    print(f"slowest while one was paused: write {traffic.slowest_write:.3f} s, read {traffic.slowest_read:.3f} s")
    three.wait_members(3)
    for node in three.nodes:
        check_stored(node, "traffic", traffic.acked)
    three[0].kill()
    for node in three.nodes[1:]:
        check_stored(node, "traffic", traffic.acked)


def test_retries_elsewhere(three):
    """The same content to every node, one after the other and at once: stored once."""
    for node in three.nodes:
        assert write(node, "again", range(20)).status in (200,)
    bodies = [otlp.logs("race", [n], at_ns=10**18).SerializeToString() for n in range(60)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        sent = [pool.submit(node.post, "otlp", "/v1/logs", body, otlp.PROTO) for body in bodies for node in three.nodes]
    assert all(s.result().status == 200 for s in sent)
    for node in three.nodes:
        assert node.logs("service_name:race", start_timestamp=10**9 - 5, end_timestamp=10**9 + 5)["num_hits"] == 60
        check_stored(node, "race", 60)
        check_stored(node, "again", 20)


def test_all_start_again(three):
    """A stop of everything at once, by force: what was acknowledged is there as soon as they answer."""
    with Traffic(three.nodes) as traffic:
        assert eventually(lambda: traffic.acked >= 100)
        for node in three.nodes:
            node.process.kill()
        traffic.done.set()
    for node in three.nodes:
        node.process.wait()
        node.start(wait=False)
    for node in three.nodes:
        node.wait_ready()
    three.wait_members(3)
    for node in three.nodes:
        assert eventually(lambda: not any(partial(node).values())), partial(node)
        check_stored(node, "traffic", traffic.acked)
    assert eventually(lambda: write(three[0], "after", [1]).status == 200)


def test_rolling_restart(three):
    """Each is stopped and started in turn, as an upgrade does: no request fails that went to the others."""
    with Traffic(three.nodes) as traffic:
        for node in three.nodes:
            acked = traffic.acked
            assert eventually(lambda: traffic.acked >= acked + 60)
            traffic.leave(node)
            assert node.stop() == 0
            acked = traffic.acked
            assert eventually(lambda: traffic.acked >= acked + 60)
            node.start()
            three.wait_members(3)
            traffic.leave(None)
    assert not traffic.wrong, traffic.wrong[:5]
    print(f"slowest: write {traffic.slowest_write:.3f} s, read {traffic.slowest_read:.3f} s; tried again: {traffic.retried}")
    for node in three.nodes:
        check_stored(node, "traffic", traffic.acked)
