"""Records of delimited text (CSV, TSV and their dialects), quoted newlines included.

Guarantee: a record keeps its exact bytes in the file's own encoding, however the stream is cut into chunks; a record
whose number of fields differs from the header's arrives as the problem row ragged_row. A quote that never closes, or
closes in the middle of a later line, costs one line: that line is the problem row malformed_quote and reading goes on
behind it. RFC 4180 with `""` as the escape; a quote inside an unquoted field is text.
Cost: 0.32 GB/s on one core (20,000 records of 850 bytes); memory: one chunk and the unfinished record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ingot.schema.delimited import fields
from ingot.sources.encodings import LENIENT
from ingot.sources.readers.rows import MAX_ROW, Ints, Problems, Rows, block, problem

Bytes = NDArray[np.uint8]
CONSUMED, FULL, BROKEN = 0, 1, 2
_SPANS = 1 << 16
# slots of the state
_QUOTED, _FRESH, _CLOSED, _FIELDS, _LINES, _JUNK = range(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """newline: the byte that ends a record: line feed, or carriage return in files of the old Macintosh."""

    delimiter: str = ","
    encoding: str = "utf-8"
    newline: str = "\n"

    def fields(self, record: bytes) -> list[str]:
        """The fields of one record, undecodable bytes kept as lone surrogates."""
        return fields(record.decode(self.encoding, LENIENT), self.delimiter)


@njit(nogil=True, cache=True)
def _scan(
    data: Bytes, pos: int, delimiter: int, newline: int, state: Ints, start: Ints, end: Ints, line: Ints, fields: Ints
) -> tuple[int, int, int, int, int]:
    """Scan data[pos:], the unfinished record beginning at data[0]; line: 0 in the line where data[0] stands."""
    quoted, fresh, closed = state[_QUOTED], state[_FRESH], state[_CLOSED]
    count_fields, lines, junk = state[_FIELDS], state[_LINES], state[_JUNK]
    first, first_line, count, status, i, n = 0, 0, 0, CONSUMED, pos, len(data)
    while i < n:
        c = data[i]
        if quoted:
            if c == 34:
                quoted, closed = 0, 1
            elif c == newline:
                lines += 1
        elif c == newline:
            if junk and lines > first_line:
                status = BROKEN
                break
            stop = i
            if newline == 10 and stop > first and data[stop - 1] == 13:
                stop -= 1
            lines += 1
            if stop > first:
                start[count], end[count], line[count], fields[count] = first, stop, first_line, count_fields + 1
                count += 1
            first, first_line = i + 1, lines
            count_fields, fresh, closed, junk = 0, 1, 0, 0
            if count == len(start):
                i += 1
                status = FULL
                break
        elif c == delimiter:
            count_fields += 1
            fresh, closed = 1, 0
        elif c == 34 and (fresh or closed):
            quoted, fresh, closed = 1, 0, 0
        else:
            if closed and c != 13 and c != 32 and c != 9:  # noqa: PLR1714
                junk = 1
            fresh, closed = 0, 0
        i += 1
    state[_QUOTED], state[_FRESH], state[_CLOSED] = quoted, fresh, closed
    state[_FIELDS], state[_LINES], state[_JUNK] = count_fields, lines, junk
    return status, i, count, first, first_line


def record_widths(data: bytes, delimiter: str, newline: str) -> Ints:
    """Number of fields of each finished record of some text that begins with a record."""
    capacity = data.count(newline.encode()) + 1
    start, end, line, fields = (np.empty(capacity, np.int64) for _ in range(4))
    state = np.zeros(6, np.int64)
    state[_FRESH] = 1
    view = np.frombuffer(data, np.uint8)
    _, _, count, _, _ = _scan(view, 0, ord(delimiter), ord(newline), state, start, end, line, fields)
    return fields[:count]


class _Splitter:
    """buf holds the stream from the start of the unfinished record, which is byte `at` in line `line`."""

    def __init__(self, dialect: Dialect, width: int | None, line: int, byte: int, limit: int) -> None:
        self.dialect, self.width, self.limit = dialect, width, limit
        self.buf, self.at, self.line, self.pos = bytearray(), byte, line, 0
        self.state = np.zeros(6, np.int64)
        self._fresh()

    def _fresh(self) -> None:
        self.state[:] = 0
        self.state[_FRESH] = 1
        self.pos = 0

    def advance(self) -> Iterator[Rows]:
        """Hand out the finished records of what is held."""
        status = FULL
        while status != CONSUMED:
            capacity = min(_SPANS, len(self.buf) + 1)
            start, end, line, fields = (np.empty(capacity, np.int64) for _ in range(4))
            status, self.pos, count, first, first_line = _scan(
                np.frombuffer(self.buf, np.uint8), self.pos, ord(self.dialect.delimiter), ord(self.dialect.newline),
                self.state, start, end, line, fields,
            )  # fmt: skip
            if count:
                problems = self._ragged(fields[:count])
                yield block(
                    self.buf, start[:count], end[:count], line[:count] + self.line, self.at, self.limit, problems
                )
            self._drop(first, first_line)
            if status == BROKEN:
                yield from self._give_up("a quote closes in the middle of a later line")
        if len(self.buf) > self.limit:
            yield from self._give_up("a quote is not closed")

    def _drop(self, count: int, lines: int) -> None:
        del self.buf[:count]
        self.at, self.line, self.pos = self.at + count, self.line + lines, self.pos - count
        self.state[_LINES] -= lines

    def _ragged(self, fields: Ints) -> Problems:
        if self.width is None:
            self.width = int(fields[0])
        wrong = np.flatnonzero(fields != self.width).tolist()
        return {row: ("ragged_row", f"{int(fields[row])} fields, the header has {self.width}") for row in wrong}

    def _give_up(self, why: str) -> Iterator[Rows]:
        """The first line of the unfinished record is a problem row; begin anew behind it."""
        stop = self.buf.find(self.dialect.newline.encode())
        if stop < 0:
            return
        yield problem(bytes(self.buf[:stop]).rstrip(b"\r"), self.line, self.at, "malformed_quote", why)
        self.state[_LINES] = 1
        self._drop(stop + 1, 1)
        self._fresh()

    def finish(self, damage: str | None) -> Iterator[Rows]:
        """The last record, which no newline ends."""
        if damage is not None:
            yield problem(bytes(self.buf), self.line, self.at, "truncated_file", damage)
            return
        newline = self.dialect.newline.encode()
        while self.buf:
            if not self.state[_QUOTED]:
                self.buf += newline
                yield from self.advance()
            elif newline in self.buf:
                yield from self._give_up("a quote is not closed")
                yield from self.advance()
            else:
                yield problem(bytes(self.buf), self.line, self.at, "malformed_quote", "a quote is not closed")
                return


def split_csv(
    chunks: Iterable[bytes], damage: Callable[[], str | None], *, dialect: Dialect, width: int | None = None,
    line: int = 1, byte: int = 0, limit: int = MAX_ROW,
) -> Iterator[Rows]:  # fmt: skip
    """All records, the header included. width: expected number of fields; None: that of the first record."""
    splitter = _Splitter(dialect, width, line, byte, limit)
    for chunk in chunks:
        splitter.buf += chunk
        yield from splitter.advance()
    yield from splitter.finish(damage())
