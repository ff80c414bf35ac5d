"""What is there now: the sha256 of every file, and the batches that follow from it and from what arrived before.

Guarantee: a batch's id is the digest of what arrived and how it was declared, so equal arrivals are one batch. A file
that only grew (JSON Lines, not compressed, its old bytes unchanged and ending in a newline) keeps its batches and adds
one for the new bytes; any other change is a new batch of the whole file.
A file that cannot be read is an arrival too, of one row that says so.
A stat cache saves hashing: an entry counts when size, mtime, ctime and inode are the same and the file was at rest for
two seconds when it was recorded (a change within the clock's resolution would show nowhere else).
Cost: one sha256 of each new file (1.5 GB/s on one core); one stat of each file in the cache.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ingot.core.fingerprint import fingerprint
from ingot.core.task import Json
from ingot.errors import SourceError
from ingot.sources.files import UNREADABLE, FileRef
from ingot.sources.streams import CHUNK, Meter, open_raw, scheme, unreadable

RACY_NS = 2_000_000_000
_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One batch: bytes offset..size of a file whose first `size` bytes have this sha256.

    check: sha256 of the bytes offset..size; first_line: number of the first line in them; refused: why the file cannot
    be read, then sha256 stands for that sentence.
    """

    file: str
    uri: str
    batch: str
    sha256: str
    check: str
    size: int
    offset: int = 0
    first_line: int = 1
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """arrivals: by (uri, offset); cache: the stat cache to keep; seen: what became of each file, for the plan."""

    arrivals: tuple[Arrival, ...]
    cache: Json
    seen: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hashed:
    """Digests of a file: the whole, the first `mark` bytes, the bytes behind."""

    size: int
    whole: str
    head: str | None = None
    tail: str | None = None
    refused: str | None = None
    entry: Json = field(default_factory=dict)


def batch_id(identity: Json, uri: str, digest: str, offset: int) -> str:
    """The identity of an arrival. identity: source, license, origin, source_meta, options and the ingest version."""
    return fingerprint({**identity, "uri": uri, "sha256": digest, "offset": offset})


def observe(
    files: Sequence[FileRef], identity: Json, *, previous: Sequence[Json] = (), cache: Mapping[str, Json] | None = None
) -> Observation:
    """Look at every file. previous: the `batches` that the node's current snapshot recorded."""
    known = cache or {}
    before: dict[str, list[Json]] = {}
    for entry in sorted(previous, key=lambda entry: (entry["uri"], entry["offset"])):
        before.setdefault(entry["uri"], []).append(entry)
    chains = {uri: chain for uri, chain in before.items() if _ours(chain, identity)}
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        hashed = list(pool.map(lambda ref: _look(ref, known, before.get(ref.uri), chains.get(ref.uri)), files))
    arrivals: list[Arrival] = []
    seen = []
    for ref, found in zip(files, hashed, strict=True):
        arrived, what = _arrivals(ref, found, chains.get(ref.uri), identity)
        arrivals += arrived
        if what == "new" and ref.uri in before:
            what = "declared differently" if before[ref.uri][-1]["sha256"] == found.whole else "changed"
        if what:
            seen.append((ref.uri, what))
    present = {ref.uri for ref in files}
    seen += [(uri, "gone") for uri in sorted(before.keys() - present)]
    kept = {_key(ref): found.entry for ref, found in zip(files, hashed, strict=True) if found.entry}
    return Observation(arrivals=tuple(arrivals), cache=dict(sorted(kept.items())), seen=tuple(seen))


def _ours(chain: Sequence[Json], identity: Json) -> bool:
    """The batches were declared as they are now, so they can be kept and built upon."""
    return all(batch_id(identity, e["uri"], e["sha256"], e["offset"]) == e["batch"] for e in chain)


def _arrivals(
    ref: FileRef, found: _Hashed, chain: Sequence[Json] | None, identity: Json
) -> tuple[list[Arrival], str | None]:
    """The batches of one file, and what is new about it."""
    if chain and found.refused is None and (found.whole == chain[-1]["sha256"] or _grown(found, chain[-1])):
        kept = [_kept(ref, entry) for entry in chain]
        if found.whole == chain[-1]["sha256"]:
            return kept, None
        last = chain[-1]
        new = Arrival(
            file=ref.file, uri=ref.uri, batch=batch_id(identity, ref.uri, found.whole, last["size"]),
            sha256=found.whole, check=str(found.tail), size=found.size, offset=last["size"],
            first_line=last["lines"] + 1,
        )  # fmt: skip
        return [*kept, new], f"grew by {found.size - last['size']:,} bytes"
    whole = Arrival(
        file=ref.file, uri=ref.uri, batch=batch_id(identity, ref.uri, found.whole, 0), sha256=found.whole,
        check=found.whole, size=found.size, refused=found.refused,
    )  # fmt: skip
    return [whole], None if chain and chain[-1]["batch"] == whole.batch else "new"


def _kept(ref: FileRef, entry: Json) -> Arrival:
    names = ("uri", "batch", "sha256", "check", "size", "offset", "first_line")
    return Arrival(file=ref.file, **{name: entry[name] for name in names})


def _can_grow(entry: Json) -> bool:
    plain = (entry["container"], entry["compression"], entry["encoding"]) == ("jsonl", "plain", "utf-8")
    return plain and bool(entry["ends_with_newline"])


def _grown(found: _Hashed, last: Json) -> bool:
    return _can_grow(last) and found.size > last["size"] and found.head == last["sha256"]


def _key(ref: FileRef) -> str:
    return sha256(ref.file.encode("utf-8", "surrogateescape")).hexdigest()


def _look(
    ref: FileRef, known: Mapping[str, Json], before: Sequence[Json] | None, chain: Sequence[Json] | None
) -> _Hashed:
    """As `_hash`; a file that cannot be read is refused, unless its rows are in the lake already: they must not
    vanish.
    """
    try:
        return _hash(ref, known, chain)
    except SourceError as error:
        if error.code != "E202" or (before and before[-1]["container"] != UNREADABLE):
            raise
        why = f"{error.code} {error.message}"
        return _Hashed(size=0, whole=sha256(why.encode()).hexdigest(), refused=why)


def _hash(ref: FileRef, known: Mapping[str, Json], chain: Sequence[Json] | None) -> _Hashed:
    """The digests of one file, from the cache when that is safe."""
    entry = known.get(_key(ref), {})
    now = _stat(ref)
    last = chain[-1] if chain else None
    mark = last["size"] if last is not None and _can_grow(last) and now["size"] > last["size"] else None
    cached = bool(entry) and {name: entry.get(name) for name in now} == now and _at_rest(entry)
    if cached and (mark is None or last is None or entry["sha256"] == last["sha256"]):
        return _Hashed(size=now["size"], whole=entry["sha256"], entry=entry)
    found = _read(ref, now["size"], mark)
    if _stat(ref) != now:
        raise SourceError(
            "E204", f"{ref.uri!r} changed while it was read", where=ref.uri, next="run again when nobody writes to it"
        )
    fresh = {**now, "sha256": found.whole, "recorded_ns": time.time_ns()}
    return _Hashed(size=found.size, whole=found.whole, head=found.head, tail=found.tail, entry=fresh)


def _stat(ref: FileRef) -> Json:
    """What must not have changed for a digest to be reused; E202 when there is no file to read."""
    if ref.refused is not None:
        raise SourceError("E202", f"{ref.uri!r} is {ref.refused}", where=ref.uri, next="remove it or narrow the path")
    if scheme(ref.file):
        return {"size": ref.size, "version": ref.version}
    try:
        stat = Path(ref.file).stat()
    except OSError as error:
        raise unreadable(ref.uri, error) from error
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns, "inode": stat.st_ino}


def _at_rest(entry: Json) -> bool:
    if "mtime_ns" not in entry:
        return bool(entry.get("version"))
    return bool(entry["recorded_ns"] - max(entry["mtime_ns"], entry["ctime_ns"]) > RACY_NS)


def _read(ref: FileRef, size: int, mark: int | None) -> _Hashed:
    """Hash `size` bytes in one pass; with a mark also the bytes before and behind it."""
    raw = open_raw(ref.file, ref.uri)
    meter = Meter(raw, ref.uri, 0, size)
    try:
        if mark is None:
            whole = meter.drain()
            head = tail = None
        else:
            left = mark
            while left and (data := meter.read(min(left, CHUNK))):
                left -= len(data)
            head, behind = meter.digest(), sha256()
            while data := meter.read(CHUNK):
                behind.update(data)
            whole, tail = meter.digest(), behind.hexdigest()
    finally:
        raw.close()
    if meter.taken != size:
        raise SourceError(
            "E204",
            f"{ref.uri!r} became shorter while it was read",
            where=ref.uri,
            next="run again when nobody writes to it",
        )
    return _Hashed(size=size, whole=whole, head=head, tail=tail)
