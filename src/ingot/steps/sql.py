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

import pyarrow as pa
from pydantic import Field

from ingot.core.step import Outcome, StepConfig, StepContext
from ingot.errors import StepError
from ingot.steps.answers import Asked
from ingot.steps.sql_check import problem

REASON = "sql_filter"
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
        asked = Asked(step=self.name, reason=REASON, shown=self._shown, where=where, regime=ctx.regime,
                      evidence={"query": self.config.query})  # fmt: skip
        return asked.reconcile(table, self._run(table, where))

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


@cache
def checked(query: str) -> str | None:
    """Why this query is refused, or None; asked once per query and process."""
    return problem(query)


def _plain(table: pa.Table) -> pa.Table:
    """Without schema metadata, so that the driver's version leaves no trace."""
    return table.replace_schema_metadata(None)
