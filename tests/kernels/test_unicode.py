"""The flags of code points, held against the running Python's unicodedata."""

from __future__ import annotations

import unicodedata

import numpy as np

from ingot.kernels import unicode

JAMO = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}


def composing() -> set[int]:
    """Code points that some canonical composition takes as its second element."""
    found = set(JAMO)
    for point in range(unicode.CODE_POINTS):
        pair = unicodedata.decomposition(chr(point)).split()
        if len(pair) == 2 and not pair[0].startswith("<"):
            found.add(int(pair[1], 16))
    return found


def test_safe_code_points_are_nfc_next_to_anything() -> None:
    second = composing()
    for low, high in unicode.SAFE:
        for point in (p for p in range(low, high + 1) if not 0xD800 <= p < 0xE000):
            char = chr(point)
            assert unicodedata.is_normalized("NFC", char), hex(point)
            assert unicodedata.combining(char) == 0, hex(point)
            assert point not in second, hex(point)


def test_viramas_are_viramas_of_joining_scripts() -> None:
    table = unicode.flags()
    for point in unicode.VIRAMAS:
        assert unicodedata.combining(chr(point)) == 9, hex(point)
        assert table[point] & unicode.JOINS, hex(point)


def test_spaces_are_the_space_separators_beyond_ascii() -> None:
    found = {p for p in range(128, unicode.CODE_POINTS) if unicodedata.category(chr(p)) == "Zs"}
    assert found == set(unicode.SPACES)


def test_controls_are_c1_without_next_line() -> None:
    controls = set(np.flatnonzero(unicode.flags() & unicode.CONTROL).tolist())
    assert controls == set(range(0x80, 0xA0)) - {0x85}


def test_lower_case_is_simple_and_never_longer() -> None:
    table = unicode.lower()
    for char in "AZÄÉÑΩЖԱẞＡ":
        assert table[ord(char)] == ord(char.lower())
    assert table[ord("İ")] == ord("İ")  # its lower case is two code points
    for point in np.flatnonzero(table != np.arange(unicode.CODE_POINTS)).tolist():
        assert len(chr(int(table[point])).encode()) <= len(chr(point).encode())
