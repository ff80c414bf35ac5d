"""Rows out of JSON documents: the elements of an array, or top-level values one after the other.

Guarantee: elements keep their exact bytes and arrive in order, however the stream is cut into chunks; damage costs the
damaged element only. Where the text cannot be JSON, the splitter looks for the next element start (the separator and
the first key seen so far), hands out what lies between as one problem row and goes on; what it cannot place arrives as
a problem row too, so nothing is lost.
Memory: one chunk and the unfinished element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ingot.sources.readers.json_scan import BROKEN, CLOSED, FULL, Scanner
from ingot.sources.readers.rows import HEAD, MAX_ROW, Ints, Rows, block, problem, too_large

_SPACE = b" \t\r\n"
_FIRST_KEY = re.compile(rb'\s*\{\s*"((?:[^"\\\n]|\\.){0,200})"\s*:')
_OVERLAP = 4096
_OUTSIDE, _INSIDE, _LOST, _STRAY = range(4)


def split_array(
    chunks: Iterable[bytes], damage: Callable[[], str | None], *, line: int = 1, byte: int = 0, limit: int = MAX_ROW
) -> Iterator[Rows]:
    """The elements of a JSON array, which may be followed by further arrays."""
    yield from _Splitter(array=True, line=line, byte=byte, limit=limit).run(chunks, damage)


def split_values(
    chunks: Iterable[bytes], damage: Callable[[], str | None], *, line: int = 1, byte: int = 0, limit: int = MAX_ROW
) -> Iterator[Rows]:
    """Top-level JSON values, separated by white space, commas or nothing."""
    yield from _Splitter(array=False, line=line, byte=byte, limit=limit).run(chunks, damage)


@dataclass(slots=True)
class _Passage:
    """Bytes that will be one problem row: their first `limit` bytes, size and place."""

    byte: int
    line: int
    limit: int
    size: int = 0
    lines: int = 0
    data: bytes = b""

    def add(self, data: bytes) -> None:
        self.data += data[: max(0, self.limit - len(self.data))]
        self.size, self.lines = self.size + len(data), self.lines + data.count(b"\n")

    def row(self, reason: str, detail: str) -> Rows:
        if self.size > self.limit:
            head = self.data[: min(self.limit, HEAD)]
            return problem(head, self.line, self.byte, *too_large(self.size, self.limit))
        # the separator before the next element is not part of this one
        return problem(self.data.rstrip(_SPACE + b",").lstrip(_SPACE), self.line, self.byte, reason, detail)


class _Splitter:
    """buf holds the stream from byte `at`; buf[:pos] is scanned; the unfinished element starts in it."""

    def __init__(self, *, array: bool, line: int, byte: int, limit: int) -> None:
        self.array, self.limit = array, limit
        self.scanner = Scanner(base=1 if array else 0, close=93 if array else -1, line=line)
        self.buf, self.at, self.pos = bytearray(), byte, 0
        self.mode = _OUTSIDE if array else _INSIDE
        self.entered = False
        self.passage: _Passage | None = None  # the lost or stray bytes, or the head of an element above the limit
        self.first_end: int | None = None  # where the first element ended, until the gap after it is known
        self.gap: bytes | None = None
        self.key: bytes | None = None
        self.keys: set[bytes] = set()

    def run(self, chunks: Iterable[bytes], damage: Callable[[], str | None]) -> Iterator[Rows]:
        for chunk in chunks:
            self.buf += chunk
            yield from self._advance()
        yield from self._finish(damage())

    def _advance(self) -> Iterator[Rows]:
        going = True
        while going:
            if self.mode == _OUTSIDE:
                going = self._enter()
            elif self.mode == _INSIDE:
                going = yield from self._scan()
            elif self.mode == _LOST:
                going = yield from self._seek()
            else:
                self._pass_over(len(self.buf))
                going = False

    def _drop(self, count: int) -> None:
        del self.buf[:count]
        self.at, self.pos = self.at + count, max(0, self.pos - count)

    def _enter(self) -> bool:
        """Step into the next array; anything else that stands here is stray."""
        body = bytes(self.buf[:1]) if self.buf[:1].strip(_SPACE) else bytes(self.buf).lstrip(_SPACE)[:1]
        start = self.buf.find(body) if body else len(self.buf)
        line = self.scanner.current_line + self.buf.count(b"\n", 0, start)
        self._drop(start)
        self.scanner.reset(line)
        if not body:
            return False
        if body == b"[":
            self._drop(1)
            self.mode, self.entered, self.first_end, self.pos = _INSIDE, True, None, 0
        else:
            self.mode, self.passage = _STRAY, _Passage(self.at, line, self.limit)
        return True

    def _scan(self) -> Generator[Rows, None, bool]:
        """Scan what is new; a generator that returns whether to go on in another mode."""
        status = FULL
        while status == FULL:
            status, self.pos, start, end, line = self.scanner.scan(self.buf, self.pos, self.at)
            if len(start):
                yield from self._emit(start, end, line)
            self._learn(start)
            value = self.scanner.value
            keep = self.at + self.pos if value is None else value[0]
            if self.first_end is not None and self.gap is None:
                keep = min(keep, self.first_end)
            self._drop(max(0, keep - self.at))
        if status == BROKEN:
            self._lose()
            return True
        if status == CLOSED:
            self._drop(self.pos)
            self.mode = _OUTSIDE
            return True
        if len(self.buf) > self.limit and (value := self.scanner.value) is not None:
            if self.passage is None:
                self._drop(value[0] - self.at)
                self.passage = _Passage(*value, self.limit)
            self._pass_over(self.pos)
        return False

    def _emit(self, start: Ints, end: Ints, line: Ints) -> Iterator[Rows]:
        """Finished elements; the first one may be above the limit, with its bytes gone already."""
        if self.passage is not None:
            self.passage.add(bytes(self.buf[: int(end[0]) - self.at]))
            yield self.passage.row("row_too_large", "")
            self.passage = None
            start, end, line = start[1:], end[1:], line[1:]
        if len(start):
            if self.key is None and (match := _FIRST_KEY.match(self.buf, int(start[0]) - self.at)):
                self.key = match[1]
            yield block(self.buf, start - self.at, end - self.at, line, self.at, self.limit)
        if self.first_end is None and len(end):
            self.first_end = int(end[0])

    def _learn(self, start: Ints) -> None:
        """Remember what separates the first two elements."""
        if self.gap is None and self.first_end is not None:
            value = self.scanner.value
            later = [int(s) for s in start[:2] if s >= self.first_end] or ([value[0]] if value else [])
            if later and self.first_end >= self.at:
                self.gap = bytes(self.buf[self.first_end - self.at : later[0] - self.at])

    def _lose(self) -> None:
        """The unfinished element cannot be JSON: hand its bytes over and look for the next one."""
        value = self.scanner.value
        assert value is not None, "only an element can break"
        self._drop(max(0, value[0] - self.at))
        self.keys = {self.key} if self.key is not None else set()
        if self.passage is None:
            if match := _FIRST_KEY.match(self.buf, 0, max(self.pos, 1)):
                self.keys.add(match[1])
            self.passage = _Passage(*value, self.limit)
            self._pass_over(1)
        self.mode = _LOST

    def _pass_over(self, count: int) -> None:
        assert self.passage is not None
        self.passage.add(bytes(self.buf[:count]))
        self._drop(count)

    def _signature(self) -> re.Pattern[bytes] | None:
        """What the start of the next element looks like; None when nothing reliable is known."""
        gap = (rb",\s*" if self.array else rb"\n") if self.gap is None else re.escape(self.gap)
        if self.keys:
            return re.compile(gap + rb'(\{\s*"(?:' + b"|".join(sorted(map(re.escape, self.keys))) + rb')"\s*:)')
        return re.compile(gap + rb"([\[{])") if self.gap is not None and b"\n" in self.gap else None

    def _seek(self) -> Generator[Rows, None, bool]:
        """Look for the next element; a generator that returns whether it was found."""
        assert self.passage is not None
        pattern = self._signature()
        match = pattern.search(self.buf) if pattern else None
        if match is None:
            self._pass_over(max(0, len(self.buf) - _OVERLAP) if pattern else len(self.buf))
            return False
        self._pass_over(match.start(1))
        lost, self.passage = self.passage, None
        yield lost.row("invalid_json", "not closed properly; the next element was found by its first key")
        self.scanner.reset(lost.line + lost.lines)
        self.mode, self.pos = _INSIDE, 0
        return True

    def _finish(self, damage: str | None) -> Iterator[Rows]:
        value = self.scanner.value if self.mode == _INSIDE else None
        if value is not None and damage is None:
            if not self.array and self.scanner.in_scalar and self.passage is None:
                self._drop(value[0] - self.at)
                size = np.array([0, len(self.buf)])
                yield block(self.buf, size[:1], size[1:], np.array([value[1]]), self.at, self.limit)
                return
            if self.passage is None and self.gap is not None and b"\n" in self.gap:
                self._lose()  # an unclosed element swallowed the ones behind it, which still look like elements
                yield from self._advance()
                value = self.scanner.value if self.mode == _INSIDE else None
                if value is not None and self.passage is None:
                    yield from self._finish(None)
                    return
        yield from self._leftover(damage, value)

    def _leftover(self, damage: str | None, value: tuple[int, int] | None) -> Iterator[Rows]:
        if self.mode == _INSIDE and value is None and (self.array or damage):
            yield problem(
                b"", self.scanner.current_line, self.at, "truncated_file", damage or "the array is not closed"
            )
        elif self.mode == _OUTSIDE:
            if damage is not None:
                yield problem(b"", self.scanner.current_line, self.at, "truncated_file", damage)
        elif self.mode != _INSIDE or value is not None:
            if self.passage is None and value is not None:
                self._drop(max(0, value[0] - self.at))
                self.passage = _Passage(*value, self.limit)
            self._pass_over(len(self.buf))
            assert self.passage is not None
            yield self.passage.row(*self._verdict(damage))

    def _verdict(self, damage: str | None) -> tuple[str, str]:
        if damage is not None:
            return "truncated_file", damage
        if self.mode == _STRAY:
            what = "after the array" if self.entered else "where an array should begin"
            return "trailing_data", f"text {what}"
        if self.mode == _LOST:
            return "truncated_file", "the file ends inside this element: it is not closed, and no next one was found"
        return "truncated_file", "the file ends inside this element"
