"""Text normalisation over Arrow string columns: find the few strings that need work, then rewrite only those.

`normalize` gives, for each string: line ends as LF, no control or zero-width characters, Unicode NFC, no white space at
line ends, no blank lines at the start and end. Fenced code keeps its inner white space, indented lines and lines with
an open `inline` span keep theirs; numbers and the inside of lines are never touched.
Guarantee: idempotent by construction (a result is a fixed point of one more round), and a string's result depends on
that string alone. NFC is stable across Unicode versions for assigned characters, so Python versions agree on them.
Line ends: Unicode Standard 5.8; fences: CommonMark 4.5, at any indentation; joiners: RFC 5892 appendix A.1-A.2.
Cost: MEASURED_TEXT
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from ingot.kernels import unicode

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int32]
Form = Literal["nfc", "nfkc"]

# what was done to a string
RULES = ("newlines", "controls", "zero_width", "unicode", "white_space")
NEWLINES, CONTROLS, ZERO_WIDTH, UNICODE, WHITE_SPACE = 1, 2, 4, 8, 16
_ASK = 128  # only inside: unicodedata has to look
_WIDE = 2  # what `classify` says of a string with bytes beyond ASCII

UNSAFE, JOINS, VIRAMA, PICTURE = unicode.UNSAFE, unicode.JOINS, unicode.VIRAMA, unicode.PICTURE
DROP, JOINER, CONTROL, SPACE = unicode.DROP, unicode.JOINER, unicode.CONTROL, unicode.SPACE

_U0, _U1, _U2, _U3 = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
_ZERO = np.zeros(1, np.int32)
_EMPTY = np.zeros(0, np.uint8)


def views(array: pa.StringArray) -> tuple[Bytes, Offsets]:
    """The bytes and offsets of a string array, without a copy; null slots may span anything."""
    if not len(array):
        return _EMPTY, _ZERO
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4)
    return (np.frombuffer(data, np.uint8) if data is not None and data.size else _EMPTY), starts


def strings(data: Bytes, offsets: Offsets) -> pa.StringArray:
    """A string array over these bytes, which must be UTF-8."""
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def classify(data: Bytes, offsets: Offsets) -> Any:
    """For each string whether it may need work: 1 = an edit of ASCII characters, 2 = bytes beyond ASCII, or both."""
    out = np.zeros(offsets.shape[0] - 1, np.uint8)
    for s in range(out.shape[0]):
        text = data[offsets[s] : offsets[s + 1]]  # a slice and uint8 all through: what the compiler can vectorise
        n = text.shape[0]
        if n == 0:
            continue
        wide, odd = np.uint8(0), np.uint8(0)
        for i in range(n):
            c = text[i]
            wide = np.uint8(wide | c)
            odd = np.uint8(odd | np.uint8(c < 32) & np.uint8(c != 9) & np.uint8(c != 10) | np.uint8(c == 127))
        after = text[1:]
        for i in range(n - 1):
            c = text[i]
            odd = np.uint8(odd | (np.uint8(c == 32) | np.uint8(c == 9)) & np.uint8(after[i] == 10))
        end = text[n - 1]
        if text[0] == 10 or end == 10 or end == 32 or end == 9:
            odd = np.uint8(1)
        out[s] = (odd & 1) | ((wide >> 7) << 1)
    return out


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def settle(data: Bytes, offsets: Offsets, found: Bytes, table: Bytes) -> None:
    """Clear `found` for strings beyond ASCII whose characters are plainly in order."""
    for s in range(found.shape[0]):
        if found[s] != _WIDE:
            continue
        i, end = offsets[s], offsets[s + 1]
        fine = True
        while i < end and fine:
            if data[i] < 0x80:
                i += 1
                continue
            point, width = decode(data, i, end)
            kind = np.int64(table[point])
            i += width
            odd = kind & (UNSAFE | DROP | JOINER | CONTROL) or point == 0x85
            if odd or (kind & SPACE and (i == end or data[i] == 10)):
                fine = False
        if fine:
            found[s] = 0


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def decode(data: Bytes, at: Any, stop: Any) -> Any:
    """(code point, bytes) of the UTF-8 character at this place; Arrow strings are valid, so only the end is checked."""
    i, left = np.uint64(at), np.int64(stop) - np.int64(at)
    c = np.int64(data[i])
    if c < 0x80:
        return c, 1
    if c < 0xE0 and left > 1:
        return (c & 31) << 6 | np.int64(data[i + _U1] & 63), 2
    if c < 0xF0 and left > 2:
        return (c & 15) << 12 | np.int64(data[i + _U1] & 63) << 6 | np.int64(data[i + _U2] & 63), 3
    if left > 3:
        low = np.int64(data[i + _U2] & 63) << 6 | np.int64(data[i + _U3] & 63)
        return (c & 7) << 18 | np.int64(data[i + _U1] & 63) << 12 | low, 4
    return c, 1


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def filter_characters(data: Bytes, offsets: Offsets, table: Bytes) -> Any:
    """Strings with LF line ends and without control and zero-width characters, and what was done to each.

    Indices are unsigned: signed ones cost a wrap-around check at each access.
    """
    n = offsets.shape[0] - 1
    out = np.empty(offsets[n] - offsets[0], np.uint8)
    ends = np.zeros(n + 1, np.int32)
    done = np.zeros(n, np.uint8)
    o: Any = _U0
    for s in range(n):
        i: Any = np.uint64(offsets[s])
        end = np.uint64(offsets[s + 1])
        before: Any = 0  # flags of the last character kept
        did: Any = 0
        while i < end:
            c = data[i]
            if c < 0x80:
                i += _U1
                if c == 13:
                    did |= NEWLINES
                    if i < end and data[i] == 10:
                        continue
                    c = np.uint8(10)
                elif (c < 32 and (c < 9 or c > 12)) or c == 127:
                    did |= CONTROLS
                    continue
                out[o] = c
                o += _U1
                before = np.int64(table[c])
                continue
            point, size = decode(data, i, end)
            width = np.uint64(size)
            kind = np.int64(table[point])
            if point == 0x85:
                did |= NEWLINES
                out[o] = 10
                o += _U1
                before = 0
            elif kind & CONTROL:
                did |= CONTROLS
            elif kind & DROP or (kind & JOINER and not _joins(data, i + width, end, point, before, table)):
                did |= ZERO_WIDTH
            else:
                for k in range(size):
                    out[o + np.uint64(k)] = data[i + np.uint64(k)]
                o += width
                before = kind
                did |= (kind & UNSAFE) * _ASK
            i += width
        ends[s + 1] = o
        done[s] = did
    return out[: np.int64(o)], ends, done


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def _joins(data: Bytes, i: Any, end: Any, joiner: int, before: int, table: Bytes) -> Any:
    """Whether a joiner is content: inside a word of a joining script, after a virama, inside an emoji sequence."""
    after: Any = 0
    if i < end:
        after = np.int64(table[decode(data, i, end)[0]])
    if before & JOINS and (after & JOINS or before & VIRAMA):
        return True
    return joiner == 0x200D and before & PICTURE != 0 and after & PICTURE != 0


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def space_at(data: Bytes, at: Any, stop: Any) -> Any:
    """Bytes of the white-space character at this place, line feed excepted; 0 when there is none."""
    i, left = np.uint64(at), np.int64(stop) - np.int64(at)
    c = data[i]
    if c == 32 or c == 9 or c == 11 or c == 12:
        return 1
    if c == 0xC2:
        return 2 if left > 1 and data[i + _U1] == 0xA0 else 0
    if c < 0xE1 or c > 0xE3 or left < 3:
        return 0
    return 3 if _wide_space(c, data[i + _U1], data[i + _U2]) else 0


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def _space_before(data: Bytes, i: Any, start: Any) -> Any:
    """Bytes of the white-space character that ends before i; 0 when there is none."""
    c, room = data[i - _U1], np.int64(i - start)
    if c == 32 or c == 9 or c == 11 or c == 12:
        return 1
    if c < 0x80 or c > 0xBF:
        return 0
    if c == 0xA0 and room >= 2 and data[i - _U2] == 0xC2:
        return 2
    return 3 if room >= 3 and _wide_space(data[i - _U3], data[i - _U2], c) else 0


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def _wide_space(a: int, b: int, c: int) -> Any:
    """U+1680, U+2000-200A, U+202F, U+205F, U+3000 in UTF-8."""
    if a == 0xE2:
        return (b == 0x80 and (c <= 0x8A or c == 0xAF)) or (b == 0x81 and c == 0x9F)
    return (a == 0xE1 and b == 0x9A and c == 0x80) or (a == 0xE3 and b == 0x80 and c == 0x80)


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def _fence(data: Bytes, i: Any, end: Any) -> Any:
    """Length of the run of backticks or tildes at i when it can open a code block, else 0."""
    if i >= end:
        return 0
    mark, k = data[i], i
    if mark != 96 and mark != 126:
        return 0
    while k < end and data[k] == mark:
        k += _U1
    if np.int64(k - i) < 3:
        return 0
    for m in range(k, end):
        if mark == 96 and data[m] == 96:
            return 0
    return np.int64(k - i)


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def trim(data: Bytes, offsets: Offsets) -> Any:
    """Strings without white space at line ends and without blank lines around, code excepted; and whether it changed."""
    n = offsets.shape[0] - 1
    out = np.empty(offsets[n] - offsets[0], np.uint8)
    ends = np.zeros(n + 1, np.int32)
    done = np.zeros(n, np.uint8)
    o: Any = _U0
    for s in range(n):
        begin = o
        o, broke = _trim_one(data, np.uint64(offsets[s]), np.uint64(offsets[s + 1]), out, o)
        ends[s + 1] = o
        if broke or np.int64(o - begin) != offsets[s + 1] - offsets[s]:
            done[s] = WHITE_SPACE
    return out[: np.int64(o)], ends, done


@njit(nogil=True, cache=True)  # type: ignore[misc,untyped-decorator,unused-ignore]
def _trim_one(data: Bytes, i: Any, end: Any, out: Bytes, o: Any) -> Any:
    """Write one trimmed string at out[o:]; returns where it ends and whether a VT or FF became a line end."""
    mark, length = np.uint8(0), 0  # of the open fence
    begin, solid = o, o  # solid: where the output ends if only blank text follows
    broke = False
    while i <= end:
        j, ticks = i, 0
        while j < end:
            c = data[j]
            if c == 10 or (length == 0 and (c == 11 or c == 12)):
                break
            ticks += c == 96
            j += _U1
        k, indent = i, 0
        while k < j:
            width = space_at(data, k, j)
            if width == 0:
                break
            indent += 4 if data[k] == 9 else 1
            k += np.uint64(width)
        e = j
        while e > k:
            width = _space_before(data, e, k)
            if width == 0:
                break
            e -= np.uint64(width)
        stop = e
        if length > 0:
            m = k
            while m < e and data[m] == mark:
                m += _U1
            if m == e and np.int64(m - k) >= length:
                length = 0
            else:
                stop = j
        else:
            length = _fence(data, k, e) if ticks > 2 or (k < e and data[k] == 126) else 0
            if length > 0:
                mark = data[k]
            elif k == j:
                stop = i
            elif indent >= 4 or ticks & 1:
                stop = j
        m = i
        while m < stop:
            out[o] = data[m]
            o += _U1
            m += _U1
        if length > 0:
            solid = o
        elif k < j:
            solid = o - (stop - e)
        if j < end and (length > 0 or solid > begin):
            out[o] = 10
            o += _U1
            broke |= data[j] != 10
        i = j + _U1
    return (o if length > 0 else solid), broke


# Code as `compose` sees it: fenced blocks (open ones to the end), indented lines, inline spans. And what NFKC would
# give another value: superscripts, fractions and enclosed numbers; full-width ` and ~, which would become fences.
_KEEP = re.compile(
    r"^[^\S\n]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[^\S\n]*(?P=fence)[`~]*[^\S\n]*$|\Z)"
    r"|^(?:[^\S\n]{4}|\t)[^\n]*$"
    r"|`+[^`]*`+"
    r"|[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u215f\u2189\u2460-\u24ff\u3220-\u3229\u3248-\u324f"
    r"\u3251-\u325f\u3280-\u3289\u32b1-\u32bf\U0001f100-\U0001f10c\uff40\uff5e]+",
    re.MULTILINE | re.DOTALL,
)


def compose(text: str, form: Form) -> str:
    """NFC; with form "nfkc" compatibility characters are folded too, except in code and where that changes a number."""
    text = unicodedata.normalize("NFC", text)
    if form == "nfc" or unicodedata.is_normalized("NFKC", text):
        return text
    pieces, start = [], 0
    for kept in _KEEP.finditer(text):
        pieces += [unicodedata.normalize("NFKC", text[start : kept.start()]), kept.group()]
        start = kept.end()
    return "".join([*pieces, unicodedata.normalize("NFKC", text[start:])])


def normalize(array: pa.StringArray, form: Form = "nfc") -> tuple[pa.StringArray, Bytes]:
    """The normalised strings (nulls stay null) and, for each, the RULES that changed it as bits."""
    rules = np.zeros(len(array), np.uint8)
    todo = _suspects(array, form)
    if not len(todo):
        return array, rules
    before = array.take(pa.array(todo))
    text, done = _round(before, form)
    again = _suspects(text, form)
    while len(again):
        old = text.take(pa.array(again))
        new, more = _round(old, form)
        changed = _differs(old, new)
        if not changed.any():
            break
        again, new = again[changed], new.filter(pa.array(changed))
        done[again] |= more[changed]
        text = _replace(text, again, new)
        again = again[_suspects(new, form)]
    changed = _differs(before, text)
    rules[todo[changed]] = done[changed]
    return _replace(array, todo[changed], text.filter(pa.array(changed))), rules


def _suspects(array: pa.StringArray, form: Form) -> npt.NDArray[np.int64]:
    """Indices of the strings that a round may change; all others are known to be in order."""
    data, offsets = views(array)
    found = classify(data, offsets)
    if form == "nfc":
        settle(data, offsets, found, unicode.flags())
    if array.null_count:
        found[pc.is_null(array).to_numpy(zero_copy_only=False)] = 0
    return np.flatnonzero(found)


def _replace(array: pa.StringArray, indices: npt.NDArray[np.int64], values: pa.StringArray) -> pa.StringArray:
    mask = np.zeros(len(array), bool)
    mask[indices] = True
    return pc.replace_with_mask(array, pa.array(mask), values)


def _round(array: pa.StringArray, form: Form) -> tuple[pa.StringArray, Bytes]:
    """Characters, then NFC, then white space: once each. What one undoes for another is left to the next round."""
    data, offsets, done = filter_characters(*views(array), unicode.flags())
    text = strings(data, offsets)
    ask = np.flatnonzero(classify(data, offsets) & _WIDE if form == "nfkc" else done & _ASK)
    done &= _ASK - 1
    if len(ask):
        old = text.take(pa.array(ask)).to_pylist()
        new = [compose(one, form) for one in old]
        other = np.fromiter((a != b for a, b in zip(old, new, strict=True)), bool, len(old))
        if other.any():
            text = _replace(text, ask, pa.array(new, pa.string()))
            done[ask[other]] |= UNICODE
    data, offsets, trimmed = trim(*views(text))
    return strings(data, offsets), done | trimmed


def _differs(a: pa.StringArray, b: pa.StringArray) -> npt.NDArray[np.bool_]:
    differs: npt.NDArray[np.bool_] = pc.not_equal(a, b).to_numpy(zero_copy_only=False)
    return differs
