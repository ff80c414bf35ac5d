"""What only a disk can do wrong: kills at any line, a full disk, missing rights, odd file systems."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from ingot.errors import StoreError
from ingot.store import local
from ingot.store.local import TMP, LocalStore

# Forks a child per line of the store's code that an operation executes; the child kills itself at that line.
KILLER = """
import os, signal, sys
from pathlib import Path
from ingot.store import local
from ingot.store.local import LocalStore
root, operation = Path(sys.argv[1]), sys.argv[2]
work = {
    "write": lambda store: store.write("a/f", b"new content"),
    "create": lambda store: store.create("b/c/f", b"new content"),
    "swap": lambda store: store.swap("a/f", b"old", b"new content"),
}[operation]
point = 0
while True:
    place = root / str(point)
    store = LocalStore(place)
    if operation != "create":
        store.write("a/f", b"old")
    left = [point]
    def line(frame, event, arg):
        if event == "line":
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        return line
    def call(frame, event, arg):
        return line if frame.f_code.co_filename == local.__file__ else None
    child = os.fork()
    if child == 0:
        sys.settrace(call)
        work(store)
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    point += 1
print(point)
"""


def run(code: str, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("operation", "path"), [("write", "a/f"), ("create", "b/c/f"), ("swap", "a/f")])
def test_killed_at_any_line(tmp_path: Path, operation: str, path: str) -> None:
    points = int(run(KILLER, str(tmp_path), operation))
    assert points > 25
    old = 0
    for point in range(points):
        store = LocalStore(tmp_path / str(point))
        content = store.read(path) if store.exists(path) else b"old"
        assert content in (b"old", b"new content"), point
        old += content == b"old"
        assert store.list() in ([], [path])
        store.clean()
        assert not list((tmp_path / str(point) / TMP).glob("*.part")), "what the dead left can be removed"
        again = {
            "write": lambda s: s.write(path, b"new content"), "create": lambda s: s.create(path, b"new content"),
            "swap": lambda s: s.swap(path, b"old", b"new content"),
        }[operation]  # fmt: skip
        again(store)
        assert store.read(path) == b"new content", "the next run finishes the job"
    assert 0 < old < points, "some points are before the commit, some after"


def test_clean_spares_the_living(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with store.writing("f") as file:
        file.write_bytes(b"content")
        assert LocalStore(tmp_path).clean() == 0
    assert store.read("f") == b"content"


def test_clean_and_delete_race_with_writers(tmp_path: Path) -> None:
    store, done = LocalStore(tmp_path), threading.Event()

    def disturb() -> None:
        while not done.is_set():
            store.clean()
            store.delete("deep/er/f")

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for n in range(40):
            store.write("deep/er/f", b"%d" % n)
            store.create("deep/er/f", b"x")
    finally:
        done.set()
        thread.join()
    store.write("deep/er/f", b"end")
    assert store.read("deep/er/f") == b"end"


FULL = """
import resource, sys
import pyarrow as pa
from ingot.errors import StoreError
from ingot.store.lake import Lake
lake = Lake.open(sys.argv[1], create=True)
lake.store.write("f", b"old")
table = pa.table({"x": pa.array(range(200_000))})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
codes = []
for work in (lambda: lake.store.write("f", b"n" * 200_000), lambda: lake.store.create("g", b"n" * 200_000),
             lambda: lake.store.swap("f", b"old", b"n" * 200_000), lambda: lake.write_parquet("p", table),
             lambda: lake.write_ipc("i", table)):
    try:
        work()
    except StoreError as error:
        codes.append(error.code)
        assert sys.argv[1] in str(error), error
print(*codes, lake.store.read("f"), *lake.store.list(), lake.store.clean())
"""


def test_full_disk(tmp_path: Path) -> None:
    assert run(FULL, str(tmp_path / "lake")) == "E306 E306 E306 E306 E306 b'old' f lake.json 0\n"


DENIED = """
import os, sys
from pathlib import Path
from ingot.errors import StoreError
from ingot.store.local import LocalStore
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
store = LocalStore(Path(sys.argv[1]))
codes = []
for work in (lambda: store.write("a/x", b"1"), lambda: store.read("secret"), lambda: store.create("a/y", b"1"),
             lambda: store.local("closed/f"), lambda: store.list("closed"), lambda: store.delete("secret")):
    try:
        work()
    except StoreError as error:
        codes.append(error.code)
        assert sys.argv[1] in str(error), error
print(*codes)
"""


def test_no_rights() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = LocalStore(folder)
        store.write("secret", b"x")
        store.write("closed/f", b"x")
        (folder / "secret").chmod(0)
        (folder / "closed").chmod(0)
        folder.chmod(0o555)
        for parent in folder.parents:  # nobody must be able to reach it
            if not parent.stat().st_mode & 0o001:
                pytest.skip(f"{parent} is closed to other users")
        source = DENIED.replace("import os, sys", f"import os, sys\nsys.path[:0] = {[p for p in sys.path if p]!r}")
        try:
            done = subprocess.run([sys.executable, "-c", source, name], text=True, capture_output=True, check=False)
        finally:
            folder.chmod(0o755)
            (folder / "closed").chmod(0o755)
        assert done.stdout == "E305 E305 E305 E305 E305 E305\n", done.stderr


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(local.os, "link", link)
    stores = [LocalStore(tmp_path) for _ in range(8)]
    won: list[bool] = []
    threads = [threading.Thread(target=lambda s=s: won.append(s.create("x/y", b"1"))) for s in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]
    assert stores[0].read("x/y") == b"1"


def test_a_held_lock_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOCK_SECONDS", 0.05)
    store = LocalStore(tmp_path)
    store.write("f", b"1")
    with store._lock(), pytest.raises(StoreError, match="E315") as caught:
        LocalStore(tmp_path).swap("f", b"1", b"2")
    assert str(tmp_path) in str(caught.value)
    assert store.read("f") == b"1"
    assert store.swap("f", b"1", b"2")


def test_other_trouble_is_a_store_error_too(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where the lake should be")
    with pytest.raises(StoreError, match="E304|E314"):
        LocalStore(tmp_path / "root").write("a", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="E314"):
        LocalStore(tmp_path).read("folder")


def test_a_library_error_inside_writing_is_not_renamed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), LocalStore(tmp_path).writing("f"):
        raise ValueError("mine")
