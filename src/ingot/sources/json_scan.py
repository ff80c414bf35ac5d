"""A scanner of JSON text that finds where values begin and end, across any cut into chunks.

It follows strings, escapes and brackets (one finite automaton plus a stack of bracket kinds), reports each value at one
depth as a span of stream offsets, and stops where the text cannot be JSON: a bracket that closes another kind, or
something other than `, : ] }` after a string. It does not validate more than that; the parser of the next layer does.
Cost: 0.64 GB/s on one core for arrays of chat records, compiled once per machine (numba cache); constant memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

CONSUMED, FULL, CLOSED, BROKEN = 0, 1, 2, 3
_SPANS = 1 << 16
_STACK = 4096  # deeper brackets are counted, their kinds are not checked

# slots of the state
_DEPTH, _STRING, _ESCAPE, _AFTER, _START, _KIND, _LINE, _START_LINE = range(8)
_NONE, _CONTAINER, _TEXT, _SCALAR = range(4)


@njit(nogil=True, cache=True)
def _scan(data, pos, at, base, close, colon, state, stack, start, end, line):  # type: ignore[no-untyped-def]
    """Scan data[pos:]; returns (status, position, spans found). Offsets reported are absolute: index + at."""
    depth, string, escape, after = state[_DEPTH], state[_STRING], state[_ESCAPE], state[_AFTER]
    first, kind, lines, first_line = state[_START], state[_KIND], state[_LINE], state[_START_LINE]
    count, status, i, n = 0, CONSUMED, pos, len(data)
    while i < n:
        c = data[i]
        if string:
            if escape:
                escape = 0
            elif c == 92:
                escape = 1
            elif c == 34:
                string = 0
                after = 1
                if depth == base:
                    start[count], end[count], line[count] = first, i + 1 + at, first_line
                    count += 1
                    first, kind = -1, _NONE
            if c == 10:
                lines += 1
            i += 1
            if count == len(start):
                status = FULL
                break
            continue
        white = c == 32 or c == 10 or c == 13 or c == 9
        if depth == base and kind == _SCALAR and (
            white or c == 44 or c == close or c == 34 or c == 91 or c == 123 or (colon and c == 58)
        ):
            start[count], end[count], line[count] = first, i + at, first_line
            count += 1
            first, kind = -1, _NONE
            if count == len(start):
                status = FULL
                break
        if white:
            if c == 10:
                lines += 1
            i += 1
            continue
        if after:
            if depth > base and c != 44 and c != 58 and c != 93 and c != 125:
                status = BROKEN
                break
            after = 0
        if c == 34:
            string = 1
            if depth == base:
                first, kind, first_line = i + at, _TEXT, lines
        elif c == 91 or c == 123:
            if depth == base:
                first, kind, first_line = i + at, _CONTAINER, lines
            if depth < len(stack):
                stack[depth] = c + 2
            depth += 1
        elif depth > base:
            if c == 93 or c == 125:
                if depth <= len(stack) and stack[depth - 1] != c:
                    status = BROKEN
                    break
                depth -= 1
                if depth == base:
                    start[count], end[count], line[count] = first, i + 1 + at, first_line
                    count += 1
                    first, kind = -1, _NONE
                    if count == len(start):
                        i += 1
                        status = FULL
                        break
        elif c == close:
            i += 1
            status = CLOSED
            break
        elif c != 44 and not (colon and c == 58) and kind == _NONE:
            first, kind, first_line = i + at, _SCALAR, lines
        i += 1
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
    _state: NDArray[np.int64] = field(init=False)
    _stack: NDArray[np.uint8] = field(init=False)

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

    def scan(
        self, data: bytes, pos: int, at: int
    ) -> tuple[int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Go on at data[pos], data[0] being byte `at` of the stream: (status, next pos, starts, ends, lines)."""
        capacity = min(_SPANS, len(data) - pos + 1)
        start, end, line = (np.empty(capacity, np.int64) for _ in range(3))
        view = np.frombuffer(data, np.uint8)
        status, pos, count = _scan(
            view, pos, at, self.base, self.close, self.colon, self._state, self._stack, start, end, line
        )
        return int(status), int(pos), start[:count], end[:count], line[:count]
