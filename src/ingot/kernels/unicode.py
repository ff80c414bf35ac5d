"""What text kernels must know of each code point: one byte of flags, simple lower case, its place in UTF-8.

Flags are ranges written down here, not read from the running Python, so they are the same under every Python version;
a test compares them with `unicodedata`. They err on the careful side: a letter that is not listed as NFC-safe costs a
look by `unicodedata`, a character listed as joining keeps its joiners.
Cost: 1.1 MB for the flags, about a millisecond to fill; the lower-case table is built on first use (10 ms).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Bytes = npt.NDArray[np.uint8]
_U1, _U2, _U3 = np.uint64(1), np.uint64(2), np.uint64(3)

CODE_POINTS = 0x110000

UNSAFE = 1  # may change under NFC, or interact with its neighbours: let unicodedata decide
JOINS = 2  # of a script whose spelling needs ZWJ and ZWNJ
VIRAMA = 4  # after it a joiner counts even at the end of a word
PICTURE = 8  # may be part of an emoji sequence
DROP = 16  # zero width and never content: ZWSP, word joiner, BOM, Mongolian vowel separator
JOINER = 32  # ZWJ and ZWNJ: content between certain neighbours only
CONTROL = 64  # C1 controls except NEL, which ends a line
SPACE = 128  # white space other than ASCII: no-break, en, em, ideographic ...

# Code points that are NFC as they stand next to anything: no combining class, no composition with what precedes.
SAFE: tuple[tuple[int, int], ...] = (
    (0x0000, 0x02FF), (0x0370, 0x0373), (0x0376, 0x0377), (0x037A, 0x037D), (0x0388, 0x03CE), (0x03D0, 0x0482),
    (0x048A, 0x052F), (0x0531, 0x0556), (0x0561, 0x0587), (0x05BE, 0x05BE), (0x05D0, 0x05EA), (0x0606, 0x060F),
    (0x061B, 0x064A), (0x0660, 0x066F), (0x0671, 0x06D5), (0x06F0, 0x06FF), (0x0904, 0x0939), (0x0E01, 0x0E37),
    (0x0E3F, 0x0E47), (0x0E4F, 0x0E5B), (0x10A0, 0x10FF), (0x1E00, 0x1EFF), (0x2002, 0x2027), (0x202A, 0x206F),
    (0x2070, 0x2071), (0x2074, 0x208E), (0x20A0, 0x20C0), (0x2100, 0x2125), (0x2127, 0x2129), (0x212C, 0x218B),
    (0x2190, 0x2328), (0x232B, 0x2426), (0x2440, 0x244A), (0x2460, 0x2ADB), (0x2ADD, 0x2B73), (0x2B76, 0x2B95),
    (0x3000, 0x3029), (0x3030, 0x303F), (0x3041, 0x3096), (0x309B, 0x309F), (0x30A0, 0x30FF), (0x3105, 0x312F),
    (0x3131, 0x318E), (0x3220, 0x9FFC), (0xAC00, 0xD7A3), (0xFE00, 0xFE19), (0xFE30, 0xFE52), (0xFF01, 0xFFBE),
    (0xFFE0, 0xFFE6), (0xFFFC, 0xFFFD), (0x1D400, 0x1D454), (0x1D456, 0x1D49C), (0x1D4C5, 0x1D505),
    (0x1D552, 0x1D6A5), (0x1D6A8, 0x1D7CB), (0x1D7CE, 0x1D7FF), (0x1F300, 0x1F6D7), (0x1F900, 0x1FA53),
    (0x20000, 0x2A6DD),
)  # fmt: skip

# Arabic to Sinhala, Tibetan to Myanmar, Khmer, Mongolian, Brahmic scripts beyond, presentation forms, Adlam
_JOINS = (
    (0x0600, 0x08FF), (0x0900, 0x0DFF), (0x0F00, 0x109F), (0x1700, 0x18AF), (0x1900, 0x1CFF), (0x2D30, 0x2D7F),
    (0xA800, 0xAAFF), (0xABC0, 0xABFF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC), (0x10A00, 0x10FFF), (0x11000, 0x11FFF),
    (0x1E900, 0x1E95F),
)  # fmt: skip
VIRAMAS = (
    0x094D, 0x09CD, 0x0A4D, 0x0ACD, 0x0B4D, 0x0BCD, 0x0C4D, 0x0CCD, 0x0D3B, 0x0D3C, 0x0D4D, 0x0DCA, 0x0F84, 0x1039,
    0x103A, 0x1714, 0x1734, 0x17D2, 0x1A60, 0x1B44, 0x1BAA, 0x1BAB, 0x1BF2, 0x1BF3, 0x2D7F, 0xA806, 0xA8C4, 0xA953,
    0xA9C0, 0xAAF6, 0xABED, 0x11046, 0x110B9, 0x11133, 0x111C0, 0x11235, 0x1134D, 0x11442, 0x114C2, 0x115BF, 0x1163F,
)  # fmt: skip
# emoji and their modifiers, keycaps, variation selector 16, tags of flags
_PICTURES = (
    (0x00A9, 0x00A9), (0x00AE, 0x00AE), (0x203C, 0x203C), (0x2049, 0x2049), (0x20E3, 0x20E3), (0x2122, 0x2122),
    (0x2139, 0x2139), (0x2190, 0x21FF), (0x2300, 0x23FF), (0x24C2, 0x24C2), (0x25A0, 0x27BF), (0x2900, 0x297F),
    (0x2B00, 0x2BFF), (0x3030, 0x3030), (0x303D, 0x303D), (0x3297, 0x3299), (0xFE0F, 0xFE0F), (0x1F000, 0x1FAFF),
    (0xE0020, 0xE007F),
)  # fmt: skip
SPACES = (0x00A0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_DROPS = (0x180E, 0x200B, 0x2060, 0xFEFF)
_JOINERS = (0x200C, 0x200D)


@cache
def flags() -> npt.NDArray[np.uint8]:
    """Flags of every code point."""
    table = np.full(CODE_POINTS, UNSAFE, np.uint8)
    for low, high in SAFE:
        table[low : high + 1] = 0
    for ranges, flag in ((_JOINS, JOINS), (_PICTURES, PICTURE)):
        for low, high in ranges:
            table[low : high + 1] |= np.uint8(flag)
    for points, flag in ((VIRAMAS, VIRAMA), (SPACES, SPACE), (_DROPS, DROP), (_JOINERS, JOINER)):
        table[list(points)] |= np.uint8(flag)
    table[0x80:0xA0] |= np.uint8(CONTROL)
    table[0x85] = 0
    return table


@cache
def lower() -> npt.NDArray[np.uint32]:
    """Simple lower case below U+3000 and of full-width Latin; other code points stand for themselves.

    Never longer in UTF-8 than what it replaces; leaves out the one block below that Unicode still adds letters to.
    """
    table = np.arange(CODE_POINTS, dtype=np.uint32)
    for low, high in ((0, 0x1C80), (0x1C90, 0x3000), (0xFF21, 0xFF3B)):
        for point in range(low, high):
            small = chr(point).lower()
            if len(small) == 1 and len(small.encode("utf-8", "replace")) <= len(chr(point).encode("utf-8", "replace")):
                table[point] = ord(small)
    return table


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
def space_before(data: Bytes, i: Any, start: Any) -> Any:
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
