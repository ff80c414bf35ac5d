"""`sql`: one DuckDB SELECT over the part as table `input`, row by row: it may drop rows and change or add columns.

Guarantee: the answer is a function of each row alone. The query's syntax tree is checked before it runs: one SELECT
over `input`, once; no aggregates, windows, LIMIT, DISTINCT, GROUP BY, set operations, samples, clocks, randomness or
files. DuckDB then runs on one thread, without access to files, extensions or the variables of this process.
Rows are matched back by record_id and position, so lineage cannot be lost or forged: rows absent from the answer are
rejects ("sql_filter"), order is restored, and new or repeated rows are an error.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from ingot.core.ops import reject_table
from ingot.core.step import Outcome, StepConfig, StepContext
from ingot.errors import StepError
from ingot.schema.records import PROVENANCE, record_schema
from ingot.schema.turns import Int64s
from ingot.steps.sql_check import problem

REASON = "sql_filter"
IDENTITY = ("record_id", "uri", "line")  # identical rows share a record_id; their position tells them apart
_SETTINGS = (
    "enable_external_access=false", "python_enable_replacements=false", "autoload_known_extensions=false",
    "autoinstall_known_extensions=false", "TimeZone='UTC'", "preserve_insertion_order=true",
    "enable_progress_bar=false", "lock_configuration=true",
)  # fmt: skip


class SqlConfig(StepConfig):
    """`- sql: "select * from input where len(messages) > 1"`."""

    shorthand: ClassVar[str | None] = "query"

    query: str = Field(min_length=1, description="One SELECT over the table `input` that keeps record_id.")


class Sql:
    """Row-local."""

    name: ClassVar[str] = "sql"
    version: ClassVar[int] = 1
    Config: ClassVar[type[StepConfig]] = SqlConfig

    def __init__(self, config: SqlConfig) -> None:
        self.config = config

    def apply(self, table: pa.Table, ctx: StepContext) -> Outcome:
        """Run the query and match its rows to the input's."""
        where = f"{ctx.node}, step sql"
        answer = self._run(table, where)
        if "record_id" not in answer.column_names:
            raise StepError("E412", f"the answer of {self._shown} has no column 'record_id'", where=where,
                            next="select * or name record_id among the columns")  # fmt: skip
        rows = self._match(table, answer, where)
        kept = self._assemble(table, answer, rows, record_schema(ctx.regime), where)
        present = np.zeros(len(table), bool)
        present[rows] = True
        gone = table.filter(pa.array(~present))
        evidence = pa.repeat(pa.scalar(orjson.dumps({"query": self.config.query}).decode()), len(gone))
        rejects = reject_table(gone, self.name, pa.repeat(pa.scalar(REASON), len(gone)), evidence)
        return Outcome(kept=kept, rejects=rejects)

    @property
    def _shown(self) -> str:
        query = " ".join(self.config.query.split())
        return repr(query if len(query) <= 200 else query[:199] + "…")

    def _run(self, table: pa.Table, where: str) -> pa.Table:
        import duckdb

        connection = duckdb.connect(":memory:", config={"threads": 1})
        try:
            for setting in _SETTINGS:
                connection.execute(f"set {setting}")
            if refused := checked(self.config.query):
                raise StepError("E411", f"{self._shown} {refused}", where=where,
                                next="use row-wise expressions over input only")  # fmt: skip
            connection.register("input", table)
            return _plain(connection.sql(self.config.query).to_arrow_table())
        except duckdb.Error as error:
            raise StepError("E412", f"{self._shown} failed: {str(error).strip()}", where=where,
                            next="correct the query; `ingot sql` runs it on a node by hand") from None  # fmt: skip
        finally:
            connection.close()

    def _match(self, table: pa.Table, answer: pa.Table, where: str) -> Int64s:
        """The input row of every row of the answer."""
        by = [name for name in IDENTITY if name in answer.column_names]
        codes = _codes(pa.concat_tables([table.select(by), answer.select(by).cast(table.select(by).schema)]))
        mine, theirs = codes[: len(table)], codes[len(table) :]
        counts = np.bincount(mine, minlength=len(codes) + 1)
        asked = np.bincount(theirs, minlength=len(codes) + 1)
        if (wrong := np.flatnonzero(asked[theirs] > counts[theirs])).size:
            value = answer.column("record_id")[int(wrong[0])].as_py()
            what = "repeats" if counts[theirs[wrong[0]]] else "invents"
            raise StepError("E413", f"the answer of {self._shown} {what} record_id {value!r}", where=where,
                            next="give at most one row per input row; leave record_id, uri and line")  # fmt: skip
        starts = np.concatenate([[0], np.cumsum(counts)])
        rank = np.empty(len(theirs), np.int64)
        order = np.argsort(theirs, kind="stable")
        rank[order] = np.arange(len(theirs)) - np.concatenate([[0], np.cumsum(asked)])[theirs[order]]
        rows: Int64s = np.argsort(mine, kind="stable")[starts[theirs] + rank]
        return rows

    def _assemble(self, table: pa.Table, answer: pa.Table, rows: Int64s, schema: pa.Schema, where: str) -> pa.Table:
        """The answer in input order: provenance as it was, record columns in their types, then what is new."""
        order = np.argsort(rows, kind="stable")
        answer, before = answer.take(pa.array(order)), table.take(pa.array(rows[order]))
        columns: dict[str, pa.ChunkedArray] = {}
        for name in table.column_names:
            if name in PROVENANCE_NAMES:
                columns[name] = before.column(name)
                if name in answer.column_names:
                    self._same(name, before, answer, where)
            elif name in answer.column_names:
                columns[name] = self._typed(name, answer, table.schema.field(name).type, where)
            elif name in schema.names:
                raise StepError("E412", f"the answer of {self._shown} drops the column {name!r}", where=where,
                                next=f"select * replace (... as {name}) keeps all columns")  # fmt: skip
        columns |= {name: answer.column(name) for name in answer.column_names if name not in table.column_names}
        return pa.table(columns)

    def _same(self, name: str, before: pa.Table, answer: pa.Table, where: str) -> None:
        values = self._typed(name, answer, before.schema.field(name).type, where)
        if not values.equals(before.column(name)):
            raise StepError("E413", f"the answer of {self._shown} changes the provenance column {name!r}", where=where,
                            next=f"write the value to a column of another name than {name}")  # fmt: skip

    def _typed(self, name: str, answer: pa.Table, kind: pa.DataType, where: str) -> pa.ChunkedArray:
        column = answer.column(name)
        if column.type == kind:
            return column
        try:
            return column.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StepError("E412", f"{self._shown} gives column {name!r} type {column.type}, not {kind} ({error})",
                            where=where, next=f"cast it back, or name it other than {name}") from None  # fmt: skip


PROVENANCE_NAMES = frozenset(field.name for field in PROVENANCE)


@cache
def checked(query: str) -> str | None:
    """Why this query is refused, or None; asked once per query and process."""
    return problem(query)


def _codes(table: pa.Table) -> Int64s:
    """Equal rows get equal numbers from 0."""
    code = np.zeros(len(table), np.int64)
    for column in table.columns:
        values = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
        code = code * (len(values.dictionary) + 1) + np.asarray(values.indices).astype(np.int64)
        _, code = _dense(code)
    return code


def _dense(code: Int64s) -> tuple[int, Int64s]:
    """The same equalities with numbers from 0 without gaps."""
    encoded = pc.dictionary_encode(pa.array(code))
    return len(encoded.dictionary), np.asarray(encoded.indices).astype(np.int64)


def _plain(table: pa.Table) -> pa.Table:
    """Without schema metadata, so that the driver's version leaves no trace."""
    return table.replace_schema_metadata(None)
