"""128-bit hashes of Arrow columns of any type, value by value: the layout that schema/digest.py defines.

Cost: stated there; 16 bytes of memory per value of the largest column.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.kernels.buffers import frozen
from ingot.kernels.hashing import (
    SEED_A,
    SEED_B,
    Words,
    close_fields,
    fold_field,
    fold_lists,
    hash128,
    hash128_spans,
    hash_words,
    xxh64,
)

_MASK = 2**64 - 1
_NULL = (np.uint64(xxh64(b"", SEED_A ^ _MASK)), np.uint64(xxh64(b"", SEED_B ^ _MASK)))


def chunked(column: pa.ChunkedArray) -> tuple[Words, Words]:
    parts = [_hashes(chunk) for chunk in column.chunks]
    if len(parts) == 1:
        return parts[0]
    empty = np.zeros(0, np.uint64)
    return np.concatenate([empty, *(hi for hi, _ in parts)]), np.concatenate([empty, *(lo for _, lo in parts)])


def _hashes(array: pa.Array) -> tuple[Words, Words]:
    """(hi, lo) per element of one array of any supported type."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _hashes(array.storage)
    if pa.types.is_null(kind) or len(array) == 0:
        return np.full(len(array), _NULL[0]), np.full(len(array), _NULL[1])
    if pa.types.is_dictionary(kind):
        return _dictionary(array)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return _hashes(array.cast(pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary()))
    if pa.types.is_run_end_encoded(kind):
        return _hashes(pc.run_end_decode(array))
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    if pa.types.is_struct(kind):
        hi, lo = folded([_hashes(array.field(k)) for k in range(kind.num_fields)], len(array))
    elif _is_list(kind) or pa.types.is_fixed_size_list(kind):
        hi, lo = _lists(array)
    elif _has_offsets(kind):
        hi, lo = hash128(array)
    elif pa.types.is_fixed_size_binary(kind) or pa.types.is_decimal(kind):
        width = kind.bit_width // 8
        places = np.arange(array.offset, array.offset + len(array) + 1, dtype=np.int64) * width
        hi, lo = hash128_spans(frozen(array.buffers()[1]), places, None)
    else:
        hi, lo = hash_words(_words(array))
    if valid is not None:
        hi[~valid], lo[~valid] = _NULL
    return hi, lo


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind))


def _has_offsets(kind: pa.DataType) -> bool:
    checks = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)
    return any(check(kind) for check in checks)


def _words(array: pa.Array) -> Words:
    """Fixed-width values as 64-bit words; what stands under nulls is arbitrary."""
    kind = array.type
    if pa.types.is_boolean(kind):
        bits: Words = array.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)
        return bits
    if not (pa.types.is_primitive(kind) and kind.bit_width <= 64):
        raise TypeError(f"type {kind} has no content hash; cast it to a string, number, list or struct first")
    width = kind.bit_width // 8
    window = array.buffers()[1].slice(array.offset * width, len(array) * width)
    if pa.types.is_floating(kind):
        values = np.frombuffer(window, f"<f{width}")
        pattern = np.frombuffer(window, f"<u{width}").astype(np.uint64)
        return np.where(np.isnan(values), np.uint64(_MASK), pattern)  # all ones: a NaN of each width, and only that
    if pa.types.is_unsigned_integer(kind):
        return np.frombuffer(window, f"<u{width}").astype(np.uint64)
    return np.frombuffer(window, f"<i{width}").astype(np.int64).view(np.uint64)


def _dictionary(array: pa.Array) -> tuple[Words, Words]:
    """Hash each distinct value once; a null is a null index or an index of a null value."""
    values = _hashes(array.dictionary)
    indices = array.indices.cast(pa.int64())
    places = indices.fill_null(len(array.dictionary)).to_numpy(zero_copy_only=False)
    return np.append(values[0], _NULL[0])[places], np.append(values[1], _NULL[1])[places]


def _lists(array: pa.Array) -> tuple[Words, Words]:
    """Fold the elements of each list; only the elements that the (sliced) array refers to are hashed."""
    n = len(array)
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        first, offsets = array.offset * size, np.arange(n + 1, dtype=np.int64) * size
    else:
        width = np.int64 if pa.types.is_large_list(array.type) else np.int32
        places = np.frombuffer(array.buffers()[1], width)[array.offset : array.offset + n + 1].astype(np.int64)
        first, offsets = int(places[0]), places - places[0]
    values = array.values if not pa.types.is_map(array.type) else array.cast(_entries(array.type)).values
    hi, lo = _hashes(values.slice(first, int(offsets[-1])))
    return fold_lists(hi, lo, offsets)


def _entries(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct([pa.field("key", kind.key_type, nullable=False), pa.field("value", kind.item_type)]))


def folded(fields: list[tuple[Words, Words]], rows: int) -> tuple[Words, Words]:
    """Fold the fields of a struct or row, one field at a time over all rows."""
    hi, lo = np.full(rows, np.uint64(SEED_A)), np.full(rows, np.uint64(SEED_B))
    for field in fields:
        fold_field(hi, lo, *field)
    close_fields(hi, lo, np.uint64(len(fields)))
    return hi, lo
