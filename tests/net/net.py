"""The switch of tests/net/switch.c, driven: namespaces as ports, and what its links do to frames."""
import contextlib
import ctypes
import os
import socket
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
SWITCH = os.environ.get("SWITCH", os.path.join(ROOT, "build/release/tests/net_switch"))
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class NotPermitted(Exception):
    """This machine or user may not make network namespaces or TAP devices."""


def address(port):
    return f"10.77.0.{port}"


class Switch:
    def __init__(self, ports, seed=1):
        self.process = subprocess.Popen([SWITCH, "--ports", str(ports), "--seed", str(seed)], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().split()
        if not line:
            text = self.process.stderr.read().strip()
            raise NotPermitted(text) if "not permitted" in text or "/dev/net/tun" in text else RuntimeError(text)
        self.spaces = dict(enumerate((f"/proc/{line[1]}/fd/{fd}" for fd in line[2:]), 1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(20)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        answer = self.process.stdout.readline().strip()
        assert answer and not answer.startswith("error"), (line, answer)
        return answer

    def link(self, from_="*", to="*", **settings):
        """Settings of the direction between two ports, as the switch names them: delay_us=..., loss=..., cut=1, ..."""
        self.ask(f"link {from_} {to} " + " ".join(f"{k}={v}" for k, v in settings.items()))

    def heal(self):
        self.link(delay_us=0, jitter_us=0, loss=0, dup=0, reorder=0, reorder_us=0, corrupt=0, kbps=0, cut=0)

    def stats(self, from_, to):
        return {k: int(v) for k, v in (w.split("=") for w in self.ask(f"stats {from_} {to}").split()[1:])}

    def wrap(self, port):
        """What to put before a command that shall run at this port."""
        return ["nsenter", f"--net={self.spaces[port]}"]

    @contextlib.contextmanager
    def inside(self, port):
        """The calling thread is at this port: sockets that it makes belong there for good."""
        with open("/proc/thread-self/ns/net") as here, open(self.spaces[port]) as there:
            enter(there)
            try:
                yield
            finally:
                enter(here)

    def socket(self, port, kind=socket.SOCK_DGRAM, bind=0):
        with self.inside(port):
            s = socket.socket(socket.AF_INET, kind)
        s.settimeout(30)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address(port), bind))
        return s


def enter(space):
    if libc.setns(space.fileno(), CLONE_NEWNET) != 0:
        raise NotPermitted(os.strerror(ctypes.get_errno()))
