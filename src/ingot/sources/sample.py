"""A look at a file before there is a lake: what it is, and its first rows as bronze rows.

Cost: the first MiB, and no more of the file than the rows need.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingot.schema.records import BRONZE
from ingot.sources.ingest import Reading, bronze_table

if TYPE_CHECKING:
    import pyarrow as pa

    from ingot.sources.readers.rows import Rows
    from ingot.sources.sniff import Sniffed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """rows: bronze rows; whole: they are all that the file has; sniffed: its container and encoding; note: what
    was guessed.
    """

    rows: pa.Table
    whole: bool
    sniffed: Sniffed
    note: str | None


def sample_file(path: Path, n: int = 200, **options: Any) -> Sample:
    """The first `n` rows of a local file; options as those of a source (container, rows, ...)."""
    declared = {name: options.get(name) for name in ("container", "rows", "encoding", "delimiter", "header")}
    params = {
        "file": str(path.absolute()), "uri": path.name, "source": "sample", "license": "LicenseRef-unknown",
        "origin": None, "source_meta": None,
        "offset": 0, "first_line": 1, "size": path.stat().st_size, "sha256": None, **declared,
    }  # fmt: skip
    reading = Reading(params)
    pieces: list[tuple[Rows, str | None]] = []
    left, whole = n, True
    try:
        for rows in reading.rows():
            if len(rows) > left:
                rows, whole = rows.slice(0, left), False
            if len(rows):
                pieces.append((rows, reading.context))
            left -= len(rows)
            if not whole:
                break
    finally:
        reading.close()
    table = bronze_table(pieces, params, reading.sniffed.container) if pieces else BRONZE.empty_table()
    return Sample(rows=table, whole=whole, sniffed=reading.sniffed, note=reading.note)
