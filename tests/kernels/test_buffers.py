"""Buffers of Arrow columns as kernels see them; words are read and written at any place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from ingot.kernels.buffers import byte_rows, frozen, load64, store64, string_array, text_offsets


@njit
def move(source: Any, i: Any, target: Any, o: Any) -> None:
    store64(target, o, load64(source, i))


@settings(max_examples=40)
@given(st.binary(min_size=8, max_size=24), st.data())
def test_eight_bytes_move_from_and_to_any_place(source: bytes, data: st.DataObject) -> None:
    i, o = data.draw(st.integers(0, len(source) - 8)), data.draw(st.integers(0, 9))
    target = np.full(17, 7, np.uint8)
    move(frozen(source), i, target, np.uint64(o))
    assert target.tobytes() == b"\7" * o + source[i : i + 8] + b"\7" * (9 - o)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
def test_rows_of_a_slice_with_nulls(kind: pa.DataType) -> None:
    data, offsets, valid = byte_rows(pa.array(["x", "äb", None, "", "z"], kind).slice(1, 3))
    assert valid is not None
    assert [data[a:b].tobytes().decode() if ok else None for a, b, ok in zip(offsets, offsets[1:], valid, strict=False)] == ["äb", None, ""]


def test_strings_of_buffers_and_their_limit() -> None:
    offsets = text_offsets(np.array([1, 0, 2], np.int64))
    array = string_array(offsets, np.frombuffer(b"abc", np.uint8), np.array([True, False, True]))
    assert array.to_pylist() == ["a", None, "bc"]
    with pytest.raises(OverflowError, match="2147483648 bytes"):
        text_offsets(np.array([2**31], np.int64))
    with pytest.raises(TypeError, match="int64"):
        byte_rows(pa.array([1]))
