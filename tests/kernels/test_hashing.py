"""XXH64 against the xxhash library, ids against their definition, constants that stored data depends on."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from ingot.kernels.hashing import SEED_A, SEED_B, hash128, hex_ids, item_ids, record_ids, xxh64


def reference(data: bytes, flip: int = 0) -> tuple[int, int]:
    return xxhash.xxh64_intdigest(data, SEED_A ^ flip), xxhash.xxh64_intdigest(data, SEED_B ^ flip)


def reference_id(data: bytes) -> str:
    high, low = reference(data)
    return f"{high:016x}{low:016x}"


def test_xxh64_equals_the_library_for_every_length() -> None:
    rng = random.Random(1)
    for size in [*range(301), 4096, 100_003]:
        data, seed = rng.randbytes(size), rng.getrandbits(64)
        assert xxh64(data, seed) == xxhash.xxh64_intdigest(data, seed), size


def test_published_vectors() -> None:
    """From the reference implementation's own documentation."""
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"a") == 0xD24EC4F1A98C6E5B
    assert xxh64(b"abc") == 0x44BC2CF5AD770999


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_prefix_and_value_are_hashed_as_one(kind: pa.DataType) -> None:
    rng = random.Random(2)
    values = [rng.randbytes(rng.randrange(150)) for _ in range(200)] + [b""]
    array = pa.array([b"skipped", *values], kind).slice(1)
    for size in range(100):
        prefix = rng.randbytes(size)
        hi, lo = hash128(array, prefix)
        assert list(zip(hi.tolist(), lo.tolist(), strict=True)) == [reference(prefix + value) for value in values], size


def test_null_is_not_empty() -> None:
    hi, lo = hash128(pa.array(["", None, "a"]), b"p")
    flipped = reference(b"p", 2**64 - 1)
    assert [(int(hi[k]), int(lo[k])) for k in range(3)] == [reference(b"p"), flipped, reference(b"pa")]


def test_ids_are_what_the_documentation_says() -> None:
    raw = pa.array([b'{"a":1}', b"", b'{"a":1}', b"x" * 1000], pa.binary())
    ids = record_ids("gsm8k", raw)
    ids.validate(full=True)
    assert ids.to_pylist() == [reference_id(b"gsm8k\0" + row) for row in raw.to_pylist()]
    assert ids.to_pylist()[0] == "9ce360f0880abbce65e83ee204d59a5f"
    items = np.array([0, 2, 10, 2_147_483_647], np.int32)
    derived = item_ids(ids, items).to_pylist()
    assert derived[0] == ids[0].as_py()
    assert derived[1:] == [reference_id(f"{ids[k].as_py()}:{items[k]}".encode()) for k in (1, 2, 3)]
    assert item_ids(ids.slice(0, 1), np.array([2], np.int32)).to_pylist() == ["882c0b18f1e00d2dfcfa858620156ae4"]


def test_strings_and_bytes_have_the_same_id() -> None:
    assert record_ids("s", pa.array(["é", "b"])).equals(
        record_ids("s", pa.array(["é".encode(), b"b"], pa.large_binary()))
    )


def test_hex_is_lower_case_and_padded() -> None:
    assert hex_ids(np.array([0, 2**64 - 1], np.uint64), np.array([0xABC, 1], np.uint64)).to_pylist() == [
        "0" * 29 + "abc",
        "f" * 16 + "0" * 15 + "1",
    ]
    assert hex_ids(np.zeros(0, np.uint64), np.zeros(0, np.uint64)).to_pylist() == []


def test_item_ids_refuse_what_is_not_an_id() -> None:
    one = np.array([1], np.int32)
    for ids in (pa.array(["short"]), pa.array([None], pa.string()), pa.array(["0" * 32] * 2)):
        with pytest.raises(ValueError, match="32 hex digits"):
            item_ids(ids, one)
    with pytest.raises(ValueError, match="-1"):
        item_ids(pa.array(["0" * 32]), -one)
    assert item_ids(pa.array([], pa.string()), np.zeros(0, np.int32)).to_pylist() == []
