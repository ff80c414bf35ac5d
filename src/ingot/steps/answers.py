"""What a query or a user's function answered, matched row by row to what it was asked about.

Guarantee: lineage cannot be lost or forged. Rows are matched by record_id and position (identical rows share a
record_id), a row that is repeated or unknown is an error, provenance columns may not change, record columns keep
their types, and rows absent from the answer become rejects. The input's order is restored. Cost: one dictionary
encoding of the identity columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingot.core.ops import reject_table
from ingot.core.step import Outcome
from ingot.errors import StepError
from ingot.schema.records import PROVENANCE, record_schema
from ingot.schema.turns import Int64s

IDENTITY = ("record_id", "uri", "line")  # identical rows share a record_id; their position tells them apart
PROVENANCE_NAMES = frozenset(field.name for field in PROVENANCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who answered. step, reason: of the rejects; shown: the query or function for messages; where: node and step."""

    step: str
    reason: str
    shown: str
    where: str
    regime: str
    evidence: dict[str, Any]

    def reconcile(self, table: pa.Table, answer: pa.Table) -> Outcome:
        """Account for every row of `table`; StepError when the answer is not about them."""
        if "record_id" not in answer.column_names:
            raise self.error("E412", "has no column 'record_id'", "select * or name record_id among the columns")
        names = answer.column_names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise self.error("E412", f"has the column {twice[0]!r} twice", "give every column a name of its own")
        rows = self._match(table, answer)
        present = np.zeros(len(table), bool)
        present[rows] = True
        return Outcome(kept=self._assemble(table, answer, rows), rejects=self._rejects(table, present))

    def keep(self, table: pa.Table, mask: pa.BooleanArray) -> Outcome:
        """The answer was one truth value per row; null counts as false."""
        present = np.asarray(pc.fill_null(mask, False)).astype(bool)
        return Outcome(kept=table.filter(pa.array(present)), rejects=self._rejects(table, present))

    def error(self, code: str, what: str, next: str) -> StepError:
        """An error about the answer."""
        return StepError(code, f"the answer of {self.shown} {what}", where=self.where, next=next)

    def _rejects(self, table: pa.Table, present: np.ndarray) -> pa.Table:
        gone = table.filter(pa.array(~present))
        evidence = pa.repeat(pa.scalar(orjson.dumps(self.evidence).decode()), len(gone))
        return reject_table(gone, self.step, pa.repeat(pa.scalar(self.reason), len(gone)), evidence)

    def _match(self, table: pa.Table, answer: pa.Table) -> Int64s:
        """The input row of every row of the answer."""
        by = [name for name in IDENTITY if name in answer.column_names]
        codes = _codes(pa.concat_tables([table.select(by), answer.select(by).cast(table.select(by).schema)]))
        mine, theirs = codes[: len(table)], codes[len(table) :]
        counts = np.bincount(mine, minlength=len(codes) + 1)
        asked = np.bincount(theirs, minlength=len(codes) + 1)
        if (wrong := np.flatnonzero(asked[theirs] > counts[theirs])).size:
            value = answer.column("record_id")[int(wrong[0])].as_py()
            what = "repeats" if counts[theirs[wrong[0]]] else "invents"
            raise self.error(
                "E413",
                f"{what} record_id {value!r}",
                "give at most one row per input row and leave record_id, uri and line as they are",
            )
        starts = np.concatenate([[0], np.cumsum(counts)])
        rank = np.empty(len(theirs), np.int64)
        order = np.argsort(theirs, kind="stable")
        rank[order] = np.arange(len(theirs)) - np.concatenate([[0], np.cumsum(asked)])[theirs[order]]
        rows: Int64s = np.argsort(mine, kind="stable")[starts[theirs] + rank]
        return rows

    def _assemble(self, table: pa.Table, answer: pa.Table, rows: Int64s) -> pa.Table:
        """The answer in input order: provenance as it was, record columns in their types, then what is new."""
        order, record = np.argsort(rows, kind="stable"), record_schema(self.regime).names
        answer, before = answer.take(pa.array(order)), table.take(pa.array(rows[order]))
        columns: dict[str, pa.ChunkedArray] = {}
        for name in table.column_names:
            if name in PROVENANCE_NAMES:
                columns[name] = before.column(name)
                if name in answer.column_names and not self._typed(name, answer, before).equals(before.column(name)):
                    raise self.error("E413", f"changes the provenance column {name!r}",
                                     f"write the value to a column of another name than {name}")  # fmt: skip
            elif name in answer.column_names:
                columns[name] = self._typed(name, answer, before)
            elif name in record:
                raise self.error(
                    "E412", f"drops the column {name!r}", f"keep it: select * replace (... as {name}) in SQL"
                )
        columns |= {name: answer.column(name) for name in answer.column_names if name not in table.column_names}
        return pa.table(columns)

    def _typed(self, name: str, answer: pa.Table, before: pa.Table) -> pa.ChunkedArray:
        column, kind = answer.column(name), before.schema.field(name).type
        if column.type == kind:
            return column
        try:
            return column.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self.error("E412", f"gives column {name!r} type {column.type}, not {kind} ({error})",
                             f"cast it back, or give it another name than {name}") from None  # fmt: skip


def _codes(table: pa.Table) -> Int64s:
    """Equal rows get equal numbers from 0."""
    code = np.zeros(len(table), np.int64)
    for column in table.columns:
        values = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
        code = code * (len(values.dictionary) + 1) + np.asarray(values.indices).astype(np.int64)
        code = np.asarray(pc.dictionary_encode(pa.array(code)).indices).astype(np.int64)
    return code
