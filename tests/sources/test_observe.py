"""What arrives: batches, growth, and the stat cache."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ingot.errors import SourceError
from ingot.sources import observe as module
from ingot.sources.files import FileRef, discover
from ingot.sources.observe import Observation, observe

IDENTITY: dict[str, Any] = {"source": "s", "license": "MIT", "version": 1}
JSONL = {"container": "jsonl", "compression": "plain", "encoding": "utf-8", "ends_with_newline": True}


def look(folder: Path, previous: list[dict[str, Any]] | None = None, **more: Any) -> Observation:
    return observe(discover("*.jsonl", folder), more.pop("identity", IDENTITY), previous=previous or [], **more)


def entries(seen: Observation, **more: Any) -> list[dict[str, Any]]:
    """The `batches` that a snapshot of this observation records."""
    out = []
    for arrival in seen.arrivals:
        lines = Path(arrival.file).read_bytes()[: arrival.size].count(b"\n")
        known = {
            name: getattr(arrival, name) for name in ("uri", "batch", "offset", "size", "sha256", "check", "first_line")
        }
        out.append({**known, **JSONL, "lines": lines, **more})
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_bytes(b"1\n2\n")
    (tmp_path / "b.jsonl").write_bytes(b"3\n")
    return tmp_path


def test_equal_arrivals_are_one_batch(folder: Path) -> None:
    first = look(folder)
    assert look(folder, entries(first)).arrivals == first.arrivals
    assert look(folder, entries(first)).seen == ()
    assert first.seen == (("a.jsonl", "new"), ("b.jsonl", "new"))
    ids = {arrival.batch for arrival in first.arrivals}
    assert len(ids) == 2
    for name in IDENTITY:
        other = look(folder, entries(first), identity={**IDENTITY, name: "other"})
        assert not ids & {arrival.batch for arrival in other.arrivals}
        assert other.seen == (("a.jsonl", "declared differently"), ("b.jsonl", "declared differently"))


def test_a_grown_file_adds_its_new_bytes(folder: Path) -> None:
    first = look(folder)
    with (folder / "a.jsonl").open("ab") as file:
        file.write(b"4\n5")
    second = look(folder, entries(first))
    assert second.arrivals[0] == first.arrivals[0]
    assert second.arrivals[2] == first.arrivals[1]
    new = second.arrivals[1]
    assert (new.uri, new.offset, new.first_line, new.size) == ("a.jsonl", 4, 3, 7)
    assert new.check == sha256(b"4\n5").hexdigest()
    assert second.seen == (("a.jsonl", "grew by 3 bytes"),)
    chain = entries(second)
    assert look(folder, chain).arrivals == second.arrivals


@pytest.mark.parametrize(
    ("change", "entry"),
    [(b"1\n7\n8\n", {}), (b"1\n2\n3\n", {"ends_with_newline": False}), (b"1\n2\n3\n", {"compression": "gzip"}),
     (b"1\n2\n3\n", {"container": "json_array"}), (b"1\n2\n3\n", {"encoding": "utf-16-le"}), (b"1\n", {})],
)  # fmt: skip
def test_any_other_change_is_a_new_batch(folder: Path, change: bytes, entry: dict[str, Any]) -> None:
    first = look(folder)
    (folder / "a.jsonl").write_bytes(change)
    second = look(folder, entries(first, **entry))
    assert [(arrival.uri, arrival.offset) for arrival in second.arrivals] == [("a.jsonl", 0), ("b.jsonl", 0)]
    assert second.arrivals[0].batch != first.arrivals[0].batch
    assert second.seen == (("a.jsonl", "changed"),)


def test_a_file_that_is_gone_drops_out(folder: Path) -> None:
    before = entries(look(folder))
    (folder / "b.jsonl").unlink()
    second = look(folder, before)
    assert [arrival.uri for arrival in second.arrivals] == ["a.jsonl"]
    assert second.seen == (("b.jsonl", "gone"),)


def _age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for file in folder.glob("*.jsonl"):
        os.utime(file, (then, then))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed."""
    names: list[str] = []
    real = module._read

    def spy(ref: FileRef, size: int, mark: int | None) -> Any:
        names.append(ref.uri)
        return real(ref, size, mark)

    monkeypatch.setattr(module, "_read", spy)
    return names


def _settled(cache: dict[str, Any]) -> dict[str, Any]:
    """The cache as if it had been recorded much later than the files' last change (ctime cannot be set)."""
    return {key: {**entry, "recorded_ns": entry["recorded_ns"] + 60_000_000_000} for key, entry in cache.items()}


def test_the_stat_cache_saves_hashing_and_never_lies(folder: Path, hashed: list[str]) -> None:
    first = look(folder)
    assert hashed == ["a.jsonl", "b.jsonl"]
    assert look(folder, cache=first.cache).arrivals == first.arrivals
    assert len(hashed) == 4  # too fresh to be trusted
    cache = _settled(first.cache)
    assert look(folder, cache=cache).arrivals == first.arrivals
    assert len(hashed) == 4
    stat = (folder / "a.jsonl").stat()
    (folder / "a.jsonl").write_bytes(b"9\n9\n")  # the same size
    os.utime(folder / "a.jsonl", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # and the same mtime
    changed = look(folder, cache=cache)
    assert hashed[4:] == ["a.jsonl"]
    assert changed.arrivals[0].sha256 != first.arrivals[0].sha256


def test_growth_is_seen_through_the_cache(folder: Path) -> None:
    first = look(folder)
    with (folder / "a.jsonl").open("ab") as file:
        file.write(b"4\n")
    whole = look(folder)  # another pipeline looked meanwhile and left its cache
    again = look(folder, entries(first), cache=_settled(whole.cache))
    assert [arrival.offset for arrival in again.arrivals if arrival.uri == "a.jsonl"] == [0, 4]


def test_a_file_that_shrinks_while_it_is_read(folder: Path) -> None:
    ref = discover("a.jsonl", folder)[0]
    with pytest.raises(SourceError, match="shorter") as caught:
        module._read(ref, 100, None)
    assert caught.value.code == "E204"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_arrives_as_such(folder: Path) -> None:
    (folder / "a.jsonl").chmod(0)
    arrival = next(one for one in look(folder).arrivals if one.uri == "a.jsonl")
    assert str(arrival.refused).startswith("E202 cannot read 'a.jsonl'")
