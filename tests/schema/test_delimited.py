"""Fields of delimited records."""

from __future__ import annotations

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.schema.delimited import fields


@given(st.text(alphabet='ab",;\t é', max_size=20), st.sampled_from(",;\t"))
@settings(max_examples=50, deadline=None)
def test_fields_are_those_of_the_standard_reader(text: str, delimiter: str) -> None:
    theirs = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [""])
    assert fields(text, delimiter) == theirs


def test_what_the_standard_reader_refuses() -> None:
    cell = "x" * 20_000_000
    assert fields(f'1,"{cell}",y') == ["1", cell, "y"]
    assert fields("a\rb,c") == ["a\rb", "c"]
    assert fields('"a\nb""c",\x00') == ['a\nb"c', "\x00"]
