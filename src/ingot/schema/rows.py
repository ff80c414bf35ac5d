"""From bronze rows to a batch of JSON objects: delimited records become JSON text, then everything is one tape.

Rows that bronze could not read, or that are not one JSON object, are faults with their byte position and surroundings.
Cost: rows that are JSON already are scanned where they lie, without a copy.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.kernels import tape_ops
from ingot.kernels.json_tokens import OBJECT
from ingot.kernels.tape import ERRORS, scan
from ingot.schema.convert.batch import Batch, Faults
from ingot.schema.cursor import CUT, Cursor, cut
from ingot.schema.delimited import fields

DELIMITED = ("csv", "tsv")


def read_rows(table: pa.Table, format: str) -> Batch:
    """The rows of a bronze table as a batch whose roots are JSON objects."""
    n = table.num_rows
    faults = Faults(n)
    problem, detail = _column(table, "problem"), _column(table, "detail")
    raw = _column(table, "raw")
    if problem.null_count < n:
        bad = np.array(problem.is_valid())
        for reason in pc.unique(problem.drop_null()).to_pylist():
            here = np.array(pc.fill_null(pc.equal(problem, reason), False))
            faults.add_where(here, reason, lambda unit: {"detail": detail[unit].as_py(), "raw": _near(raw, unit, 0)})
        raw = pc.if_else(pa.array(bad), pa.scalar(None, pa.binary()), raw)
    container, context = _column(table, "container"), _column(table, "context")
    delimited = np.array(pc.fill_null(pc.is_in(container, value_set=pa.array(DELIMITED)), False))
    if delimited.any():
        raw = _delimited(raw, context, delimited & faults.ok, faults)
    tape = scan(raw)
    for code in np.unique(tape.error[faults.ok]).tolist():
        if code:
            faults.add_where(
                tape.error == code, ERRORS[code],
                lambda unit: {"byte": int(tape.error_at[unit]), "near": _near(raw, unit, int(tape.error_at[unit]))},
            )  # fmt: skip
    root = Cursor(tape, np.where(faults.ok, tape_ops.roots(tape), -1))
    kinds = root.kinds()
    faults.add_where(
        (kinds != OBJECT), "wrong_type", lambda unit: {"path": "$", "expected": "an object", "value": root.value(unit)}
    )
    around = _around(context, faults.ok & ~delimited)
    root = root.where(faults.ok).indexed()
    return Batch(format=format, root=root, context=around, faults=faults, row=np.arange(n), item=np.zeros(n, np.int32))


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _around(context: pa.StringArray, rows: np.ndarray) -> Cursor | None:
    """The objects around the rows; each distinct text is scanned once."""
    if context.null_count == len(context) or not rows.any():
        return None
    coded = pc.dictionary_encode(context)
    tape = scan(coded.dictionary)
    index = np.asarray(pc.fill_null(coded.indices, 0))
    there = rows & np.array(context.is_valid())
    return Cursor(tape, np.where(there, tape_ops.roots(tape)[index], -1))


def _near(raw: pa.Array, unit: int, at: int) -> str | None:
    """The bytes around a fault, as text with what is not text escaped."""
    data = raw[unit].as_py()
    if data is None:
        return None
    return cut(data[max(0, at - 40) : at + CUT].decode("utf-8", "backslashreplace"))


def _delimited(raw: pa.Array, context: pa.StringArray, rows: np.ndarray, faults: Faults) -> pa.Array:
    """Records of delimited text as JSON objects of texts (a slow path: rows are parsed one by one)."""
    result: list[bytes | None] = raw.to_pylist()
    dialects: dict[str | None, dict[str, Any]] = {}
    for unit in np.flatnonzero(rows).tolist():
        key = context[unit].as_py()
        dialect = dialects.setdefault(key, json.loads(key) if key else {})
        names = dialect.get("header") or []
        try:
            text = (result[unit] or b"").decode(dialect.get("encoding") or "utf-8")
        except UnicodeDecodeError as error:
            _bad_record(faults, unit, "invalid_utf8", byte=error.start, near=_near(raw, unit, error.start))
            result[unit] = None
            continue
        values = fields(text.removeprefix("\ufeff"), dialect.get("delimiter") or ",")
        if len(values) != len(names):
            _bad_record(faults, unit, "ragged_row", fields=len(values), header=len(names))
            result[unit] = None
            continue
        result[unit] = json.dumps(dict(zip(_unique(names), values, strict=True)), ensure_ascii=False).encode()
    return pa.array(result, pa.binary())


def _bad_record(faults: Faults, unit: int, reason: str, **evidence: object) -> None:
    faults.add(np.array([unit]), reason, lambda _: evidence)


def _unique(names: list[str]) -> list[str]:
    """Column names; nameless and repeated ones become column_<number>."""
    seen: set[str] = set()
    result = []
    for number, name in enumerate(names, 1):
        label = name if name and name not in seen else f"column_{number}"
        seen.add(label)
        result.append(label)
    return result
