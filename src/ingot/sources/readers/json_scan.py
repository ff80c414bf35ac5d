"""A scanner of JSON text that finds where values begin and end, across any cut into chunks.

It follows strings, escapes and brackets (one finite automaton plus a stack of bracket kinds), reports each value at one
depth as a span of stream offsets, and stops where the text cannot be JSON: a bracket that closes another kind, or
something other than `, : ] }` after a string. It does not validate more than that; the parser of the next layer does.
Cost: 0.40 GB/s on one core with the gathering of rows (128 MiB array of 850-byte chat records), compiled once per
machine (numba's cache); constant memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

CONSUMED, FULL, CLOSED, BROKEN = 0, 1, 2, 3
_SPANS = 1 << 16
_STACK = 4096  # deeper brackets are counted, their kinds are not checked

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

# slots of the state
_DEPTH, _STRING, _ESCAPE, _AFTER, _START, _KIND, _LINE, _START_LINE = range(8)
_NONE, _CONTAINER, _TEXT, _SCALAR = range(4)


@njit(nogil=True, cache=True, inline="always")
def _ends_scalar(c: int) -> bool:
    """White space, a comma, or the beginning of another value."""
    return c == 32 or c == 10 or c == 13 or c == 9 or c == 44 or c == 34 or c == 91 or c == 123  # noqa: PLR1714


@njit(nogil=True, cache=True)
def _scan(
    data: Bytes, pos: int, at: int, base: int, close: int, colon: bool, state: Ints, stack: Bytes,
    start: Ints, end: Ints, line: Ints,
) -> tuple[int, int, int]:  # fmt: skip
    """Scan data[pos:]; returns (status, position, spans found). Offsets reported are absolute: index + at."""
    depth, string, escape, after = state[_DEPTH], state[_STRING], state[_ESCAPE], state[_AFTER]
    first, kind, lines, first_line = state[_START], state[_KIND], state[_LINE], state[_START_LINE]
    count, status, i, n = 0, CONSUMED, pos, len(data)
    while i < n:
        c = data[i]
        stop = -1  # where a value at the base depth ended
        if string:
            if escape:
                escape = 0
            elif c == 92:
                escape = 1
            elif c == 34:
                string, after = 0, 1
                stop = i + 1 if depth == base else -1
            elif c == 10:
                lines += 1
        elif kind == _SCALAR and depth == base and (c == close or _ends_scalar(c) or (colon and c == 58)):
            stop = i
            i -= 1  # the byte itself is looked at again
        elif c == 32 or c == 10 or c == 13 or c == 9:  # noqa: PLR1714 - compiled to comparisons, no tuple
            lines += c == 10
        elif after and depth > base and c != 44 and c != 58 and c != 93 and c != 125:  # noqa: PLR1714
            status = BROKEN
            break
        elif c == 34 or c == 91 or c == 123:  # noqa: PLR1714
            if depth == base:
                first, kind, first_line = i + at, _TEXT if c == 34 else _CONTAINER, lines
            string, after = int(c == 34), 0
            if not string and depth < len(stack):
                stack[depth] = c + 2
            depth += c != 34
        elif depth > base:
            after = 0
            if c == 93 or c == 125:  # noqa: PLR1714
                if depth <= len(stack) and stack[depth - 1] != c:
                    status = BROKEN
                    break
                depth -= 1
                stop = i + 1 if depth == base else -1
        elif c == close:
            i, status = i + 1, CLOSED
            break
        elif c != 44 and not (colon and c == 58) and kind == _NONE:
            first, kind, first_line = i + at, _SCALAR, lines
        i += 1
        if stop >= 0:
            start[count], end[count], line[count] = first, stop + at, first_line
            count, first, kind = count + 1, -1, _NONE
            if count == len(start):
                status = FULL
                break
    state[_DEPTH], state[_STRING], state[_ESCAPE], state[_AFTER] = depth, string, escape, after
    state[_START], state[_KIND], state[_LINE], state[_START_LINE] = first, kind, lines, first_line
    return status, i, count


@dataclass(slots=True)
class Scanner:
    """State between chunks. base: depth at which values are reported; close: the byte that ends the root, -1 for none.

    colon: a colon separates too, so that an object's members come as key, value, key, value.
    """

    base: int
    close: int
    line: int = 1
    colon: bool = False
    _state: Ints = field(init=False)
    _stack: Bytes = field(init=False)

    def __post_init__(self) -> None:
        self._stack = np.zeros(_STACK, np.uint8)
        self._state = np.zeros(8, np.int64)
        self.reset(self.line)

    def reset(self, line: int) -> None:
        """Stand between two values, in this line."""
        self._state[:] = 0
        self._state[_DEPTH], self._state[_START], self._state[_LINE] = self.base, -1, line

    @property
    def value(self) -> tuple[int, int] | None:
        """Offset and line of the unfinished value."""
        start = int(self._state[_START])
        return None if start < 0 else (start, int(self._state[_START_LINE]))

    @property
    def in_scalar(self) -> bool:
        """The unfinished value is a number or word, which the end of the text may end."""
        return int(self._state[_KIND]) == _SCALAR

    @property
    def current_line(self) -> int:
        return int(self._state[_LINE])

    def scan(self, data: bytes | bytearray, pos: int, at: int) -> tuple[int, int, Ints, Ints, Ints]:
        """Go on at data[pos], data[0] being byte `at` of the stream: (status, next pos, starts, ends, lines)."""
        capacity = min(_SPANS, len(data) - pos + 1)
        start, end, line = (np.empty(capacity, np.int64) for _ in range(3))
        view = np.frombuffer(data, np.uint8)
        status, pos, count = _scan(
            view, pos, at, self.base, self.close, self.colon, self._state, self._stack, start, end, line
        )
        return int(status), int(pos), start[:count], end[:count], line[:count]
