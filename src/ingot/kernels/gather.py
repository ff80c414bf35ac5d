"""Copy pieces of list columns out of many memory-mapped files into fixed-shape batches, in one call.

Files are given by the addresses of their Arrow buffers, so one compiled loop serves any number of them; handing over
an array per file would cost more than the copy. Callers keep the files mapped for as long as they pass addresses, and
check spans before they copy: nothing here can know where a buffer ends.
Cost: MEASURED_GATHER
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
IGNORE = -100  # the label that cross-entropy losses leave out


@intrinsic
def _pointer(_context: Any, address: Any) -> Any:
    """An address as a pointer, for carray."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@njit(nogil=True, cache=True)
def spans(offsets: Int64s, part: Int64s, row: Int64s) -> Any:
    """(begin, length) of list `row[k]` of part `part[k]`; offsets[p] is the address of part p's int32 offsets."""
    begin = np.empty(row.shape[0], np.int64)
    length = np.empty(row.shape[0], np.int64)
    for k in range(row.shape[0]):
        pair = carray(_pointer(offsets[part[k]] + 4 * row[k]), (2,), np.int32)
        begin[k] = pair[0]
        length[k] = pair[1] - pair[0]
    return begin, length


@njit(nogil=True, cache=True)
def copy_tokens(
    tokens: Int64s, segments: Int64s, length: Int64s, row: Int64s, column: Int64s, masked: Int64s, trainable: Any,
    input_ids: Any, labels: Any,
) -> None:
    """Copy piece k to input_ids[row[k], column[k]:] and its labels likewise.

    tokens, segments: addresses of the pieces; masked[k]: how many of its first labels stay IGNORE whatever their segment.
    """
    for k in range(length.shape[0]):
        n = length[k]
        ids = carray(_pointer(tokens[k]), (n,), np.int32)
        kinds = carray(_pointer(segments[k]), (n,), np.uint8)
        r, c = row[k], column[k]
        for i in range(n):
            input_ids[r, c + i] = ids[i]
        for i in range(masked[k], n):
            if trainable[kinds[i]]:
                labels[r, c + i] = ids[i]


@njit(nogil=True, cache=True)
def copy_values(tokens: Int64s, length: Int64s, row: Int64s, column: Int64s, out: Any) -> None:
    """Copy piece k of int32 values to out[row[k], column[k]:]."""
    for k in range(length.shape[0]):
        ids = carray(_pointer(tokens[k]), (length[k],), np.int32)
        for i in range(length[k]):
            out[row[k], column[k] + i] = ids[i]


@njit(nogil=True, cache=True)
def copy_bytes(source: Int64s, target: Int64s, out: Any) -> None:
    """Copy out.shape[1] bytes from address source[k] to out[target[k]]."""
    width = out.shape[1]
    for k in range(source.shape[0]):
        data = carray(_pointer(source[k]), (width,), np.uint8)
        for i in range(width):
            out[target[k], i] = data[i]


@njit(nogil=True, cache=True)
def lay_out(pack_start: Int64s, packs: Int64s, lengths: Int32s, width: int) -> Any:
    """Place the pieces of the given packs, one pack per row of `width` tokens.

    Returns (piece, row, column, segment, cu_seqlens): index of each piece, where it goes, which segment of the flattened
    batch it is, and the segment boundaries. What is left of a row is a segment of its own, which no piece has.
    A pack that does not fit gives an empty cu_seqlens.
    """
    count = 0
    for p in packs:
        count += pack_start[p + 1] - pack_start[p]
    piece = np.empty(count, np.int64)
    row = np.empty(count, np.int64)
    column = np.empty(count, np.int64)
    segment = np.empty(count, np.int64)
    bounds = np.zeros(count + packs.shape[0] + 1, np.int32)
    k, s = 0, 0
    for r in range(packs.shape[0]):
        used = 0
        for q in range(pack_start[packs[r]], pack_start[packs[r] + 1]):
            piece[k], row[k], column[k], segment[k] = q, r, used, s
            used += lengths[q]
            k += 1
            s += 1
            bounds[s] = r * width + used
        if used > width:
            return piece, row, column, segment, bounds[:0]
        if used < width:
            s += 1
            bounds[s] = (r + 1) * width
    return piece, row, column, segment, bounds[: s + 1]


@njit(nogil=True, cache=True)
def count_up(bounds: Int32s, out: Any) -> None:
    """Write 0, 1, 2, ... into the flat array from each boundary to the next: position ids that restart per segment."""
    for s in range(bounds.shape[0] - 1):
        first = bounds[s]
        for i in range(first, bounds[s + 1]):
            out[i] = i - first
