#!/usr/bin/env python3
"""Runs a command with three nodes that know each other: {write} in it is the base URL of the first one's Prometheus API, {read}
that of the second. Usage: on_cluster.py REPLICAS COMMAND...   With one replica every row lies on one node alone, and every query
that reads much asks all of them; with three, any node can answer by itself. Standard library only."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from node import Cluster  # noqa: E402


def main():
    replicas = int(sys.argv[1])
    args = ["--set", "node.cores=1", "--set", "storage.ballast=0", "--set", f"cluster.replicas={replicas}",
            "--set", f"cluster.write_quorum={min(2, replicas)}"]
    with tempfile.TemporaryDirectory() as folder, Cluster(folder, 3, backends=("auto", "epoll", "auto"), args=args) as c:
        c.start()
        command = [a.format(write=c[0].url("prom"), read=c[1].url("prom")) for a in sys.argv[2:]]
        return subprocess.run(command, timeout=300).returncode


sys.exit(main())
