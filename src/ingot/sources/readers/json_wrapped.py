"""One JSON object around a list of rows: which member holds the rows, and what the object says about all of them.

The member is the declared one, else one with a usual name (`Instances`, `examples`, `data`, ...), else the only list of
objects. An object with the keys of a record (messages, prompt, question, ...) is one row itself, and so is one without
a list of objects. The other members, verbatim, are the rows' context; what does not fit it (above 256 KiB) arrives as
problem rows, so nothing is lost. One pass over the object; memory: its members except the rows, each up to 64 MiB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ingot.errors import SourceError
from ingot.sources.readers.json_scan import BROKEN, CLOSED, CONSUMED, FULL, Scanner

ROW_KEYS = (
    "Instances", "instances", "examples", "data", "rows", "records", "items", "samples", "trajectory", "questions",
)  # fmt: skip
RECORD_KEYS = frozenset({
    "messages", "conversations", "conversation", "prompt", "instruction", "question", "chosen", "rejected",
    "completion",
})  # fmt: skip
CONTEXT_LIMIT = 256 << 10
MEMBER_LIMIT = 64 << 20
_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the outer object: where its value stands in the stream, and the text unless it is too long to hold.

    end is None for a value that the object does not survive: damaged, or cut off by the end of the file.
    """

    key: bytes
    start: int
    end: int | None
    line: int
    text: bytes
    complete: bool

    @property
    def name(self) -> str:
        try:
            return str(json.loads(self.key))
        except ValueError:
            return self.key.decode("utf-8", "replace").strip('"')

    @property
    def is_list(self) -> bool:
        return self.text[:1] == b"["

    @property
    def holds_objects(self) -> bool:
        return self.is_list and self.text[1:4096].lstrip(_SPACE)[:1] == b"{"

    @property
    def is_empty_list(self) -> bool:
        return self.is_list and self.text[1:4096].lstrip(_SPACE)[:1] == b"]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """rows: the member that holds them, None when the object is one row; context: JSON text; spilled: too big for it.

    closed: the object ends with its brace, or with a member whose `end` is None.
    """

    rows: Member | None
    context: str | None = None
    spilled: tuple[Member, ...] = ()
    note: str | None = None
    closed: bool = True


def unwrap(chunks: Iterable[bytes], uri: str, *, rows: str | None, byte: int = 0) -> Wrapped:
    """Read an object's outline and decide; chunks begin at byte `byte` of the stream."""
    members, single, closed = _Outline(byte).read(chunks)
    chosen, note = _choose(members, single, rows, uri)
    if chosen is None:
        return Wrapped(rows=None, note=note)
    pieces: list[bytes] = []
    spilled, total = [], 0
    for member in members:
        if member is chosen:
            continue
        size = len(member.key) + len(member.text) + 2
        fits = member.complete and member.end is not None and total + size <= CONTEXT_LIMIT and _is_utf8(member)
        if fits:
            pieces.append(member.key + b":" + member.text)
            total += size
        else:
            spilled.append(member)
    context = (b"{" + b",".join(pieces) + b"}").decode() if pieces else None
    return Wrapped(rows=chosen, context=context, spilled=tuple(spilled), note=note, closed=closed)


def _is_utf8(member: Member) -> bool:
    try:
        (member.key + member.text).decode()
    except UnicodeDecodeError:
        return False
    return True


def _choose(members: list[Member], single: bool, rows: str | None, uri: str) -> tuple[Member | None, str | None]:
    named = {member.name: member for member in members}
    if rows is not None:
        if rows not in named or not named[rows].is_list:
            seen = ", ".join(member.name for member in members if member.is_list) or "none"
            raise SourceError(
                "E208",
                f"{uri!r} has no list {rows!r}; lists in it: {seen}",
                where=uri,
                next="correct `rows` of this source",
            )
        return named[rows], None
    if not single or RECORD_KEYS & named.keys():
        return None, None
    for key in ROW_KEYS:
        if key in named and (named[key].holds_objects or named[key].is_empty_list):
            return named[key], None
    lists = [member for member in members if member.holds_objects]
    if len(lists) == 1:
        return lists[0], None
    names = ", ".join(member.name for member in lists)
    return None, f"several lists of objects ({names}), taken as one row; declare rows: to choose" if lists else None


class _Outline:
    """held: the bytes of the unfinished key or value as far as they are kept, from byte `start`."""

    def __init__(self, byte: int) -> None:
        self.scanner = Scanner(base=1, close=125, colon=True)
        self.at, self.opened = byte, False
        self.members: list[Member] = []
        self.key: bytes | None = None
        self.held, self.size = bytearray(), 0

    def read(self, chunks: Iterable[bytes]) -> tuple[list[Member], bool, bool]:
        """Members of the first object in order; whether nothing follows it; whether it is closed."""
        closed, alone = False, True
        for chunk in chunks:
            if not self.opened:
                start = chunk.find(b"{") + 1
                if not start:
                    self.at, self.scanner.line = self.at + len(chunk), self.scanner.line + chunk.count(b"\n")
                    continue
                self.scanner.reset(self.scanner.line + chunk.count(b"\n", 0, start))
                self.at, chunk, self.opened = self.at + start, chunk[start:], True
            if not closed:
                status, rest = self._feed(chunk)
                if status == BROKEN:
                    break
                closed = status == CLOSED
                chunk = rest if closed else b""
            if closed and chunk.strip(_SPACE):
                alone = False
                break
        if not closed and self.key is not None and (value := self.scanner.value) is not None:
            self._add(*value, None)
            closed = True
        return self.members, alone, closed

    def _feed(self, data: bytes) -> tuple[int, bytes]:
        pos, status = 0, FULL
        while status == FULL:
            status, pos, start, end, line = self.scanner.scan(data, pos, self.at)
            for a, b, n in zip(start.tolist(), end.tolist(), line.tolist(), strict=True):
                self._keep(data[max(0, a - self.at) : b - self.at])
                if self.key is None:
                    self.key = bytes(self.held)
                else:
                    self._add(a, n, b)
                self.held.clear()
                self.size = 0
        if (value := self.scanner.value) is not None and status in (CONSUMED, BROKEN):
            self._keep(data[max(0, value[0] - self.at) :])
        rest = data[pos:]
        self.at += len(data)
        return status, rest

    def _keep(self, data: bytes) -> None:
        self.held += data[: max(0, MEMBER_LIMIT - len(self.held))]
        self.size += len(data)

    def _add(self, start: int, line: int, end: int | None) -> None:
        assert self.key is not None
        text = bytes(self.held)
        self.members.append(
            Member(key=self.key, start=start, end=end, line=line, text=text, complete=self.size == len(text))
        )
        self.key = None
