"""What every store promises, on a folder and on S3."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import pytest

from ingot.errors import StoreError
from ingot.store.base import Store, open_store
from ingot.store.local import LocalStore


def together(count: int, work: Callable[[int], object]) -> list[object]:
    """Results of work(0), work(1), … begun at the same instant; the first exception is raised."""
    barrier = threading.Barrier(count)
    results: list[object] = [None] * count

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = work(i)
        except Exception as error:  # noqa: BLE001
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(store_url)


def code(work: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        work()
    assert caught.value.next
    return caught.value.code


def test_content_comes_back(store: Store) -> None:
    store.write("a/b.bin", b"one")
    store.write("a/b.bin", b"two two")
    store.write("a/empty", b"")
    assert store.read("a/b.bin") == b"two two"
    assert store.read("a/empty") == b""
    assert (store.size("a/b.bin"), store.size("a/empty")) == (7, 0)
    assert store.exists("a/b.bin")
    assert not store.exists("a/c")
    assert not store.exists("a"), "a folder is not a file"


def test_large_content_is_whole(store: Store) -> None:
    data = bytes(range(256)) * 50_000  # more than one multipart piece
    store.write("big", data)
    with store.writing("streamed") as file:
        file.write_bytes(data)
    assert store.read("big") == store.read("streamed") == store.local("streamed").read_bytes() == data


def test_names_with_spaces_and_accents(store: Store) -> None:
    store.write("a b/ç%20+&=.txt", b"x")
    assert store.list() == ["a b/ç%20+&=.txt"]
    assert store.read("a b/ç%20+&=.txt") == b"x"


def test_list_is_sorted_recursive_and_by_folder(store: Store) -> None:
    for path in ("b/2", "b/10", "b/c/d", "ab/x", "a", "b.txt"):
        store.write(path, b"x")
    assert store.list("b") == ["b/10", "b/2", "b/c/d"]
    assert store.list() == ["a", "ab/x", "b.txt", "b/10", "b/2", "b/c/d"]
    assert store.list("a") == []
    assert store.list("nothing/here") == []


def test_what_is_missing_is_said_to_be(store: Store) -> None:
    for work in (store.read, store.size, store.local, store.open):
        assert code(lambda work=work: work("not/there")) == "E304"
    store.delete("not/there")
    store.write("x", b"1")
    assert code(lambda: store.read("x/below-a-file")) == "E304"


def test_delete(store: Store) -> None:
    store.write("a/b/c", b"1")
    store.write("a/d", b"2")
    store.delete("a/b/c")
    assert store.list() == ["a/d"]
    store.write("a/b/c", b"3")
    assert store.read("a/b/c") == b"3"


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../b", "a//b", "./a", "a/", ".tmp/x", "a\0b"])
def test_paths_stay_inside(store: Store, path: str) -> None:
    assert code(lambda: store.write(path, b"x")) == "E307"
    assert code(lambda: store.read(path)) == "E307"


def test_open_reads_ranges(store: Store) -> None:
    store.write("f", bytes(range(100)))
    with store.open("f") as file:
        assert file.seek(-10, io.SEEK_END) == 90
        assert bytes(file.read(4)) == bytes([90, 91, 92, 93])
        assert file.tell() == 94
        assert file.seek(5) == 5
        assert bytes(file.read(3)) == bytes([5, 6, 7])
        file.seek(98)
        assert bytes(file.read()) == bytes([98, 99])
        assert bytes(file.read(5)) == b""


def test_an_aborted_write_leaves_the_old_content(store: Store) -> None:
    store.write("f", b"old")

    def abort(path: str) -> None:
        with store.writing(path) as file:
            file.write_bytes(b"half")
            raise ZeroDivisionError

    for path in ("f", "g"):
        with pytest.raises(ZeroDivisionError):
            abort(path)
    assert store.read("f") == b"old"
    assert store.list() == ["f"]
    assert store.clean() == 0


def test_create_writes_once(store: Store) -> None:
    assert store.create("a/x", b"1") is True
    assert store.create("a/x", b"2") is False
    assert store.create("a/x", b"1") is False
    assert store.read("a/x") == b"1"
    assert store.list() == ["a/x"]


def test_swap_compares(store: Store) -> None:
    assert store.swap("r", b"0", b"1") is False, "nothing to compare with"
    assert not store.exists("r")
    assert store.swap("r", None, b"1") is True
    assert store.swap("r", None, b"2") is False
    assert store.swap("r", b"0", b"2") is False
    assert store.swap("r", b"1", b"2") is True
    assert store.swap("r", b"1", b"3") is False
    assert store.read("r") == b"2"
    store.delete("r")
    assert store.swap("r", b"2", b"3") is False
    assert store.list() == []


def test_sixteen_creators_one_winner(store_url: str) -> None:
    stores = [open_store(store_url) for _ in range(16)]
    for n in range(3):
        won = together(16, lambda i, n=n: stores[i].create(f"claim/{n}", b"%d" % i))
        assert won.count(True) == 1
        assert stores[0].read(f"claim/{n}") == b"%d" % won.index(True)


def test_eight_writers_lose_no_swap(store_url: str) -> None:
    open_store(store_url).write("counter", b"")

    def work(i: int) -> int:
        store, tries = open_store(store_url), 0
        for n in range(5):
            while True:
                tries += 1
                old = store.read("counter")
                if store.swap("counter", old, old + b"%d-%d\n" % (i, n)):
                    break
        return tries

    tries = together(8, work)
    lines = open_store(store_url).read("counter").decode().splitlines()
    assert len(lines) == 40
    assert set(lines) == {f"{i}-{n}" for i in range(8) for n in range(5)}
    assert sum(int(str(n)) for n in tries) >= 40
    for i in range(8):
        assert [line for line in lines if line.startswith(f"{i}-")] == [f"{i}-{n}" for n in range(5)]


def test_a_reader_never_sees_a_part(store: Store) -> None:
    contents = [b"a" * 300_000, b"b" * 200_000]
    store.write("f", contents[0])
    done = threading.Event()
    seen: list[bool] = []

    def read() -> None:
        reader = open_store(store.url)
        while not done.is_set():
            seen.append(reader.read("f") in contents)

    thread = threading.Thread(target=read)
    thread.start()
    for n in range(20):
        store.write("f", contents[n % 2])
    done.set()
    thread.join()
    assert seen
    assert all(seen)


def test_open_store_takes_urls(tmp_path) -> None:
    for url in (str(tmp_path / "a b"), f"file://{tmp_path}/a%20b", f"file://localhost{tmp_path}/a%20b"):
        store = open_store(url)
        assert isinstance(store, LocalStore)
        assert store.url == str(tmp_path / "a b")


@pytest.mark.parametrize("url", ["", "http://x/y", "ftp://x", "file://elsewhere/x", "s3://", "hdfs://a/b"])
def test_open_store_refuses(url: str) -> None:
    assert code(lambda: open_store(url)) == "E307"
