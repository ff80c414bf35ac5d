"""Bronze tables made by hand or from a file, for the tests of conform."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingot.core.step import Outcome, StepContext
from ingot.kernels.hashing import record_ids
from ingot.schema.records import BRONZE
from ingot.steps.conform import Conform, ConformConfig


def table(
    rows: Sequence[Any],
    *,
    container: str = "jsonl",
    context: Any = None,
    problems: dict[int, tuple[str, str]] | None = None,
) -> pa.Table:
    """Rows given as bytes, as text, or as objects to be written as JSON."""
    raw = pa.array([_raw(row) for row in rows], pa.binary())
    n, found = len(rows), problems or {}
    around = None if context is None else json.dumps(context)
    columns = {
        "record_id": record_ids("test", raw), "source": ["test"] * n, "license": ["MIT"] * n, "origin": ["human"] * n,
        "uri": ["file.jsonl"] * n, "line": list(range(1, n + 1)), "byte": [0] * n, "file_sha256": ["0" * 64] * n,
        "source_meta": [None] * n, "container": [container] * n, "context": [around] * n,
        "problem": [found.get(k, (None, None))[0] for k in range(n)],
        "detail": [found.get(k, (None, None))[1] for k in range(n)], "raw": raw,
    }  # fmt: skip
    return pa.Table.from_arrays(
        [c if isinstance(c := columns[f.name], pa.Array) else pa.array(c, f.type) for f in BRONZE], schema=BRONZE
    )


def _raw(row: Any) -> bytes:
    if isinstance(row, bytes):
        return row
    return row.encode() if isinstance(row, str) else json.dumps(row, ensure_ascii=False).encode()


def conform(rows: Any, format: Any, regime: str = "sft", **more: Any) -> Outcome:
    """Run the step on rows (or on a ready table)."""
    bronze = rows if isinstance(rows, pa.Table) else table(rows, **more)
    step = Conform(ConformConfig(format=format))
    outcome = step.apply(bronze, StepContext(regime=regime, node="silver.test", asset=lambda digest: b""))
    outcome.kept.validate(full=True)
    outcome.rejects.validate(full=True)
    assert bronze.num_rows + outcome.added == outcome.kept.num_rows + outcome.rejects.num_rows
    return outcome


def reasons(outcome: Outcome) -> dict[str, int]:
    """How many rows were rejected for which reason."""
    counts: dict[str, int] = {}
    for reason in outcome.rejects["reason"].to_pylist():
        counts[reason] = counts.get(reason, 0) + 1
    return counts


def said(messages: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """(role, content) of messages."""
    return [(message["role"], message["content"]) for message in messages]


def from_file(path: Path, within: str | None = None) -> pa.Table:
    """The rows of a real file: an array, lines, or the list under a key of one object (then the rest is context)."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if within is not None:
        outer = json.loads(data)
        rows = outer.pop(within)
        return table(rows, container="wrapped", context=outer)
    if data.lstrip()[:1] == b"[":
        return table(json.loads(data), container="array")
    return table([line for line in data.split(b"\n") if line.strip()])
