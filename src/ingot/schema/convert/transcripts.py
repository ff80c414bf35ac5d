"""Anthropic HH transcripts: one string with "\\n\\nHuman:" and "\\n\\nAssistant:" before each turn.

The marks are found in the whole column at once, as byte positions; texts are cut at offsets, never row by row.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ingot.kernels.tape import byte_rows
from ingot.schema.convert.batch import Batch
from ingot.schema.convert.cursor import Ints, cut
from ingot.schema.convert.turns import ASSISTANT, USER, Turns

_MARKS = ((b"\n\nHuman:", USER), (b"\n\nAssistant:", ASSISTANT))


def transcript(batch: Batch, texts: pa.StringArray, path: str) -> Turns:
    """The turns of each text; text before the first mark is a fault."""
    data, offsets, _ = byte_rows(texts)
    start, length, role = _find(data)
    unit = np.searchsorted(offsets, start, side="right") - 1
    inside = start + length <= offsets[unit + 1]
    start, length, role, unit = start[inside], length[inside], role[inside], unit[inside]
    counts = np.bincount(unit, minlength=len(texts))
    first = np.full(len(texts), -1, np.int64)
    first[unit[::-1]] = start[::-1]
    astray = np.array(texts.is_valid()) & (first != offsets[:-1])
    batch.faults.add_where(
        astray, "format_mismatch",
        lambda u: {"format": "hh", "path": path, "expected": "\\n\\nHuman: at the start", "value": cut(texts[u].as_py())},
    )  # fmt: skip
    end = np.append(start[1:], 0)
    last = np.append(unit[1:] != unit[:-1], True) if len(unit) else np.zeros(0, np.bool_)
    end[last] = offsets[unit[last] + 1]
    begin = start + length
    spaced = begin < end
    spaced[spaced] = data[begin[spaced]] == 0x20
    begin = begin + spaced
    return Turns(
        unit=unit, role=role, content=_slices(texts, begin, end),
        place=np.arange(len(unit)) - np.repeat(np.cumsum(counts) - counts, counts),
    )  # fmt: skip


def _find(data: np.ndarray) -> tuple[Ints, Ints, np.ndarray]:
    """(position, length, role) of each mark, by position."""
    breaks = np.flatnonzero((data[:-1] == 0x0A) & (data[1:] == 0x0A)) if len(data) > 1 else np.zeros(0, np.int64)
    starts, lengths, roles = [], [], []
    for mark, role in _MARKS:
        at = breaks[breaks + len(mark) <= len(data)]
        for k, byte in enumerate(mark):
            at = at[data[at + k] == byte]
        starts.append(at)
        lengths.append(np.full(len(at), len(mark)))
        roles.append(np.full(len(at), role, np.int8))
    start = np.concatenate(starts)
    order = np.argsort(start, kind="stable")
    return start[order], np.concatenate(lengths)[order], np.concatenate(roles)[order]


def _slices(texts: pa.StringArray, begin: Ints, end: Ints) -> pa.StringArray:
    """Pieces of the column's buffer: offsets around each piece make a column in which every second entry is wanted."""
    if not len(begin):
        return pa.array([], pa.string())
    around = np.empty(2 * len(begin), np.int32)
    around[0::2], around[1::2] = begin, end
    column = pa.StringArray.from_buffers(len(around) - 1, pa.py_buffer(around), texts.buffers()[2])
    return column.take(pa.array(np.arange(0, len(around) - 1, 2)))
