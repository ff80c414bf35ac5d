"""Arrow values as JSON text: every type, nothing lost."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.sources.readers.columnar import to_json

DAY = dt.datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001
CASES: list[tuple[pa.Array, list[str]]] = [
    (pa.array([2**63 - 1, -(2**63), None]), ["9223372036854775807", "-9223372036854775808", "null"]),
    (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    (pa.array([1.0, 0.1, 1e21, 1e-7]), ["1.0", "0.1", "1e+21", "1e-7"]),
    (pa.array([math.nan, math.inf, -math.inf]), ["null", "Infinity", "-Infinity"]),
    (pa.array([0.1], pa.float32()), ["0.1"]),
    (pa.array([1.5], pa.float16()), ["1.5"]),
    (pa.array([True, False, None]), ["true", "false", "null"]),
    (pa.array([decimal.Decimal("12345678901234567890.10")]), ["12345678901234567890.10"]),
    (pa.array([DAY]), ['"2024-01-02T03:04:05.000006"']),
    (pa.array([DAY], pa.timestamp("us", "Europe/Paris")), ['"2024-01-02T03:04:05.000006Z"']),
    (pa.array([DAY.date()]), ['"2024-01-02"']),
    (pa.array([DAY.time()]), ['"03:04:05.000006"']),
    (pa.array([5], pa.duration("s")), ["5"]),
    (pa.array([b"\xff\x00", None]), ['"/wA="', "null"]),
    (pa.array([b"ab"], pa.binary(2)), ['"YWI="']),
    (pa.array([[("a", 1), ("b", None)], None], pa.map_(pa.string(), pa.int64())), ['{"a":1,"b":null}', "null"]),
    (pa.array([[(1, "x")]], pa.map_(pa.int64(), pa.string())), ['[{"key":1,"value":"x"}]']),
    (pa.array(["x", "y", "x"]).dictionary_encode(), ['"x"', '"y"', '"x"']),
    (pa.array(["é\u2028"], pa.string_view()), ['"é\u2028"']),
    (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)), ["[1,2]", "null", "[3,4]"]),
    (pa.array([[1], None, []], pa.list_view(pa.int64())), ["[1]", "null", "[]"]),
    (pa.array([[1, None], None, [3]]).slice(1), ["null", "[3]"]),
    (pa.array([{"a": 1}, None, {"a": None}]).slice(1), ["null", '{"a":null}']),
    (pa.array([{}], pa.struct([])), ["{}"]),
    (pa.nulls(1), ["null"]),
]


@pytest.mark.parametrize(("array", "texts"), CASES, ids=[f"{i}-{array.type}" for i, (array, _) in enumerate(CASES)])
def test_every_type(array: pa.Array, texts: list[str]) -> None:
    assert to_json(array).to_pylist() == texts


VALUE = st.fixed_dictionaries({
    "text": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))),
    "number": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    "turns": st.one_of(
        st.none(), st.lists(st.fixed_dictionaries({"role": st.text('ab"\\\x00\x7f\t'), "n": st.integers(0, 9)}))
    ),
})  # fmt: skip
SCHEMA = pa.struct([("text", pa.string()), ("number", pa.float64()),
                    ("turns", pa.list_(pa.struct([("role", pa.string()), ("n", pa.int64())])))])  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(VALUE, max_size=4))
def test_json_reads_back_as_the_same_values(values: list[dict[str, Any]]) -> None:
    texts = to_json(pa.array(values, SCHEMA)).to_pylist()
    assert [json.loads(text) for text in texts] == values
