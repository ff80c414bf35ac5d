"""Content hashes: a plain Python twin of the documented layout, what must not matter, what must, stored vectors."""

from __future__ import annotations

import datetime as dt
import random
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.kernels.hashing import SEED_A, SEED_B
from ingot.schema.digest import content_digest, content_sums, merge_sums, row_hashes, schema_text, subtract_sums
from ingot.schema.records import record_schema

MASK = 2**64 - 1
TURN = pa.struct([("role", pa.string()), ("content", pa.string()), ("n", pa.int32())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("turns", pa.list_(TURN)),
        ("raw", pa.binary()),
        ("ok", pa.bool_()),
        ("score", pa.float64()),
        ("count", pa.int64()),
    ]
)


def avalanche(h: int) -> int:
    h = ((h ^ (h >> 33)) * 0xC2B2AE3D27D4EB4F) & MASK
    h = ((h ^ (h >> 29)) * 0x165667B19E3779F9) & MASK
    return h ^ (h >> 32)


def fold(values: list[int], seed: int) -> int:
    lane = seed
    for value in values:
        lane = (lane + value * 0xC2B2AE3D27D4EB4F) & MASK
        lane = (((lane << 31) | (lane >> 33)) * 0x9E3779B185EBCA87) & MASK
    return avalanche((lane + len(values)) & MASK)


def twin(value: Any, kind: pa.DataType, seed: int) -> int:
    """The layout of the module's docstring, one value at a time."""
    if value is None:
        return xxhash.xxh64_intdigest(b"", seed ^ MASK)
    if pa.types.is_struct(kind):
        return fold([twin(value[field.name], field.type, seed) for field in kind], seed)
    if pa.types.is_list(kind):
        return fold([twin(element, kind.value_type, seed) for element in value], seed)
    if isinstance(value, str | bytes):
        return xxhash.xxh64_intdigest(value.encode() if isinstance(value, str) else value, seed)
    word = int.from_bytes(struct.pack("<d", value), "little") if isinstance(value, float) else int(value)
    return avalanche((word + seed) & MASK)


TEXT = st.none() | st.text(max_size=9)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": TEXT,
            "turns": st.none()
            | st.lists(
                st.none() | st.fixed_dictionaries({"role": TEXT, "content": TEXT, "n": st.none() | st.integers(-5, 5)}),
                max_size=3,
            ),
            "raw": st.none() | st.binary(max_size=40),
            "ok": st.none() | st.booleans(),
            "score": st.none() | st.floats(allow_nan=False),
            "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        }
    ),
    max_size=12,
)


def hashes(table: pa.Table) -> list[tuple[int, int]]:
    hi, lo = row_hashes(table)
    return list(zip(hi.tolist(), lo.tolist(), strict=True))


@settings(max_examples=50, deadline=None)
@given(ROWS)
def test_rows_hash_as_documented(rows: list[dict[str, Any]]) -> None:
    whole = pa.struct(list(SCHEMA))
    assert hashes(pa.Table.from_pylist(rows, SCHEMA)) == [
        (twin(row, whole, SEED_A), twin(row, whole, SEED_B)) for row in rows
    ]


@settings(max_examples=50, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.integers(0, 12))
def test_order_and_cuts_do_not_matter(rows: list[dict[str, Any]], rng: random.Random, cut: int) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    shuffled = list(rows)
    rng.shuffle(shuffled)
    other = pa.Table.from_pylist(shuffled, SCHEMA)
    cut = min(cut, len(rows))
    expected = content_sums(table)
    assert expected["rows"] == len(rows)
    assert content_sums(pa.concat_tables([other.slice(cut), other.slice(0, cut)])) == expected
    assert merge_sums([content_sums(other.slice(cut)), content_sums(other.slice(0, cut))]) == expected
    assert hashes(table.slice(cut)) == hashes(table)[cut:]


def sample() -> pa.Table:
    turns = [[{"role": "user", "content": "hi", "n": 1}, {"role": "assistant", "content": "", "n": None}], [], None]
    return pa.table(
        {
            "id": ["a", "", None],
            "turns": pa.array(turns, pa.list_(TURN)),
            "raw": [b"\0", b"", None],
            "ok": [True, False, None],
            "score": [0.0, -0.0, None],
            "count": [0, -1, None],
        },
        SCHEMA,
    )


def test_stored_vectors() -> None:
    """Digests in lakes depend on these; a change needs a new layout version."""
    sums = content_sums(sample())
    assert sums == {"rows": 3, "sums": ["c20642d72ce554bc", "3d7338774e74c541", "164746fbd2c5a7cb", "2425f7f14c538e7e"]}
    assert (
        content_digest(schema_text(SCHEMA), sums) == "8bdd3c828f9f8bdb55d780c0c91091afff4f63b9f3ed21b9723252d7b008a5b0"
    )
    assert merge_sums([]) == {"rows": 0, "sums": ["0" * 16] * 4}


def test_every_cell_matters() -> None:
    """Any cell set to null, or moved to another row, changes the sums; so does any change inside a list."""
    table = sample()
    seen = {tuple(content_sums(table)["sums"])}
    rows = table.to_pylist()
    variants = []
    for r, row in enumerate(rows):
        for name, value in row.items():
            if value is not None:
                variants.append([{**other, name: None} if k == r else other for k, other in enumerate(rows)])
    first = rows[0]
    for turn in (
        [{"role": "user", "content": "hi", "n": 2}],
        first["turns"][::-1],
        first["turns"][:1],
        [None, *first["turns"]],
        [{"role": "userh", "content": "i", "n": 1}, first["turns"][1]],
        [None],
        [],
    ):
        variants.append([{**first, "turns": turn}, *rows[1:]])
    variants.append([{**rows[0], "id": ""}, {**rows[1], "id": "a"}, rows[2]])
    variants += [rows + rows[:1], rows[:2]]
    for variant in variants:
        seen.add(tuple(content_sums(pa.Table.from_pylist(variant, SCHEMA))["sums"]))
    assert len(seen) == len(variants) + 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a", "bc"], ["ab", "c"]),
        (["", "a"], ["a", ""]),
        ([["a"], ["b"]], [["a", "b"], []]),
        ([[], None], [None, []]),
        ([None], [""]),
        ([[None]], [[""]]),
        ([[None]], [[]]),
        ([[[]]], [[]]),
        ([[["a"], []]], [[[], ["a"]]]),
        ([0.0], [-0.0]),
        ([0], [None]),
        ([False], [None]),
        ([{"x": None}], [None]),
        ([["a", "b"]], [["b", "a"]]),
    ],
)
def test_neighbouring_values_differ(one: list[Any], other: list[Any]) -> None:
    kind = max((pa.array(one).type, pa.array(other).type), key=lambda kind: str(kind).count("null") == 0)
    assert hashes(pa.table({"c": pa.array(one, kind)})) != hashes(pa.table({"c": pa.array(other, kind)}))
    across = [pa.table({f"c{k}": pa.array([value], kind) for k, value in enumerate(row)}) for row in (one, other)]
    assert hashes(across[0]) != hashes(across[1])


def test_physical_form_does_not_matter() -> None:
    texts = ["a", None, "bb", "a", ""]
    plain = pa.table(
        {"t": texts, "l": [["x", None], None, [], ["y"], ["x"]], "f": pa.array([[1, 2]] * 5, pa.list_(pa.int8()))}
    )
    forms = {
        "large": plain.cast(
            pa.schema([("t", pa.large_string()), ("l", pa.large_list(pa.large_string())), plain.field("f")])
        ),
        "dictionary": plain.set_column(0, "t", plain["t"].dictionary_encode()),
        "view": plain.set_column(0, "t", plain["t"].cast(pa.string_view())),
        "null in the dictionary": plain.set_column(
            0,
            "t",
            pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0, 3], pa.int8()), pa.array(["a", None, "bb", ""])),
        ),
        "metadata": plain.replace_schema_metadata({"a": "b"}),
        "chunks": pa.concat_tables([plain.slice(0, 2), plain.slice(2, 0), plain.slice(2)]),
        "not null": pa.table(plain.columns, pa.schema([plain.field(k).with_nullable(k < 2) for k in range(3)])),
    }
    for name, table in forms.items():
        assert hashes(table) == hashes(plain), name
        assert schema_text(table.schema) == schema_text(plain.schema), name
    fixed = plain["f"].combine_chunks().cast(pa.list_(pa.int8(), 2))
    assert hashes(plain.set_column(2, "f", fixed)) == hashes(plain)
    assert schema_text(plain.set_column(2, "f", fixed).schema) != schema_text(plain.schema)


def test_what_lies_under_a_null_does_not_matter() -> None:
    bitmap = pa.py_buffer(b"\x05")
    for kind, values in ((pa.int64(), [1, 9, 3]), (pa.float32(), [1, 9, 3]), (pa.string(), ["a", "zz", "b"])):
        array = pa.array(values, kind)
        hidden = pa.Array.from_buffers(kind, 3, [bitmap, *array.buffers()[1:]])
        assert hashes(pa.table({"c": hidden})) == hashes(pa.table({"c": pa.array([values[0], None, values[2]], kind)}))
    inner = pa.StructArray.from_arrays([pa.array(["a", "zz", "b"])], ["x"], mask=pa.array([False, True, False]))
    lists = pa.ListArray.from_arrays(
        pa.array([0, 1, 3, 3]), pa.array(["a", "b", "c"]), mask=pa.array([False, True, False])
    )
    assert hashes(pa.table({"c": inner})) == hashes(pa.table({"c": [{"x": "a"}, None, {"x": "b"}]}))
    assert hashes(pa.table({"c": lists})) == hashes(pa.table({"c": [["a"], None, []]}))


def test_other_types_slice_and_tell_values_apart() -> None:
    day = dt.date(2024, 2, 29)
    columns = {
        "decimal": pa.array([Decimal("1.5"), None, Decimal(-2)], pa.decimal128(10, 2)),
        "null": pa.nulls(3),
        "fixed": pa.array([b"12", None, b"zz"], pa.binary(2)),
        "day": [day, None, day + dt.timedelta(1)],
        "stamp": pa.array([1, None, 2], pa.timestamp("us", "UTC")),
        "half": pa.array(np.array([1, 2, 3], np.float16)),
        "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "pair": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int8(), 2)),
        "u": pa.array([0, None, 2**64 - 1], pa.uint64()),
    }
    table = pa.table(columns)
    for name in columns:
        one = hashes(table.select([name]))
        assert len(set(one)) == (1 if name == "null" else 3), name
        assert [hashes(table.select([name]).slice(k, 1))[0] for k in range(3)] == one, name
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", None]))
    assert hashes(pa.table({"c": runs})) == hashes(pa.table({"c": ["a", "a", None]}))


def test_all_nan_are_one() -> None:
    patterns = np.array([0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001], np.uint64).view(np.float64)
    assert len(set(hashes(pa.table({"c": patterns})))) == 1


def test_a_type_without_a_hash_is_named() -> None:
    union = pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])
    with pytest.raises(TypeError, match="union"):
        row_hashes(pa.table({"c": union}))


def test_names_types_and_order_are_in_the_digest() -> None:
    sums = content_sums(pa.table({"a": ["x"], "b": ["x"]}))
    schemas = [
        pa.schema([("a", pa.string()), ("b", pa.string())]),
        pa.schema([("b", pa.string()), ("a", pa.string())]),
        pa.schema([("a", pa.string()), ("b", pa.binary())]),
        record_schema("sft"),
    ]
    assert len({content_digest(schema_text(schema), sums) for schema in schemas}) == len(schemas)
    assert schema_text(schemas[0]) == '[["a","string"],["b","string"]]'
    assert content_digest(schema_text(schemas[0]), {**sums, "rows": 2}) != content_digest(schema_text(schemas[0]), sums)


@settings(max_examples=25)
@given(st.lists(st.text(max_size=5), max_size=12), st.integers(0, 12))
def test_sums_of_some_rows_and_of_the_others_are_those_of_all(values: list[str], at: int) -> None:
    whole = pa.table({"a": pa.array(values, pa.string())})
    some, others = whole.slice(0, at), whole.slice(at)
    assert subtract_sums(content_sums(whole), content_sums(some)) == content_sums(others)
    assert merge_sums([content_sums(some), content_sums(others)]) == content_sums(whole)
