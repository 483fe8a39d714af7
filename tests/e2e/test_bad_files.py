"""What a node finds in its data directory when it starts, and what it is not allowed: damaged, missing, foreign, forbidden. It says
which file, what is wrong and what to do; it works without what it can do without, and deletes nothing that it does not understand."""
import glob
import os
import shutil
import socket
import subprocess
import time

import pytest
from node import Node, PORTS, eventually
from test_disk import count, metric, segments, send, small_disk

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
ARGS = ["--set", "node.cores=1", "--set", "storage.memory=64MiB", "--set", "storage.ballast=0", "--set", "storage.merge=false"]


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A data directory with rows 0-4 in segments and 5-9 in a log; it is copied, never started."""
    home = tmp_path_factory.mktemp("lived")
    node = Node(home / "data", args=ARGS + ["--set", "storage.seal_age=200ms"]).start()
    for n in range(5):
        assert send(node, n).status == 200
        time.sleep(0.25)
    assert eventually(lambda: segments(node) and metric(node, "tercet_memtable_bytes") < 1000)
    node.stop()
    node.args = ARGS
    node.start()
    for n in range(5, 10):
        assert send(node, n).status == 200
    node.kill()
    return home / "data"


@pytest.fixture
def copy(lived, tmp_path):
    """Of either backend, whichever is to be had: what is tested here is above them."""
    node = Node(tmp_path / "copy", args=ARGS)
    shutil.copytree(lived, node.data)
    yield node
    if node.process and node.process.poll() is None:
        assert node.stop() == 0


def refused(node, *words):
    with pytest.raises(RuntimeError, match="node exited with [12]:") as said:
        node.start()
    for word in words:
        assert word in str(said.value), (word, said.value)


def flip(path, at, bits=0xff):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ bits]))


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def into_dir(path):
    os.unlink(path)
    os.mkdir(path)


def into_link(path):
    os.unlink(path)
    os.symlink("/nowhere/at/all", path)


def log_file(node):
    return max(glob.glob(node.data + "/wal/*/*.wal"), key=os.path.getsize)


# -- the catalog ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("hurt,says", [
    (lambda c: shutil.rmtree(c), "is empty, and"),
    (lambda c: cut(glob.glob(c + "/MANIFEST*")[0]), "is empty, and"),
    (lambda c: os.unlink(c + "/CURRENT"), "catalog: "),
    (lambda c: [os.unlink(p) for p in glob.glob(c + "/*.sst")], "No such file"),
    (lambda c: [flip(p, 40) for p in glob.glob(c + "/*.sst")], "checksum"),
    (lambda c: (shutil.rmtree(c), open(c, "w").close()), "not a directory"),
], ids=["missing", "cut short", "no CURRENT", "no table", "rotten", "a file"])
def test_catalog(copy, lived, hurt, says):
    hurt(copy.data + "/catalog")
    files = segments(copy)
    assert files
    refused(copy, says, copy.data + "/catalog", "put", "back from a copy")
    refused(copy, copy.data + "/catalog")  # nor the second time
    assert segments(copy) == files
    shutil.rmtree(copy.data + "/catalog", ignore_errors=True)
    if os.path.exists(copy.data + "/catalog"):
        os.unlink(copy.data + "/catalog")
    shutil.copytree(str(lived) + "/catalog", copy.data + "/catalog")
    copy.start()
    assert count(copy) == 10


def test_catalog_of_yesterday(copy):
    """An older catalog was put back: what it does not know of is kept aside, not deleted."""
    older = copy.data + ".catalog"
    shutil.copytree(copy.data + "/catalog", older)
    copy.args = ARGS + ["--set", "storage.seal_age=200ms"]
    copy.start()
    for n in range(10, 15):
        assert send(copy, n).status == 200
    assert eventually(lambda: metric(copy, "tercet_memtable_bytes") < 1000)
    time.sleep(1)
    copy.args = ARGS
    copy.stop()
    copy.start()
    assert send(copy, 15).status == 200
    copy.kill()
    before = {os.path.basename(p): os.path.getsize(p) for p in segments(copy)}
    newer = copy.data + ".newer"
    shutil.move(copy.data + "/catalog", newer)
    shutil.copytree(older, copy.data + "/catalog")
    copy.start()
    assert "store.orphan_kept" in copy.log_text() and "put the right one in its place" in copy.log_text()
    after = {os.path.basename(p): os.path.getsize(p) for p in segments(copy) + glob.glob(copy.data + "/bad/*.seg")}
    assert before.items() <= after.items()
    copy.kill()
    shutil.rmtree(copy.data + "/catalog")
    shutil.move(newer, copy.data + "/catalog")
    for path in glob.glob(copy.data + "/bad/*.seg"):
        shutil.move(path, copy.data + "/seg/")
    copy.start()
    assert count(copy) == 16


# -- segments ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("hurt,says", [
    (os.unlink, "no such file"), (lambda p: os.truncate(p, 0), "0 bytes"), (cut, "bytes, the catalog says"), (into_dir, "catalog says"),
    (into_link, "no such file"), (lambda p: flip(p, os.path.getsize(p) - 16, 0x40), "version"),
    (lambda p: flip(p, os.path.getsize(p) - 2), ""), (lambda p: os.chmod(p, 0), "Permission denied"),
], ids=["missing", "empty", "cut short", "a directory", "a link to nowhere", "another version", "rotten", "forbidden"])
def test_segment(copy, hurt, says):
    victim = segments(copy)[0]
    hurt(victim)
    if os.geteuid() == 0:  # root may read everything
        subprocess.run(["chown", "-R", "65534:65534", copy.data], check=True)
        home = copy.data
        while home != "/" and not os.stat(home).st_mode & 0o001 or home == copy.data:
            os.chmod(home, os.stat(home).st_mode | 0o055)
            home = os.path.dirname(home)
        copy.wrap = NOBODY
    copy.start()
    lost = copy.get("prom", "/readyz").json["lost"]
    assert os.path.basename(victim) in lost and says in lost, lost
    assert "segment.lost" in copy.log_text() and "put the file back" in copy.log_text()
    got = copy.logs("service_name:disk", max_hits=0)
    assert 5 <= got["num_hits"] < 10 and "cannot be read" in str(got["errors"])
    assert send(copy, 20).status == 200 and copy.stop() == 0


# -- the log ----------------------------------------------------------------------------------------------------------

def test_log_with_rot_in_its_middle(copy):
    path = log_file(copy)
    with open(path, "rb") as f:
        data = f.read()
    at = [i for i in range(4096, len(data), 4096) if any(data[i:i + 64])]
    assert len(at) >= 3
    flip(path, at[1] + 100)
    copy.start()
    log = copy.log_text()
    assert "wal.corrupt" in log and path in log and "the file is copied to" in log
    assert 7 <= count(copy) < 10 and glob.glob(copy.data + "/bad/*")
    assert send(copy, 20).status == 200


@pytest.mark.parametrize("hurt,says", [
    (into_dir, ["Is a directory"]), (lambda p: (os.unlink(p), os.symlink("/nowhere/at/all", p)), ["no such file"]),
], ids=["a directory", "a link to nowhere"])
def test_log(copy, hurt, says):
    path = log_file(copy)
    shutil.copy(path, copy.data + ".log-copy")
    hurt(path)
    refused(copy, path, *says)
    if os.path.islink(path):
        os.unlink(path)
    else:
        os.rmdir(path)
    shutil.copy(copy.data + ".log-copy", path)
    copy.start()
    assert count(copy) == 10


# -- what the process may ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("which,says", [
    ("", "cannot be written (Permission denied)"), ("/catalog", "/catalog"), ("/wal/0", "Permission denied"), ("/seg", "Permission denied"),
], ids=["all", "the catalog", "the log", "segments"])
def test_no_permission(copy, which, says):
    if os.geteuid() != 0:
        pytest.skip("needs root, to give files to somebody else")
    subprocess.run(["chown", "-R", "65534:65534", copy.data], check=True)
    home = os.path.dirname(copy.data)
    while home != "/":
        os.chmod(home, os.stat(home).st_mode | 0o055)
        home = os.path.dirname(home)
    subprocess.run(["chown", "-R", "0:0", copy.data + which], check=True)
    subprocess.run(["chmod", "-R", "go=", copy.data + which], check=True)
    copy.wrap = NOBODY
    refused(copy, says, copy.data)
    copy.wrap = []
    copy.start()
    assert count(copy) == 10


@pytest.mark.parametrize("limit,says", [("-n 100", "ulimit -n"), ("-f 1000", "ulimit -f"), ("-v 400000", "ulimit -v")])
def test_limits_that_are_too_small(copy, limit, says):
    copy.wrap = ["bash", "-c", f'ulimit {limit}; exec "$@"', "--"]
    refused(copy, says, "at least")
    copy.wrap = []
    copy.start()
    assert count(copy) == 10


def test_no_file_descriptor_is_left(copy):
    copy.wrap = ["bash", "-c", 'ulimit -n 260; exec "$@"', "--"]
    copy.start()
    crowd = []
    for _ in range(400):
        s = socket.socket()
        s.settimeout(0.2)
        try:
            s.connect(("127.0.0.1", PORTS["otlp"] + copy.offset))
            crowd.append(s)
        except OSError:
            s.close()
    time.sleep(1.5)
    for s in crowd:
        s.close()
    assert eventually(lambda: send(copy, 10).status == 200)
    assert count(copy) == 11 and "lost" not in copy.get("prom", "/readyz").json
    assert copy.stop() == 0


# -- a disk that turns read-only --------------------------------------------------------------------------------------

def test_turns_read_only_while_running(make_node, tmp_path):
    """As ext4 does when it meets an error."""
    image, home = tmp_path / "image", tmp_path / "ext4"
    home.mkdir()
    with open(image, "wb") as f:
        f.truncate(256 << 20)
    if os.geteuid() != 0 or subprocess.run(["mkfs.ext4", "-q", str(image)]).returncode or subprocess.run(
            ["mount", "-o", "loop,errors=remount-ro", str(image), str(home)]).returncode:
        pytest.skip("cannot mount an ext4 (needs root and a loop device)")
    try:
        device = subprocess.run(["findmnt", "-no", "SOURCE", str(home)], capture_output=True, text=True).stdout.strip()
        trigger = f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error"
        if not os.path.exists(trigger):
            pytest.skip("this kernel cannot be told to meet an error")
        node = make_node("ext4/data", args=["--set", "node.cores=1", "--set", "storage.memory=16MiB"])
        node.log_path = str(tmp_path / "node.log")
        node.start()
        acked = 0
        for n in range(20):
            acked += send(node, n).status == 200
        assert acked == 20
        with open(trigger, "w") as f:
            f.write("tercet's test")
        try:
            a = send(node, 20)
            assert a.status in (500, 503) and a.body, a
        except OSError:
            pass
        assert node.process.wait(20) not in (0, None)
        assert "Read-only file system" in node.log_text() and str(home) in node.log_text()
        subprocess.run(["umount", str(home)], check=True)
        subprocess.run(["e2fsck", "-fy", str(image)], capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(home)], check=True)
        node.start()
        assert acked <= count(node) <= acked + 1
        node.stop()
    finally:
        subprocess.run(["umount", "-l", str(home)])


def test_starts_without_write_access_to_the_disk(make_node, tmp_path, lived):
    with small_disk(tmp_path, 100) as small:
        node = make_node("small/data", args=ARGS)
        node.log_path = str(tmp_path / "node.log")
        shutil.copytree(lived, node.data)
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        refused(node, "cannot be written (Read-only file system): mount it read-write")
        subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
        node.start()
        assert count(node) == 10
        node.stop()
