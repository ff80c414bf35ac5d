"""Message columns laid flat: each turn of every row in one struct array, with offsets per row, and back again.

Steps work on the flat child arrays, so that the nested column is rebuilt from whole buffers: offsets and nulls stay,
only the changed children are new.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingot.schema.records import message_columns

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """offsets: the turns of row r are offsets[r]..offsets[r+1]; null: rows whose list is null; turns: their structs."""

    offsets: Int64s
    null: Bools
    turns: pa.StructArray
    type: pa.ListType

    def __len__(self) -> int:
        return len(self.turns)

    def field(self, name: str) -> pa.Array:
        """One child of the turns; null where the turn itself is null."""
        return self.turns.flatten()[self.turns.type.get_field_index(name)]

    @property
    def row(self) -> Int64s:
        """The row of each turn."""
        return np.repeat(np.arange(len(self.null)), np.diff(self.offsets))

    def is_role(self, *roles: str) -> Bools:
        """Which turns have one of these roles."""
        return as_mask(pc.is_in(self.field("role"), pa.array(roles)))

    def before(self, mask: Bools) -> Bools:
        """Which turns come before the first turn of their row that `mask` marks."""
        seen = np.concatenate([[0], np.cumsum(mask)])
        answer: Bools = seen[1:] == seen[self.offsets[:-1]][self.row]
        return answer

    def replaced(self, children: dict[str, pa.Array]) -> pa.ListArray:
        """The column again, with some children of its turns replaced."""
        fields = list(self.turns.type)
        old = self.turns.flatten()
        new = [children.get(field.name, child) for field, child in zip(fields, old, strict=True)]
        mask = pc.is_null(self.turns) if self.turns.null_count else None
        structs = pa.StructArray.from_arrays(new, fields=fields, mask=mask)
        offsets = pa.array(self.offsets.astype(np.int32))
        null = pa.array(self.null) if self.null.any() else None
        return pa.ListArray.from_arrays(offsets, structs, type=self.type, mask=null)


def as_mask(array: pa.Array | pa.ChunkedArray) -> Bools:
    """A boolean column as numpy, null as False."""
    mask: Bools = np.asarray(pc.fill_null(array, False)).astype(bool)
    return mask


def one(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def offsets_of(lists: pa.ListArray) -> Int64s:
    """Offsets into `lists.flatten()`, whatever slice of whatever buffer the lists are."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0))
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def lay_flat(column: pa.ChunkedArray) -> Turns:
    """The turns of a message column."""
    lists = one(column)
    null = ~as_mask(pc.is_valid(lists))
    return Turns(offsets=offsets_of(lists), null=null, turns=lists.flatten(), type=lists.type)


def message_turns(table: pa.Table, regime: str) -> dict[str, Turns]:
    """Every message column of the regime, laid flat."""
    return {name: lay_flat(table.column(name)) for name in message_columns(regime)}
