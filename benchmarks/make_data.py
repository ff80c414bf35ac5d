"""Make benchmark data: N megabytes of OpenAI-messages JSON Lines in F files, from real conversations, by a seed.

    python -m benchmarks.make_data --size 1GB --files 100 --out benchmarks/data/1GB

Each pass over the conversations (benchmarks/corpus.py) goes through them in another order and replaces 15 % of the words
and numbers by others drawn from all words of the corpus, as often as they occur there; so no pass repeats another, while
lengths, words, escapes, code and non-ASCII shares stay those of the real texts. Planted: 5 % of rows repeat an earlier
row under a new id (half of them differ in what normalisation undoes: CRLF, white space at a line's end, zero-width
characters) and 0.5 % of rows are bad (cut JSON, no messages, wrong types, unknown roles).
The same arguments give the same bytes. Cost: 1 GB in 20 s, see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.corpus import Turns, conversations
from numba import njit

REPLACED, COPIES, BAD = 0.15, 0.05, 0.005
PLAIN, CRLF, TRAILING, ZERO_WIDTH = range(4)  # how a copy is written
BLOCK = 5_000
_PIECE = re.compile(r"[^\W\d_]+|\d+|\n|[^\w\n]+|_+")
_FIXED, _VARIED, _BREAK, _END, _OPEN = range(5)  # text that stays, word or number, line break, end and start of a content

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Conversations as pieces of JSON text. Piece p of spelling s is blob[start[s, p]:end[s, p]]; row r has pieces[at[r]:at[r + 1]].

    spelling 0: UTF-8 as it is; 1: escaped as \\uXXXX, as Python's json writes it. words: pieces to draw replacements from.
    """

    blob: Bytes
    start: Ints
    end: Ints
    kind: Bytes
    pieces: Ints
    at: Ints
    words: Ints

    @property
    def bytes(self) -> int:
        """Bytes of all conversations written once."""
        return int((self.end - self.start)[0][self.pieces].sum())


def make_pool(rows: list[Turns]) -> Pool:
    """Cut all conversations into pieces."""
    ids: dict[tuple[str, int], int] = {}
    flat: list[int] = []
    at = [0]
    for turns in rows:
        for n, (role, text) in enumerate(turns):
            opening = f'{", " if n else ""}{{"role": "{role}", "content": "'
            flat.append(ids.setdefault((opening, _OPEN), len(ids)))
            for piece in _PIECE.findall(text):
                kind = _BREAK if piece == "\n" else _VARIED if piece[0].isalnum() else _FIXED
                flat.append(ids.setdefault((piece, kind), len(ids)))
            flat.append(ids.setdefault(('"}', _END), len(ids)))
        at.append(len(flat))
    spelled = [
        [(text if kind in (_END, _OPEN) else json.dumps(text, ensure_ascii=ascii_only)[1:-1]).encode() for text, kind in ids]
        for ascii_only in (False, True)
    ]
    lengths = np.array([[len(piece) for piece in pieces] for pieces in spelled], np.int64)
    end = np.cumsum(lengths.ravel()).reshape(lengths.shape)
    kind = np.array([kind for _, kind in ids], np.uint8)
    pieces = np.array(flat, np.int64)
    return Pool(blob=np.frombuffer(b"".join(spelled[0] + spelled[1]), np.uint8), start=end - lengths, end=end, kind=kind,
                pieces=pieces, at=np.array(at, np.int64), words=pieces[kind[pieces] == _VARIED])  # fmt: skip


@njit(nogil=True, cache=True)
def _mix(x: Any) -> Any:
    """SplitMix64 (Steele, Lea, Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(nogil=True, cache=True)
def _put(out: Bytes, o: int, text: Any) -> int:
    for i in range(len(text)):
        out[o + i] = text[i]
    return o + len(text)


@njit(nogil=True, cache=True)
def _write(first: int, base: Ints, seed: Ints, spelling: Ints, variant: Ints, pool: Any, fixed: Any, share: int, out: Bytes) -> Any:
    """Write the rows; returns where each ends."""
    blob, start, end, kind, pieces, at, words = pool
    head, middle, tail, line, crlf, space, invisible = fixed
    ends = np.zeros(len(base), np.int64)
    o = 0
    for r in range(len(base)):
        o = _put(out, o, head)
        number, digit = first + r, 10**9
        while digit:
            out[o] = 48 + number // digit % 10
            o += 1
            digit //= 10
        o = _put(out, o, middle)
        key = _mix(np.uint64(seed[r]) + np.uint64(0x9E3779B97F4A7C15))
        how = variant[r]
        s = spelling[r]
        for k in range(at[base[r]], at[base[r] + 1]):
            p = pieces[k]
            what = kind[p]
            if what == 2:
                if how == 2:
                    o = _put(out, o, space)
                o = _put(out, o, crlf if how == 1 else line)
                continue
            if what == 3:
                if how == 2:
                    o = _put(out, o, space)
                if how == 3:
                    o = _put(out, o, invisible)
            elif what == 1 and seed[r] > 0:
                h = _mix(key + np.uint64(k) * np.uint64(0x9E3779B97F4A7C15))
                if np.int64(h & np.uint64(0xFFFF)) < share:
                    p = words[np.int64((h >> np.uint64(16)) % np.uint64(len(words)))]
            o = _put(out, o, blob[start[s, p] : end[s, p]])
        if o > len(out):
            raise ValueError("the block is longer than its buffer")
        o = _put(out, o, tail)
        ends[r] = o
    return ends


def _fixed() -> tuple[Bytes, ...]:
    texts = (b'{"id": "r', b'", "messages": [', b"]}\n", b"\\n", b"\\r\\n", b" ", b"\\u200b")
    return tuple(np.frombuffer(text, np.uint8) for text in texts)


def _spoil(line: bytes, kind: int) -> bytes:
    """A bad row in place of a good one."""
    row_id = line[:19]  # {"id": "r0123456789
    return (
        line[: len(line) * 2 // 3].rstrip(b"\\") + b"\n",
        row_id + b'"}\n',
        row_id + b'", "messages": "none"}\n',
        row_id + b'", "messages": []}\n',
        line.replace(b'"role": "user"', b'"role": "narrator"', 1),
        b"not json at all\n",
    )[kind]


def make(out: Path, size: int, files: int, seed: int = 1) -> dict[str, Any]:
    """Write the files and stats.json, which is also returned; does nothing when they are there already."""
    stats_file = out / "stats.json"
    want = {"size": size, "files": files, "seed": seed, "version": 2}
    if stats_file.is_file() and (stats := json.loads(stats_file.read_text()))["made_by"] == want:
        return dict(stats)
    out.mkdir(parents=True, exist_ok=True)
    pool = make_pool(conversations())
    writer = _Writer(out, size, files)
    counts = {"rows": 0, "copies": 0, "bad": 0}
    for lines, copies, bad in _blocks(pool, seed):
        if writer.add(lines, copies, bad, counts):
            break
    stats = {"made_by": want, "bytes": writer.bytes, **counts, "conversations": len(pool.at) - 1, "corpus_bytes": pool.bytes,
             "factor": round(writer.bytes / pool.bytes, 2)}  # fmt: skip
    stats_file.write_text(json.dumps(stats) + "\n")
    return stats


def _blocks(pool: Pool, seed: int) -> Any:
    """Endless blocks of (lines, is a copy, bad kind or -1)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    n = len(pool.at) - 1
    room = 4 * BLOCK * (pool.bytes // n + 100)  # a block is BLOCK rows of that length on average
    order = rng.permutation(n)
    base = seeds = np.empty(0, np.int64)  # of every row so far: its conversation, and what seeds its replacements
    arrays = (pool.blob, pool.start, pool.end, pool.kind, pool.pieces, pool.at, pool.words)
    first = 0
    while True:
        while len(order) < BLOCK:
            order = np.concatenate([order, rng.permutation(n)])
        rows = np.arange(first, first + BLOCK)
        copy = (rng.random(BLOCK) < COPIES) & (rows > 0)
        of = np.where(copy, np.int64(rng.random(BLOCK) * rows), rows)
        while (inside := (of >= first) & (of[np.maximum(of - first, 0)] != of)).any():  # a copy of a copy in this block
            of = np.where(inside, of[np.maximum(of - first, 0)], of)
        base, order = np.concatenate([base, order[:BLOCK]]), order[BLOCK:]
        seeds = np.concatenate([seeds, np.where(rows < n, 0, rows)])  # the first pass is the corpus itself: 0 replaces nothing
        base[first:], seeds[first:] = base[of], seeds[of]
        variant = np.where(copy & (rng.random(BLOCK) < 0.5), rng.integers(1, 4, BLOCK), PLAIN)
        bad = np.where(rng.random(BLOCK) < BAD, rng.integers(0, 6, BLOCK), -1)
        buffer = np.empty(room, np.uint8)
        ends = _write(first, base[first:], seeds[first:], rng.integers(0, 2, BLOCK), variant, arrays, _fixed(),
                      int(REPLACED * 65536), buffer)  # fmt: skip
        data, starts = buffer[: ends[-1]].tobytes(), np.concatenate([[0], ends[:-1]])
        lines = [data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        for i in np.flatnonzero(bad >= 0).tolist():
            lines[i] = _spoil(lines[i], int(bad[i]))
        yield lines, copy, bad
        first += BLOCK


class _Writer:
    """Cut the rows into files of equal size."""

    def __init__(self, out: Path, size: int, files: int) -> None:
        self.out, self.size, self.files = out, size, files
        self.bytes = self.number = 0
        self._open: list[bytes] = []

    def add(self, lines: list[bytes], copies: Any, bad: Any, counts: dict[str, int]) -> bool:
        """Take the rows of a block; True when the data are complete."""
        for line, copy, kind in zip(lines, copies.tolist(), bad.tolist(), strict=True):
            self._open.append(line)
            self.bytes += len(line)
            counts["rows"] += 1
            counts["copies"] += copy and kind < 0
            counts["bad"] += kind >= 0
            if self.bytes >= self.size * (self.number + 1) // self.files:
                (self.out / f"part-{self.number:04d}.jsonl").write_bytes(b"".join(self._open))
                self._open, self.number = [], self.number + 1
                if self.number == self.files:
                    return True
        return False


def size_of(text: str) -> int:
    """'128MB' -> bytes (powers of ten)."""
    number, unit = re.fullmatch(r"([\d.]+)\s*([KMG]B)", text.upper()).groups()  # type: ignore[union-attr]
    return int(float(number) * {"KB": 10**3, "MB": 10**6, "GB": 10**9}[unit])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--size", default="128MB", type=size_of)
    parser.add_argument("--files", default=16, type=int)
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    print(json.dumps(make(given.out, given.size, given.files, given.seed)))
