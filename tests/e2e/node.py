"""A Tercet node as the tests drive it: its process, its ports, and small clients of its APIs."""
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BINARY = os.environ.get("TERCET", os.path.join(ROOT, "build/release/tercet"))
PORTS = {"grpc": 4317, "otlp": 4318, "prom": 9090, "tempo": 3200, "quickwit": 7280, "ui": 3000}
GOSSIP, CALLS = 7946, 7947  # between nodes: the first is UDP and TCP, the second TCP
# One of the two backends answers queries as if its parts came from another node, through their bytes.
ENCODE = {"epoll": ("--set", "query.encode_fragments=true"), "io_uring": (), "auto": ()}


class Ports:
    """A port offset whose ports are free, and stay ours among all tests on this machine: a file is locked for each. All ports
    lie below those that the kernel gives to connections."""
    SLOT, FIRST, LAST = 36, 1008, 23000  # slots in which no two ports of two offsets are the same

    def __init__(self):
        folder = f"{tempfile.gettempdir()}/tercet-ports-{os.getuid()}"
        os.makedirs(folder, exist_ok=True)
        offsets = range(self.FIRST, self.LAST, self.SLOT)
        start = random.randrange(len(offsets))  # others that take ports without our files are met less often
        for offset in [*offsets[start:], *offsets[:start]]:
            self.lock = open(f"{folder}/{offset}", "w")
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for port, kind in [*((p, socket.SOCK_STREAM) for p in (*PORTS.values(), GOSSIP, CALLS)), (GOSSIP, socket.SOCK_DGRAM)]:
                    with socket.socket(type=kind) as s:
                        s.bind(("127.0.0.1", port + offset))
                self.offset = offset
                return
            except OSError:
                self.lock.close()
        raise RuntimeError("no free ports")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Node:
    def __init__(self, data, backend="auto", args=(), wrap=(), env=None):
        self.data, self.backend, self.args, self.wrap = str(data), backend, list(args), list(wrap)
        self.ports = Ports()
        self.offset = self.ports.offset
        self.env = dict(os.environ, **(env or {}))
        self.process, self.paused, self.id = None, False, None  # id: while it is in a Cluster
        self.log_path = self.data + ".log"

    def command(self):
        return self.wrap + [BINARY, "serve", "--data", self.data, "--port-offset", str(self.offset),
                            "--set", f"node.backend={self.backend}", "--set", "node.pin=false",
                            "--set", "storage.ballast=16MiB", *ENCODE[self.backend]] + self.args

    def start(self, wait=True):
        """wait: until it is ready, or answers a path: one that has seeds and cannot join is up at /healthz and never ready."""
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, env=self.env)
        if wait:
            self.wait_ready(path="/readyz" if wait is True else wait)
        return self

    def wait_ready(self, seconds=30, path="/readyz"):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"node exited with {self.process.returncode}:\n{self.log_text()[-3000:]}")
            try:
                if self.get("prom", path).status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError("node is not ready:\n" + self.log_text()[-3000:])

    def log_text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def stop(self, sig=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise RuntimeError("node did not stop:\n" + self.log_text()[-3000:])
        return self.process.returncode if self.process else None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        """Stopped as a whole, its connections open: what a long stall looks like to others."""
        self.paused = True
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def restart(self, empty=False):
        """Killed if it still runs, and started again with its disk, or as a new node in its place."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
        self.paused = False
        if empty:
            shutil.rmtree(self.data)
        self.start()
        self.id = self.cluster()["node"]
        return self

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * 4096

    # -- HTTP ---------------------------------------------------------------------------------------
    def url(self, door, path=""):
        return f"http://127.0.0.1:{PORTS[door] + self.offset}{path}"

    def request(self, method, door, path, body=None, headers=None, params=None, tenant=None):
        if params:
            path += "?" + urllib.parse.urlencode(params, doseq=True)
        h = dict(headers or {})
        if tenant:
            h["X-Scope-OrgID"] = tenant
        rq = urllib.request.Request(self.url(door, path), data=body, headers=h, method=method)
        try:
            with urllib.request.urlopen(rq, timeout=30) as r:
                return Answer(r.status, dict(r.headers.lower_items() if hasattr(r.headers, "lower_items") else
                                             {k.lower(): v for k, v in r.headers.items()}), r.read())
        except urllib.error.HTTPError as e:
            return Answer(e.code, {k.lower(): v for k, v in e.headers.items()}, e.read())

    def get(self, door, path, **kw):
        return self.request("GET", door, path, **kw)

    def post(self, door, path, body, content_type="application/json", headers=None, **kw):
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        return self.request("POST", door, path, body=body, headers={"content-type": content_type, **(headers or {})}, **kw)

    def cluster(self):
        """What this node says of its cluster."""
        a = self.get("prom", "/api/cluster")
        assert a.status == 200, a
        return a.json

    def members(self):
        """Its members by id; none while it does not answer."""
        try:
            return {m["id"]: m for m in self.cluster()["members"]}
        except OSError:
            return {}

    # -- clients --------------------------------------------------------------------------------------
    def query(self, promql, at=None, tenant=None):
        params = {"query": promql}
        if at is not None:
            params["time"] = at
        a = self.get("prom", "/api/v1/query", params=params, tenant=tenant)
        assert a.status == 200, a
        return a.json["data"]["result"]

    def logs(self, query, tenant=None, **params):
        a = self.get("quickwit", "/api/v1/otel-logs-v0_9/search", params={"query": query, **params}, tenant=tenant)
        assert a.status == 200, a
        return a.json

    def search(self, q, tenant=None, **params):
        a = self.get("tempo", "/api/search", params={"q": q, **params}, tenant=tenant)
        assert a.status == 200, a
        return a.json["traces"]


class Cluster:
    """Nodes on this machine that know each other, each with a port offset and a folder of its own. `args` go to all of them.
    Each is told of all others, so that any of them can be started again while any other is away. As a context: nodes are
    killed at its end, and when that is an exception, the last of every log is printed; logs stay in `folder`."""

    def __init__(self, folder, n, backends=("io_uring", "epoll"), args=(), env=None, wrap=lambda i: ()):
        self.folder = str(folder)
        self.nodes = [Node(f"{self.folder}/n{i}", backend=backends[i % len(backends)], args=args, env=env, wrap=wrap(i))
                      for i in range(n)]
        for node in self.nodes:
            node.args += ["--join", ",".join(f"127.0.0.1:{GOSSIP + o.offset}" for o in self.nodes if o is not node)]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
                node.kill()
        if kind:
            for node in self.nodes:
                if os.path.exists(node.log_path):
                    print(f"--- {node.log_path}\n{node.log_text()[-4000:]}")

    def __getitem__(self, i):
        return self.nodes[i]

    def start(self, seconds=60):
        """All at once, until each of them sees all."""
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready(seconds)
            node.id = node.cluster()["node"]
        self.wait_members(len(self.nodes), seconds=seconds)
        return self

    def running(self):
        return [n for n in self.nodes if n.process and n.process.poll() is None and not n.paused]

    def wait_members(self, count, state="alive", seen_by=None, seconds=60):
        """Until each of seen_by (default: all that run) counts so many members of that state."""
        def wrong():
            views = {n.data: n.members() for n in seen_by or self.running()}
            return {d: v for d, v in views.items() if sum(m["state"] == state for m in v.values()) != count}
        assert eventually(lambda: not wrong(), seconds), f"{count} {state} are not what all see: {wrong()}"

    def wait_state(self, of, state, seen_by=None, seconds=60):
        """Until each of seen_by (default: all others that run) says so of one node; a node that is forgotten is "left"."""
        of = of if isinstance(of, str) else of.id
        def said():
            return {n.data: n.members().get(of, {"state": "left"})["state"] for n in seen_by or self.running() if n.id != of}
        assert eventually(lambda: set(said().values()) <= {state}, seconds), f"{of} is not {state}: {said()}"


def eventually(fn, seconds=60):
    """The first truthy value of fn, or its last value when time is up."""
    end = time.monotonic() + seconds
    while True:
        value = fn()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.1)
