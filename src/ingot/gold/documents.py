"""Random access to gold documents: memory-mapped Arrow files addressed as one sequence, copied by compiled loops.

Opening a split touches no data. A document's number counts over all parts in the manifest's order, never in that of a
directory listing. `Table.take` is not used: on a chunked table it concatenates all chunks for every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingot.errors import LoaderError
from ingot.gold.merge import DOCUMENTS, ID_DIGITS
from ingot.kernels.gather import copy_bytes, spans

if TYPE_CHECKING:
    from ingot.core.node import Snapshot
    from ingot.store.lake import Lake

Int64s = npt.NDArray[np.int64]


class DocumentFiles:
    """The documents of a gold snapshot, kept mapped while this object lives.

    `locate` turns numbers into (part, row); the other methods take those. Pickling keeps the paths and maps anew.
    """

    __slots__ = ("_lake", "_offsets", "_paths", "_regime", "_tables", "_values", "addresses", "starts")

    def __init__(self, lake: Lake, paths: Sequence[str], regime: str) -> None:
        self._lake, self._paths, self._regime = lake, tuple(paths), regime
        self._tables: list[pa.RecordBatch] = []
        for path in self._paths:
            table = lake.open_ipc(path)
            if not table.schema.equals(DOCUMENTS[regime]):
                raise LoaderError("E708", f"{path} does not have the columns of {regime} documents", where=path)
            self._tables += [batch for batch in table.to_batches() if batch.num_rows]
        rows = [batch.num_rows for batch in self._tables]
        self.starts: Int64s = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows, dtype=np.int64)])
        self._offsets: dict[str, Int64s] = {}
        self._values: dict[str, Int64s] = {}
        for field in DOCUMENTS[regime]:
            if pa.types.is_list(field.type) or field.name == "record_id":
                pairs = [_addresses(batch.column(field.name)) for batch in self._tables]
                self._offsets[field.name] = np.array([pair[0] for pair in pairs], np.int64)
                self._values[field.name] = np.array([pair[1] for pair in pairs], np.int64)

        packed = [name for name in ("tokens", "segments", "record_id") if name in self._offsets]
        # what kernels.gather.fill_packs reads conversations through
        self.addresses: Int64s = np.stack([table[name] for name in packed for table in (self._offsets, self._values)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __reduce__(self) -> tuple[object, ...]:
        """Addresses mean nothing elsewhere: map the files again."""
        return (DocumentFiles, (self._lake, self._paths, self._regime))

    def locate(self, numbers: npt.NDArray[Any]) -> tuple[Int64s, Int64s]:
        """(part, row in it) of documents by number."""
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(self):
            raise LoaderError("E708", f"the index names document {int(numbers.max())} of {len(self)}")
        part = np.searchsorted(self.starts, numbers, "right") - 1
        return part, np.asarray(numbers, np.int64) - self.starts[part]

    def spans(self, column: str, part: Int64s, row: Int64s) -> tuple[Int64s, Int64s]:
        """(address of the first element, number of elements) of a list column's rows."""
        begin, length = spans(self._offsets[column], part, row)
        size = 1 if column.endswith("segments") else 4
        return self._values[column][part] + size * begin, length

    def record_ids(self, part: Int64s, row: Int64s) -> list[str]:
        """The record ids of documents."""
        begin, length = spans(self._offsets["record_id"], part, row)
        if not (length == ID_DIGITS).all():
            raise LoaderError("E708", f"a record_id does not have {ID_DIGITS} characters")
        out = np.empty((len(row), ID_DIGITS), np.uint8)
        copy_bytes(self._values["record_id"][part] + begin, np.arange(len(row)), out)
        text = out.tobytes().decode("ascii")
        return [text[i : i + ID_DIGITS] for i in range(0, len(text), ID_DIGITS)]

    def strings(self, column: str, part: Int64s, row: Int64s) -> list[str | None]:
        """Values of a string column."""
        pairs = zip(part.tolist(), row.tolist(), strict=True)
        return [self._tables[p].column(column)[r].as_py() for p, r in pairs]

    def present(self, column: str, part: Int64s, row: Int64s) -> npt.NDArray[np.bool_]:
        """Which values are not null."""
        pairs = zip(part.tolist(), row.tolist(), strict=True)
        return np.array([self._tables[p].column(column)[r].is_valid for p, r in pairs], bool)


def _addresses(array: Any) -> tuple[int, int]:
    """Addresses of an array's offsets (at its first row) and of what they count: list elements or bytes."""
    buffers = array.buffers()
    offsets = buffers[1].address + 4 * array.offset
    if pa.types.is_string(array.type):
        return offsets, buffers[2].address if buffers[2] is not None else 0
    values = array.values
    data = values.buffers()[1]
    return offsets, data.address + values.offset * values.type.bit_width // 8 if data is not None else 0


def pack_members(lake: Lake, snapshot: Snapshot, pack: int) -> list[dict[str, Any]]:
    """What one row of a gold snapshot is made of: record_id, document, start, length and column of each piece."""
    index = lake.open_ipc(snapshot.draft.files["packs"])
    packs = index.column("pack").combine_chunks().to_numpy()
    first, last = (int(np.searchsorted(packs, pack, side)) for side in ("left", "right"))
    if first == last:
        count = int(packs[-1]) + 1 if len(packs) else 0
        raise LoaderError("E711", f"{snapshot.node} has {count} packs, none is number {pack}", where=snapshot.node)
    members: list[dict[str, Any]] = index.slice(first, last - first).drop_columns(["pack"]).to_pylist()
    regime = str(snapshot.draft.stats["regime"])
    documents = DocumentFiles(lake, [part.path for part in snapshot.draft.parts], regime)
    numbers = np.array([member["document"] for member in members], np.int64)
    names, column = documents.record_ids(*documents.locate(numbers)), 0
    for name, member in zip(names, members, strict=True):
        member |= {"record_id": name, "column": column}
        column += member["length"]
    return members
