"""Messages of many conversations as flat columns, and their assembly into the lists of the record schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingot.schema.records import MESSAGE, ROLES, TOOL_CALL

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
SYSTEM, USER, ASSISTANT, TOOL = (ROLES.index(role) for role in ("system", "user", "assistant", "tool"))
CALLS = pa.list_(TOOL_CALL)
_OPTIONAL = ("reasoning", "tool_calls", "tool_call_id", "name", "parts", "meta")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """One message per entry, ordered by unit; an optional column that is None is null everywhere.

    place: the message's number in the list it came from, -1 when it came from a field of its own; only for evidence.
    """

    unit: Ints
    role: npt.NDArray[np.int8]
    content: pa.StringArray
    place: Ints
    reasoning: pa.Array | None = None
    tool_calls: pa.Array | None = None
    tool_call_id: pa.Array | None = None
    name: pa.Array | None = None
    parts: pa.Array | None = None
    meta: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.unit)

    def take(self, index: Ints, unit: Ints | None = None) -> Turns:
        """The messages at these places, in that order, optionally belonging to other units."""
        places = pa.array(index)
        optional = {
            name: None if (column := getattr(self, name)) is None else column.take(places) for name in _OPTIONAL
        }
        return Turns(
            unit=self.unit[index] if unit is None else unit, role=self.role[index], content=self.content.take(places),
            place=self.place[index], **optional,
        )  # fmt: skip

    def only(self, mask: Mask) -> Turns:
        """The messages where mask is true."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def offsets(self, units: int) -> npt.NDArray[np.int32]:
        """Where the messages of each unit begin and end."""
        result = np.zeros(units + 1, np.int32)
        np.cumsum(np.bincount(self.unit, minlength=units), out=result[1:])
        return result

    def lists(self, units: int, absent: Mask | None = None) -> pa.ListArray:
        """One list of messages per unit; null where absent."""
        columns = [pa.array(ROLES).take(pa.array(self.role, mask=self.role < 0)), self.content]
        for name in _OPTIONAL:
            column = getattr(self, name)
            columns.append(pa.nulls(len(self), MESSAGE.field(name).type) if column is None else column)
        messages = pa.StructArray.from_arrays(columns, fields=list(MESSAGE))
        mask = pa.array(absent) if absent is not None and absent.any() else None
        return pa.ListArray.from_arrays(pa.array(self.offsets(units)), messages, type=pa.list_(MESSAGE), mask=mask)


def said(role: int, content: pa.StringArray, where: Mask | None = None) -> Turns:
    """One message per unit, or only at the units of a mask."""
    unit = np.arange(len(content)) if where is None else np.flatnonzero(where)
    if where is not None and not where.all():
        content = content.take(pa.array(unit))
    return Turns(
        unit=unit, role=np.full(len(unit), role, np.int8), content=content, place=np.full(len(unit), -1, np.int64)
    )


def merge(parts: Sequence[Turns]) -> Turns:
    """All messages ordered by unit; within a unit in the order of the parts."""
    parts = [part for part in parts if len(part)] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    unit = np.concatenate([part.unit for part in parts])
    optional = {name: _concat(parts, name) for name in _OPTIONAL}
    together = Turns(
        unit=unit, role=np.concatenate([part.role for part in parts]),
        content=pa.concat_arrays([part.content for part in parts]),
        place=np.concatenate([part.place for part in parts]),
        **optional,
    )  # fmt: skip
    return together.take(np.argsort(unit, kind="stable"))


def _concat(parts: Sequence[Turns], name: str) -> pa.Array | None:
    columns = [getattr(part, name) for part in parts]
    if all(column is None for column in columns):
        return None
    kind = MESSAGE.field(name).type
    return pa.concat_arrays(
        [pa.nulls(len(part), kind) if c is None else c for part, c in zip(parts, columns, strict=True)]
    )


def scatter(values: pa.Array, places: Ints, size: int) -> pa.Array | None:
    """An array of `size` with values[k] at places[k] and null elsewhere; None if all of it is null."""
    if values.null_count == len(values):
        return None
    if len(values) == size:
        return values
    index = np.full(size, -1, np.int64)
    index[places] = np.arange(len(values))
    return values.take(pa.array(index, mask=index < 0))
