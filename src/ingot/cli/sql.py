"""`ingot sql`: DuckDB over the nodes of the lake, each as a view that reads its Parquet parts in place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from ingot.cli.common import emit, file_option, lake_option, open_lake, output_option, short, table
from ingot.cli.nodes import all_snapshots, part_table
from ingot.errors import StepError

if TYPE_CHECKING:
    from ingot.core.node import Snapshot
    from ingot.store.lake import Lake

EPILOG = """Examples:

  ingot sql "select source, count(*) from silver.clean group by 1"

  ingot sql "select reason, count(*) from rejects group by 1" -o json"""


@click.command(epilog=EPILOG)
@click.argument("query")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Rows shown as text.")
@file_option
@lake_option
@output_option
def sql(query: str, limit: int, file: str, lake: str | None, output: str) -> None:
    """Run a DuckDB query; nodes are tables by name (silver.clean), the rejects of all nodes are `rejects`."""
    import duckdb

    place = open_lake(file, lake)
    con = duckdb.connect()
    try:
        for snapshot in all_snapshots(place).values():
            query, mentions = _quoted(query, snapshot.node)
            if mentions:
                _view(con, place, snapshot)
        if re.search(r"\brejects\b", query):
            _rejects_view(con, place)
        answer: Any = con.sql(query)
        if answer is None:  # a statement without rows
            return
        names, rows = answer.columns, answer.fetchall()
    except duckdb.Error as error:
        raise StepError(
            "E406", str(error).split("\n\n")[0], where="ingot sql", next="ingot status   # names of nodes"
        ) from None
    if output != "text":
        emit([dict(zip(names, row, strict=True)) for row in rows], output)
        return
    table(names, [[short(str(cell), 100) for cell in row] for row in rows[:limit]])
    if len(rows) > limit:
        click.echo(f"{len(rows) - limit:,} more rows; -o jsonl prints all")


def _quoted(query: str, node: str) -> tuple[str, int]:
    """The query with each mention of a node, quoted or not, as DuckDB reads it (bronze.my-data is no name there);
    how many.
    """
    layer, _, name = node.partition(".")
    mention = rf'(?<![\w."-])"?{re.escape(layer)}"?\."?{re.escape(name)}"?(?![\w-])'
    return re.subn(mention, f'"{layer}"."{name}"', query)


def _view(con: Any, lake: Lake, snapshot: Snapshot) -> None:
    layer, _, name = snapshot.node.partition(".")
    con.sql(f'create schema if not exists "{layer}"')
    paths = [part.path for part in snapshot.draft.parts if part.rows]
    _create(con, lake, f'"{layer}"."{name}"', paths or [part.path for part in snapshot.draft.parts[:1]], snapshot)


def _create(con: Any, lake: Lake, name: str, paths: list[str], snapshot: Snapshot | None) -> None:
    if paths and all(path.endswith(".parquet") for path in paths):
        files = [str(lake.store.local(path)) for path in paths]
        con.sql(f"create view {name} as select * from read_parquet({files!r}, union_by_name=true)")
        return
    import pyarrow as pa

    parts = snapshot.draft.parts if snapshot is not None else ()
    data = pa.concat_tables([part_table(lake, part) for part in parts]) if parts else pa.table({})
    con.register("gold_rows", data)
    con.sql(f"create table {name} as select * from gold_rows")


def _rejects_view(con: Any, lake: Lake) -> None:
    paths = [part.rejects for snap in all_snapshots(lake).values() for part in snap.draft.parts if part.rejects]
    if paths:
        _create(con, lake, "rejects", paths, None)
    else:
        from ingot.schema.records import REJECTS

        con.register("rejects", REJECTS.empty_table())
