import concurrent.futures
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from node import Cluster, Node  # noqa: E402

BACKENDS = ["io_uring", "epoll"]


def pytest_addoption(parser):
    parser.addoption("--backend", choices=[*BACKENDS, "none"], help="only the tests on this one, or those that have none")


def pytest_collection_modifyitems(config, items):
    only = config.getoption("--backend")
    if only:
        def backend_of(item):
            return getattr(item, "callspec", None) and item.callspec.params.get("backend") or "none"
        config.hook.pytest_deselected(items=[i for i in items if backend_of(i) != only])
        items[:] = [i for i in items if backend_of(i) == only]


def uring_works():
    """Asks the binary itself: a forced io_uring node says why it cannot."""
    import tempfile
    with tempfile.TemporaryDirectory() as d:
        node = Node(os.path.join(d, "n"), backend="io_uring")
        try:
            node.start()
            return ""
        except RuntimeError as e:
            return str(e)
        finally:
            if node.process and node.process.poll() is None:
                node.stop()


@pytest.fixture(scope="session")
def uring_reason():
    return uring_works()


@pytest.fixture(params=BACKENDS)
def backend(request, uring_reason):
    if request.param == "io_uring" and uring_reason:
        pytest.skip("io_uring is refused here: " + uring_reason.strip().split("\n")[-1])
    return request.param


@pytest.fixture
def make_node(tmp_path, backend):
    """Makes nodes on the backend under test; all are stopped at the end, and must stop cleanly."""
    made = []

    def make(name="data", **kw):
        node = Node(tmp_path / name, backend=kw.pop("backend", backend), **kw)
        made.append(node)
        return node
    yield make
    for node in made:
        if node.process and node.process.poll() is None:
            assert node.stop() == 0, node.log_text()[-3000:]


@pytest.fixture
def make_cluster(tmp_path, uring_reason):
    """Clusters of small nodes of both backends, or of one where io_uring is refused; all must stop cleanly."""
    made = []

    def make(n=3, name="cluster", args=(), **kw):
        (tmp_path / name).mkdir()
        small = ["--set", "node.cores=1", "--set", "storage.ballast=0"]
        made.append(Cluster(tmp_path / name, n, backends=("epoll",) if uring_reason else ("io_uring", "epoll"), args=[*small, *args], **kw))
        return made[-1]
    yield make
    for c in made:
        with c, concurrent.futures.ThreadPoolExecutor() as pool:
            running = c.running()
            for node, status in zip(running, pool.map(Node.stop, running)):
                assert status == 0, node.log_text()[-3000:]


@pytest.fixture
def three(make_cluster):
    return make_cluster().start()


@pytest.fixture
def node(make_node):
    return make_node().start()


@pytest.fixture(scope="session")
def moto():
    """An S3 server for all tests; each has a prefix of its own in it."""
    from bucket import Moto
    m = Moto()
    yield m
    m.stop()


@pytest.fixture
def bucket(moto, request):
    import re

    from bucket import Bucket
    b = Bucket(moto, re.sub(r"[^a-z0-9_]+", "-", request.node.name.lower()).strip("-"))
    yield b
    b.stop()
