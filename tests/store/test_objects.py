"""What only an object store can do wrong: ignored conditions, conflicts, credentials, a network, a stale cache."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, PreconditionError

from ingot.errors import StoreError
from ingot.store import objects
from ingot.store.base import open_store
from ingot.store.objects import ObjectStore


@pytest.fixture
def store(s3_store_url: str) -> ObjectStore:
    found = open_store(s3_store_url)
    assert isinstance(found, ObjectStore)
    return found


@pytest.mark.parametrize(("ignored", "what"), [("create", "put-if-absent"), ("e_tag", "compare-and-swap")])
def test_a_store_that_ignores_conditions_is_refused(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, ignored: str, what: str
) -> None:
    put = obstore.put

    def careless(client: Any, path: str, data: bytes, *, mode: Any = None, **options: Any) -> Any:
        known = mode != "create" if ignored == "create" else not isinstance(mode, dict)
        return put(client, path, data, mode=mode if known else "overwrite", **options)

    monkeypatch.setattr(objects.obstore, "put", careless)
    for work in (lambda: store.create("refs/a", b"1"), lambda: store.swap("refs/a", None, b"1")):
        with pytest.raises(StoreError, match=f"E308.*{what}"):
            work()
    assert store.list() == []
    store.write("plain", b"writes need no conditions")
    assert store.read("plain") == b"writes need no conditions"


def test_the_probe_runs_once(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    puts: list[str] = []
    put = obstore.put

    def counting(client: Any, path: str, *rest: Any, **options: Any) -> Any:
        puts.append(path)
        return put(client, path, *rest, **options)

    monkeypatch.setattr(objects.obstore, "put", counting)
    assert store.create("a", b"1")
    assert store.create("b", b"1")
    assert [path for path in puts if not path.startswith(".tmp/")] == ["a", "b"]
    assert sum(path.startswith(".tmp/") for path in puts) == 4
    assert store.clean() == 0, "the probe cleans up"


def test_conflicts_without_a_winner_are_tried_again(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers 409 while another conditional request is under way, whether or not that one succeeds."""
    assert store.create("there", b"old")
    left = {"create": 2, "swap": 2}
    put = obstore.put

    def contended(client: Any, path: str, data: bytes, *, mode: Any = None, **options: Any) -> Any:
        kind = "create" if mode == "create" else "swap"
        if left[kind]:
            left[kind] -= 1
            raise (AlreadyExistsError if kind == "create" else PreconditionError)("409 ConditionalRequestConflict")
        return put(client, path, data, mode=mode, **options)

    monkeypatch.setattr(objects.obstore, "put", contended)
    assert store.create("new", b"1") is True
    assert store.swap("there", b"old", b"new") is True
    assert left == {"create": 0, "swap": 0}
    assert (store.read("new"), store.read("there")) == (b"1", b"new")
    left["create"] = left["swap"] = objects.ATTEMPTS
    monkeypatch.setattr(objects.time, "sleep", lambda _: None)
    for work in (lambda: store.create("never", b"1"), lambda: store.swap("there", b"new", b"x")):
        with pytest.raises(StoreError, match="E314"):
            work()


def test_local_copies_follow_the_content(store: ObjectStore, tmp_path: Path) -> None:
    store.write("a/f.arrow", b"one")
    first = store.local("a/f.arrow")
    assert first.is_relative_to(tmp_path / "cache")
    assert first.name.endswith("f.arrow")
    assert store.local("a/f.arrow") == first
    store.write("a/f.arrow", b"two")
    second = store.local("a/f.arrow")
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    second.write_bytes(b"t")  # cut short by a crash of the machine
    assert store.local("a/f.arrow").read_bytes() == b"two"


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path / "own"))
    assert objects.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("INGOT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert objects.cache_folder() == tmp_path / "xdg" / "ingot"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert objects.cache_folder() == tmp_path / ".cache" / "ingot"


def test_a_bucket_that_does_not_exist(store: ObjectStore) -> None:
    other = ObjectStore("s3://no-such-bucket/x")
    works = (lambda: other.read("a"), lambda: other.write("a", b"1"), lambda: other.create("a", b"1"), other.list)
    for work in works:
        with pytest.raises(StoreError, match="E304.*bucket does not exist"):
            work()


class Refusal(http.server.BaseHTTPRequestHandler):
    status = 403

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INGOT_CACHE_DIR", str(tmp_path))
    yield endpoint
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("status", "code"), [(403, "E305"), (401, "E309"), (400, "E314")])
def test_refusals_by_the_server(refusing: str, monkeypatch: pytest.MonkeyPatch, status: int, code: str) -> None:
    monkeypatch.setattr(Refusal, "status", status)
    store = ObjectStore("s3://bucket/prefix")
    for work in (
        lambda: store.read("a"), lambda: store.exists("a"), lambda: store.write("a", b"1"), store.list,
        lambda: store.local("a"), lambda: store.create("a", b"1"), lambda: store.delete("a"),
    ):  # fmt: skip
        with pytest.raises(StoreError) as caught:
            work()
        assert caught.value.code == code, str(caught.value)
        assert "s3://bucket/prefix" in str(caught.value)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_no_credentials_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(StoreError, match="E309"):
        ObjectStore("s3://bucket/prefix").read("a")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setattr(objects, "RETRIES", 1)
    with pytest.raises(StoreError, match="E314"):
        ObjectStore("s3://bucket/prefix").read("a")
