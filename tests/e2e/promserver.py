"""Debian's prometheus as a process beside a node: it writes to the node, reads from it, or scrapes it, as its configuration says."""
import json
import signal
import socket
import subprocess
import urllib.parse
import urllib.request


class PromServer:
    def __init__(self, path, config, *args, **fields):
        """config is formatted with `self` (its own port) and the fields."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.path = path
        (path / "prometheus.yml").write_text(config.format(self=self.port, **fields))
        self.log = open(path / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={path}/prometheus.yml", f"--storage.tsdb.path={path}/tsdb",
             f"--web.listen-address=127.0.0.1:{self.port}", *args], stdout=self.log, stderr=self.log)

    def query(self, promql, at=None):
        """None while it does not answer."""
        q = urllib.parse.urlencode({"query": promql, **({"time": at} if at else {})})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{q}", timeout=10) as r:
                return json.load(r)["data"]["result"]
        except OSError:
            return None

    def log_text(self):
        return (self.path / "prometheus.log").read_text(errors="replace")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
