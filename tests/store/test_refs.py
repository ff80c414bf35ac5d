"""Refs: one name, moved by one run at a time, with a history that survives a kill at any point."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ingot.errors import StoreError
from ingot.store.base import Store
from ingot.store.lake import Lake
from ingot.store.refs import Refs

NODE = "gold.train"
IDS = [f"{n}{'abcdef'[n]}" * 16 for n in range(6)]


@pytest.fixture
def lake(store_url: str) -> Lake:
    return Lake.open(store_url, create=True)


def moved(lake: Lake, *ids: str) -> Refs:
    refs = Refs(lake)
    for before, after in zip([None, *ids], ids, strict=False):
        refs.move(NODE, after, expect=before)
    return refs


def test_moves_and_history(lake: Lake) -> None:
    refs = Refs(lake)
    assert refs.get(NODE) is None
    assert refs.history(NODE) == []
    assert refs.names() == []
    moved(lake, IDS[0], IDS[1], IDS[0])
    assert refs.get(NODE) == IDS[0]
    assert refs.history(NODE) == [
        {"n": 1, "id": IDS[0], "previous": None}, {"n": 2, "id": IDS[1], "previous": IDS[0]},
        {"n": 3, "id": IDS[0], "previous": IDS[1]},
    ]  # fmt: skip
    refs.move("silver.clean", IDS[2], expect=None)
    assert refs.names() == [NODE, "silver.clean"]
    assert lake.store.read(f"refs/{NODE}").decode() == f"{IDS[0]} 3\n"
    assert lake.store.read(f"refs/{NODE}.log").decode().splitlines()[1] == f"2 {IDS[1]} {IDS[0]}"


def test_a_move_to_where_it_is_changes_nothing(lake: Lake) -> None:
    refs, before = moved(lake, IDS[0], IDS[1]), lake.store.list()
    content = [lake.store.read(path) for path in before]
    refs.move(NODE, IDS[1], expect=IDS[1])
    refs.move(NODE, IDS[1], expect=IDS[0])  # our own move whose answer was lost
    assert [lake.store.read(path) for path in lake.store.list()] == content


@pytest.mark.parametrize("expect", [None, IDS[0], IDS[3]])
def test_a_move_from_elsewhere_is_refused(lake: Lake, expect: str | None) -> None:
    refs = moved(lake, IDS[0], IDS[1])
    with pytest.raises(StoreError, match=f"E310.*{IDS[1]}"):
        refs.move(NODE, IDS[2], expect=expect)
    assert refs.get(NODE) == IDS[1]
    assert len(refs.history(NODE)) == 2
    with pytest.raises(StoreError, match="E310"):
        refs.move("gold.other", IDS[2], expect=IDS[0])
    assert refs.get("gold.other") is None


def test_resolve(lake: Lake) -> None:
    refs = moved(lake, IDS[0], IDS[1], "1b2" + IDS[2][3:], IDS[1])
    assert refs.resolve(NODE) == IDS[1]
    assert [refs.resolve(f"{NODE}@{n}") for n in (1, 2, 3, 4)] == [IDS[0], IDS[1], "1b2" + IDS[2][3:], IDS[1]]
    assert refs.resolve(f"{NODE}@0a") == IDS[0]
    assert refs.resolve(f"{NODE}@{IDS[1]}") == IDS[1]
    assert refs.resolve(f"{NODE}@1b1") == IDS[1], "the same id twice in the history is one version"
    for version in ("0", "5", "1b", "ff", "", "-1"):
        with pytest.raises(StoreError, match="E317"):
            refs.resolve(f"{NODE}@{version}")
    with pytest.raises(StoreError, match=r"E311.*'gold.nope'.*gold\.train"):
        refs.resolve("gold.nope")


def test_long_digits_are_the_beginning_of_an_id(lake: Lake) -> None:
    refs = moved(lake, "12345678" + "a" * 24, IDS[1])
    assert refs.resolve(f"{NODE}@1234567") == "12345678" + "a" * 24


@pytest.mark.parametrize("name", ["", "a/b", "../x", "x.log", ".hidden", "a b", "@"])
def test_names(lake: Lake, name: str) -> None:
    with pytest.raises(StoreError, match="E307"):
        Refs(lake).move(name, IDS[0], expect=None)
    with pytest.raises(StoreError, match="E307"):
        Refs(lake).move(NODE, name, expect=None)


@pytest.mark.parametrize("text", [b"", b"one", b"a b", b"a 1 2", b"a\x00 1", b"\xff 1"])
def test_a_damaged_ref_is_named(lake: Lake, text: bytes) -> None:
    refs = moved(lake, IDS[0])
    lake.store.write(f"refs/{NODE}", text)
    for work in (lambda: refs.get(NODE), lambda: refs.move(NODE, IDS[1], expect=IDS[0]), lambda: refs.history(NODE)):
        with pytest.raises(StoreError, match=f"E313.*refs/{NODE}"):
            work()


@pytest.mark.parametrize("log", [b"1 a\n", b"2 a -\n", b"1 a -\n3 b a\n", None])
def test_a_damaged_log_is_named(lake: Lake, log: bytes | None) -> None:
    refs = moved(lake, IDS[0], IDS[1], IDS[2])
    if log is None:
        lake.store.delete(f"refs/{NODE}.log")
    else:
        lake.store.write(f"refs/{NODE}.log", log)
    with pytest.raises(StoreError, match="E313"):
        refs.move(NODE, IDS[3], expect=IDS[2])
    assert refs.get(NODE) == IDS[2], "the name itself still works"


def test_concurrent_movers_one_wins_each_round(store_url: str) -> None:
    Lake.open(store_url, create=True)
    count, rounds = 6, 3
    barrier, outcomes = threading.Barrier(count), []

    def work(i: int) -> None:
        refs = Refs(Lake(store_url))
        for n in range(rounds):
            barrier.wait()
            before = refs.get(NODE)
            barrier.wait()
            try:
                refs.move(NODE, f"{n}x{i}", expect=before)
                outcomes.append((n, f"{n}x{i}"))
            except StoreError as error:
                outcomes.append((n, error.code))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == count * rounds
    winners = []
    for n in range(rounds):
        results = sorted(result for at, result in outcomes if at == n)
        assert results.count("E310") == count - 1
        winners += [result for result in results if result != "E310"]
    history = Refs(Lake(store_url)).history(NODE)
    assert [move["id"] for move in history] == winners
    assert [move["previous"] for move in history] == [None, *winners[:-1]]


def test_concurrent_movers_that_try_again_lose_nothing(store_url: str) -> None:
    Lake.open(store_url, create=True)

    def work(i: int) -> None:
        refs = Refs(Lake(store_url))
        for n in range(4):
            while True:
                try:
                    refs.move(NODE, f"m{i}-{n}", expect=refs.get(NODE))
                    break
                except StoreError as error:
                    if error.code != "E310":
                        raise

    threads = [threading.Thread(target=work, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = Refs(Lake(store_url)).history(NODE)
    ids = [move["id"] for move in history]
    assert sorted(map(str, ids)) == sorted(f"m{i}-{n}" for i in range(5) for n in range(4))
    assert [move["previous"] for move in history] == [None, *ids[:-1]]


class Dying:
    """A store whose process dies just before or just after its n-th swap."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store, self._at, self._after = store, at, after

    def swap(self, path: str, old: bytes | None, new: bytes) -> bool:
        self._at -= 1
        if self._at == 0 and not self._after:
            raise KeyboardInterrupt
        done = self._store.swap(path, old, new)
        if self._at == 0:
            raise KeyboardInterrupt
        return done

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize("start", [[], IDS[:1], IDS[:2]])
@pytest.mark.parametrize(("at", "after"), [(1, False), (1, True), (2, False), (2, True)])
def test_death_between_the_two_writes(lake: Lake, start: list[str], at: int, after: bool) -> None:
    moved(lake, *start)
    before = start[-1] if start else None
    dying = Refs(lake)
    dying._store = Dying(lake.store, at, after=after)
    with pytest.raises(KeyboardInterrupt):
        dying.move(NODE, IDS[4], expect=before)
    refs, happened = Refs(lake), (at, after) != (1, False)
    now = [*start, IDS[4]] if happened else start
    assert refs.get(NODE) == (now[-1] if now else None)
    assert [move["id"] for move in refs.history(NODE)] == now
    refs.move(NODE, IDS[5], expect=refs.get(NODE))
    assert [move["id"] for move in refs.history(NODE)] == [*now, IDS[5]]
    assert len(lake.store.read(f"refs/{NODE}.log").splitlines()) == len(now) + 1, "the next move repaired the log"


# As in test_local: one child per executed line of refs.py and local.py, killed there.
KILLER = """
import os, signal, sys
from ingot.store import local, refs
from ingot.store.lake import Lake
point = 0
while True:
    lake = Lake.open(f"{sys.argv[1]}/{point}", create=True)
    refs.Refs(lake).move("a.b", "one", expect=None)
    left = [point]
    def line(frame, event, arg):
        if event == "line":
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        return line
    def call(frame, event, arg):
        return line if frame.f_code.co_filename in (local.__file__, refs.__file__) else None
    child = os.fork()
    if child == 0:
        sys.settrace(call)
        refs.Refs(lake).move("a.b", "two", expect="one")
        sys.settrace(None)
        os._exit(0)
    if os.WIFEXITED(os.waitpid(child, 0)[1]):
        break
    point += 7
print(point)
"""


def test_killed_at_many_lines(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path)], env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    states = []
    for point in range(0, int(done.stdout), 7):
        refs = Refs(Lake.open(str(tmp_path / str(point))))
        states.append(refs.get("a.b"))
        assert [move["id"] for move in refs.history("a.b")] == (["one", "two"] if states[-1] == "two" else ["one"])
        refs.move("a.b", "three", expect=states[-1])
        assert [move["id"] for move in refs.history("a.b")][-1] == "three"
    assert set(states) == {"one", "two"}
    assert states == sorted(states), "once moved, moved"
