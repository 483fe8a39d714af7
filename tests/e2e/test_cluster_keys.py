"""What makes traffic between nodes secret: keys of gossip, changed while the nodes run, and certificates of calls. What does not fit is
refused, and both sides' logs say why."""
import os
import secrets
import signal
import socket
import subprocess
import threading
import time

import pytest

import otlp
from node import BINARY, GOSSIP, ROOT, Cluster, Node, eventually

SMALL = ("--set", "node.cores=1", "--set", "storage.ballast=0")


def key():
    return secrets.token_hex(32)


def certs(folder, *ids):
    """Names of files by node id: those that node-certs makes."""
    subprocess.run([f"{ROOT}/tests/lib/node-certs", str(folder), *ids], check=True)
    return {i: ("--set", f"cluster.tls_cert={folder}/node-{i}.crt", "--set", f"cluster.tls_key={folder}/node-{i}.key",
                "--set", f"cluster.tls_ca={folder}/ca.crt") for i in ids}


def node_id(data):
    return subprocess.run([BINARY, "cluster", "id", "--data", str(data)], check=True, capture_output=True, text=True).stdout.strip()


def send(node, service, n):
    return node.post("otlp", "/v1/logs", otlp.logs(service, [n]).SerializeToString(), otlp.PROTO).status


def found(node, service):
    return node.logs(f"service_name:{service}", max_hits=0)["num_hits"]


def said(node, *texts):
    """A line of its log with all of them."""
    def line():
        return next((x for x in node.log_text().split("\n") if all(t in x for t in texts)), None)
    return eventually(line, 30)


def lives(c):
    """Have all nodes been seen alive, always?"""
    return not any("member.dead" in n.log_text() for n in c.nodes)


def test_right_keys(tmp_path):
    one, two = secrets.token_bytes(32), key()
    with Cluster(tmp_path, 3, args=SMALL) as c:
        import base64
        c[0].args += ["--set", f"cluster.keys={base64.b64encode(one).decode()},{two}"]
        c[1].args += ["--set", f"cluster.keys={two}, {one.hex()}"]  # the other one encrypts
        (tmp_path / "keys").write_text(f"# of the test\n\n{one.hex()}\n  {two}  \n")
        c[2].args += ["--set", f"cluster.keys_file={tmp_path}/keys"]
        c.start()
        assert [send(n, "sealed", i) for i, n in enumerate(c.nodes)] == [200] * 3
        assert [found(n, "sealed") for n in c.nodes] == [3] * 3
        for n in c.nodes:
            assert one.hex() not in n.log_text() and two not in n.log_text()


def test_wrong_keys(tmp_path):
    """Of two with different keys, one of which is told of the other, and one without any."""
    with Cluster(tmp_path, 3, args=SMALL) as c:
        c[0].args += ["--set", f"cluster.keys={key()}"]
        c[1].args += ["--set", f"cluster.keys={key()}"]
        for n in c.nodes:
            n.start(wait="/api/cluster")
        for n in c.nodes:
            assert said(n, "gossip.refused ", "another gossip key"), n.log_text()  # once a minute and machine
            assert said(n, "gossip.refused_by ", "another gossip key"), n.log_text()
        for n in c.nodes:
            assert len(n.members()) == 1 and send(n, "wrong", 1) == 503  # nobody is merged


def test_rotation_under_traffic(tmp_path):
    old, new = key(), key()
    with Cluster(tmp_path, 3, args=SMALL) as c:
        def write(i, *keys):
            (tmp_path / f"keys{i}.new").write_text("\n".join(keys))
            os.replace(tmp_path / f"keys{i}.new", tmp_path / f"keys{i}")
            if i < 2:  # the last one finds out by itself
                c[i].process.send_signal(signal.SIGHUP)
            assert eventually(lambda: c[i].log_text().count("in force from now on") == wrote.count(i), 30), c[i].log_text()[-2000:]
        wrote = [0, 1, 2]  # read at the start
        for i, n in enumerate(c.nodes):
            (tmp_path / f"keys{i}").write_text(old)
            n.args += ["--set", f"cluster.keys_file={tmp_path}/keys{i}"]
        c.start()
        stop, statuses = threading.Event(), []

        def traffic():
            while not stop.is_set():
                statuses.append(send(c[len(statuses) % 3], "turning", len(statuses)))
        sender = threading.Thread(target=traffic)
        sender.start()
        try:
            for keys in ((old, new), (new, old), (new,)):
                for i in (2, 0, 1):
                    wrote.append(i)
                    write(i, *keys)
                time.sleep(1.5)  # probes go by
                c.wait_members(3)
        finally:
            stop.set()
            sender.join()
        assert set(statuses) == {200} and lives(c)
        assert [found(n, "turning") for n in c.nodes] == [len(statuses)] * 3
        # What cannot be used changes nothing.
        (tmp_path / "keys0").write_text("not a key")
        c[0].process.send_signal(signal.SIGHUP)
        assert said(c[0], "gossip.keys", f"{tmp_path}/keys0: gossip key 1", "stay in force")
        # Who has the old key alone stays outside.
        late = Node(tmp_path / "late", args=[*SMALL, "--join", f"127.0.0.1:{GOSSIP + c[0].offset}", "--set", f"cluster.keys={old}"])
        try:
            late.start(wait="/api/cluster")
            assert said(late, "gossip.refused_by", "key") and len(late.members()) == 1
            late.stop()
            late.args += ["--set", f"cluster.keys={new}"]
            late.start()
            assert eventually(lambda: len(late.members()) == 4, 30)
        finally:
            late.stop()


def test_tls(tmp_path):
    with Cluster(tmp_path, 3, args=SMALL) as c:
        ids = [node_id(n.data) for n in c.nodes]
        options = certs(tmp_path / "certs", *ids)
        for n, i in zip(c.nodes, ids):
            n.args += options[i]
        c.start()
        assert [n.id for n in c.nodes] == ids
        assert [send(n, "tls", i) for i, n in enumerate(c.nodes)] == [200] * 3
        assert [found(n, "tls") for n in c.nodes] == [3] * 3
        assert all(m["connected"] for m in c[0].members().values() if not m["self"])
        c[1].restart()
        c.wait_members(3)
        assert eventually(lambda: send(c[1], "tls", 3) == 200) and found(c[2], "tls") == 4


def refused_calls(c):
    """Gossip finds them, and no call goes through: no write is acknowledged."""
    for n in c.nodes:
        n.start(wait=False)
    for n in c.nodes:
        n.wait_ready()
        n.id = n.cluster()["node"]
    c.wait_members(2)
    for n in c.nodes:
        assert send(n, "refused", 1) == 503


def test_foreign_authority(tmp_path):
    with Cluster(tmp_path, 2, args=SMALL) as c:
        for i, n in enumerate(c.nodes):
            mine = node_id(n.data)
            n.args += certs(tmp_path / f"certs{i}", mine)[mine]
        refused_calls(c)
        for n in c.nodes:
            assert said(n, "rpc.", "TLS", "certificate"), n.log_text()[-3000:]


def test_certificate_of_another_node(tmp_path):
    """Good but for the name; with cluster.tls_any_name it is good."""
    with Cluster(tmp_path, 2, args=SMALL) as c:
        ids = [node_id(n.data) for n in c.nodes]
        options = certs(tmp_path / "certs", ids[0], "00000000000000aa")
        c[0].args += options[ids[0]]
        c[1].args += options["00000000000000aa"]
        refused_calls(c)
        for n in c.nodes:
            assert said(n, "rpc.", f"node-{ids[1]}"), n.log_text()[-3000:]
        for n in c.nodes:
            n.args += ["--set", "cluster.tls_any_name=true"]
            n.restart()
        c.wait_members(2)
        assert eventually(lambda: send(c[1], "named", 1) == 200) and found(c[0], "named") == 1


def test_tls_on_one_side(tmp_path):
    with Cluster(tmp_path, 2, args=SMALL) as c:
        mine = node_id(c[0].data)
        c[0].args += certs(tmp_path / "certs", mine)[mine]
        refused_calls(c)
        assert said(c[0], "rpc.", "without TLS") and said(c[1], "rpc.", "TLS")


def test_what_is_wrong_is_found_before(tmp_path):
    """`tercet config check`, and a start, name the setting, the file and the reason; no key is shown."""
    mine = "0123456789abcdef"
    good = certs(tmp_path / "certs", mine)[mine]
    (tmp_path / "empty").write_text("# none\n")
    (tmp_path / "text").write_text(f"{key()}\nsecret-but-no-key\n")
    cert, tls_key, ca = (o.split("=")[1] for o in good[1::2])
    for options, texts in (
            ((f"cluster.tls_cert={cert}",), ("cluster.tls_cert", "cluster.tls_key", "is not")),
            (("cluster.tls_any_name=true",), ("cluster.tls_any_name",)),
            ((f"cluster.tls_cert={cert}", f"cluster.tls_key={ca}", f"cluster.tls_ca={ca}"), (f"private key {ca}",)),
            ((f"cluster.tls_cert={tmp_path}/none", f"cluster.tls_key={tls_key}", f"cluster.tls_ca={ca}"), (f"{tmp_path}/none", "No such file")),
            (("cluster.keys=secret-but-no-key",), ("cluster.keys: gossip key 1",)),
            ((f"cluster.keys={key()}", f"cluster.keys_file={tmp_path}/text"), ("cluster.keys and cluster.keys_file",)),
            ((f"cluster.keys_file={tmp_path}/text",), (f"{tmp_path}/text", "gossip key 2")),
            ((f"cluster.keys_file={tmp_path}/empty",), (f"{tmp_path}/empty", "no key")),
            ((f"cluster.keys_file={tmp_path}/none",), (f"{tmp_path}/none", "No such file"))):
        args = [a for o in options for a in ("--set", o)]
        for verb in (["config", "check"], ["serve", "--data", f"{tmp_path}/d", "--port-offset", "22900", *SMALL]):
            p = subprocess.run([BINARY, *verb, *args], capture_output=True, text=True, timeout=60)
            assert p.returncode == 2 and all(t in p.stderr for t in texts) and "secret-but-no-key" not in p.stderr, (options, p.stderr)
    p = subprocess.run([BINARY, "config", "check", *good, "--set", f"cluster.keys={key()}"], capture_output=True, text=True)
    assert p.returncode == 0 and "tls_ca" in p.stdout, p


def test_id_before_and_after_the_first_start(tmp_path):
    n = Node(tmp_path / "d", args=SMALL)
    mine = node_id(n.data)
    assert node_id(n.data) == mine
    n.start()
    try:
        assert n.cluster()["node"] == mine
        p = subprocess.run([BINARY, "cluster", "id", "--data", n.data], capture_output=True, text=True)
        assert p.returncode == 2 and "another tercet" in p.stderr and "/api/cluster" in p.stderr
    finally:
        n.stop()
    assert node_id(n.data) == mine


# -- addresses ----------------------------------------------------------------------------------------------------------
class Elsewhere(Node):
    """A node that listens on `bind` and is asked at `host`."""

    def __init__(self, data, bind, host, args=()):
        super().__init__(data, args=[*SMALL, "--bind", bind, *args])
        self.host = host

    def url(self, door, path=""):
        return super().url(door, path).replace("127.0.0.1", self.host)


def meet(nodes, service="elsewhere"):
    """They find each other, and a write on each is read on all."""
    try:
        for n in nodes:
            n.start(wait=False)  # started again, it is ready when it has found the others
        for n in nodes:
            n.wait_ready()
            assert eventually(lambda: len(n.members()) == len(nodes), 30), n.log_text()[-3000:]
        for i, n in enumerate(nodes):
            assert eventually(lambda: send(n, service, i) == 200, 10), n.log_text()[-3000:]
        assert [found(n, service) for n in nodes] == [len(nodes)] * len(nodes)
        return [m["address"] for m in nodes[0].members().values()]
    finally:
        for n in nodes:
            n.stop()


@pytest.fixture
def ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError as e:
        pytest.skip(f"no IPv6 here: {e}")


def test_ipv6(tmp_path, ipv6):
    one = Elsewhere(tmp_path / "n0", "::1", "[::1]")
    two = Elsewhere(tmp_path / "n1", "::1", "[::1]", args=["--join", f"[::1]:{GOSSIP + one.offset}"])
    assert all(a.startswith("[::1]:") for a in meet([one, two]))


def test_a_name_to_join(tmp_path):
    """localhost may be ::1 first: all addresses of a name are tried."""
    one = Node(tmp_path / "n0", args=SMALL)
    two = Node(tmp_path / "n1", args=[*SMALL, "--join", f"localhost:{GOSSIP + one.offset}"])
    meet([one, two])


def test_every_interface(tmp_path):
    """Told is an address of this machine, never the wildcard; cluster.advertise says which."""
    one = Elsewhere(tmp_path / "n0", "0.0.0.0", "127.0.0.1")
    two = Elsewhere(tmp_path / "n1", "0.0.0.0", "127.0.0.1", args=["--join", f"127.0.0.1:{GOSSIP + one.offset}"])
    assert not any(a.startswith("0.0.0.0") for a in meet([one, two]))
    for n in one, two:
        n.args += ["--set", "cluster.advertise=127.0.0.1"]
    assert all(a.startswith("127.0.0.1:") for a in meet([one, two], "advertised"))


def test_every_interface_ipv6(tmp_path, ipv6):
    one = Elsewhere(tmp_path / "n0", "::", "[::1]")
    two = Elsewhere(tmp_path / "n1", "::", "[::1]", args=["--join", f"[::1]:{GOSSIP + one.offset}"])
    assert not any(a.startswith("[::]") for a in meet([one, two]))


def test_what_cannot_be_advertised(tmp_path):
    for value in ("localhost", "0.0.0.0", "::", "10.0.0.1:7946"):
        n = Node(tmp_path / "d", args=[*SMALL, "--set", f"cluster.advertise={value}"])
        n.start(wait=False)
        assert n.process.wait(30) == 2 and "cluster.advertise" in n.log_text() and value in n.log_text(), n.log_text()
