"""The units of one part on their way to becoming records, and what a converter hands back.

A unit is what becomes one record: usually the row, in formats with several instances or paths one of those. Every unit
ends as exactly one kept or one rejected record, so rows + (units - rows) = kept + rejected by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingot.kernels.json_tokens import NULL, STRING
from ingot.schema.convert.cursor import Cursor, Ints, Mask, Path, leftover
from ingot.schema.convert.faults import Faults

ID_KEYS = ("id", "_id", "uid", "message_id", "question_id", "task_id", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """root: the object of each unit's row; context: the object around it in its file, if any; row: its place in the
    part; item: its number within the row."""

    format: str
    root: Cursor
    context: Cursor | None
    faults: Faults
    row: Ints
    item: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def ok(self) -> Mask:
        return self.faults.ok

    def split(self, counts: Ints) -> tuple[Batch, Ints]:
        """Replace each unit by counts[u] units, or by one if that is 0; also returns the parent of each new unit."""
        sizes = np.maximum(counts, 1)
        parent = np.repeat(np.arange(len(self)), sizes)
        item = (np.arange(len(parent)) - np.repeat(np.cumsum(sizes) - sizes, sizes)).astype(np.int32)
        context = None if self.context is None else self.context.take(parent)
        batch = replace(
            self, root=self.root.take(parent), context=context, faults=self.faults.spread(parent),
            row=self.row[parent], item=item,
        )  # fmt: skip
        return batch, parent

    def field(self, *keys: str, root: Cursor | None = None) -> tuple[Cursor, npt.NDArray[np.int8]]:
        """The value of the first of these keys; a row with none of them does not fit the format."""
        here = self.root if root is None else root
        found, which = here.first(keys)
        name = " or ".join(keys)
        self.faults.add_where(
            found.nodes < 0, "format_mismatch",
            lambda unit: {"format": self.format, "missing": name, "fields": here.keys(unit)},
        )  # fmt: skip
        return found, which

    def text(self, found: Cursor, path: str) -> pa.StringArray:
        """The strings at a cursor; null is a missing field, anything else but a string a wrong type."""
        kinds = found.kinds()
        if not (kinds == STRING).all():
            self.wrong(found, (kinds != STRING) & (kinds != NULL) & (kinds != 0), path, "a string")
            self.faults.add_where(kinds == NULL, "missing_field", lambda unit: {"path": path, "value": None})
        return found.text()

    def wrong(self, found: Cursor, mask: Mask, path: str, expected: str) -> None:
        """A wrong type at these units."""
        self.faults.add_where(
            mask, "wrong_type", lambda unit: {"path": path, "expected": expected, "value": found.value(unit)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """columns: the regime's own columns, one value per unit of the batch (of no meaning where the unit has a fault)."""

    batch: Batch
    source_id: pa.StringArray
    columns: Mapping[str, pa.Array]


def identity(
    batch: Batch, path: Path | None, extra: Sequence[str] = (), root: Cursor | None = None
) -> tuple[pa.StringArray, dict[str, Mask]]:
    """The row's own id as text, and where which key was taken for it: the declared path, else the first usual key.

    Only non-empty strings and numbers are ids; anything else under such a key stays an ordinary field.
    """
    here = batch.root if root is None else root
    if path is not None:
        found = here.walk(path)
        texts = found.scalar()
        return texts, {str(path[0]): _filled(texts)} if len(path) == 1 else {}
    ids: list[pa.StringArray] = []
    taken: dict[str, Mask] = {}
    open_: Mask = np.ones(len(here), np.bool_)
    for key in (*extra, *ID_KEYS):
        found = here.member(key)
        if not (found.nodes >= 0).any():
            continue
        kinds = found.kinds()
        texts = found.where(open_ & ((kinds == STRING) | (kinds == 4))).scalar()
        mask = _filled(texts)
        ids.append(texts)
        taken[key] = mask
        open_ &= ~mask
        if not open_.any():
            break
    return pick(ids, list(taken.values()), len(here)), taken


def _filled(texts: pa.StringArray) -> Mask:
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    filled: Mask = np.diff(offsets) > 0
    return filled


def pick(texts: Sequence[pa.Array], masks: Sequence[Mask], n: int) -> pa.Array:
    """Per unit the value of the array whose mask is true there (masks are disjoint), else null."""
    if not texts:
        return pa.nulls(n, pa.string())
    if masks[0].all():
        return texts[0]
    index = np.full(n, -1, np.int64)
    for k, mask in enumerate(masks):
        index[mask] = np.flatnonzero(mask) + k * n
    return pa.concat_arrays(texts).take(pa.array(index, mask=index < 0))


def finish(
    batch: Batch, columns: Mapping[str, pa.Array], consumed: Mapping[str, Mask | bool], path: Path | None = None,
    extra_ids: Sequence[str] = (), root: Cursor | None = None,
) -> Converted:  # fmt: skip
    """Add source_id and meta: what neither `consumed` nor the id has taken."""
    source_id, taken = identity(batch, path, extra_ids, root)
    merged: dict[str, Mask | bool] = {**taken}
    for key, mask in consumed.items():
        other = merged.get(key, False)
        merged[key] = True if mask is True or other is True else mask | other
    meta = leftover(batch.root if root is None else root, merged)
    null = pa.nulls(len(batch), pa.string())
    return Converted(
        batch=batch, source_id=source_id, columns={"tools": null, "meta": null if meta is None else meta, **columns}
    )
