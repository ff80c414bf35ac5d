"""Rows of a node that repeat an earlier one, found with the keys of `schema.identity`; 24 bytes of memory per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ingot.core.task import Json
from ingot.schema.records import DEFAULT_KEY, Key, message_columns

if TYPE_CHECKING:
    from ingot.checks.facts import Facts

SHOWN = 10
WHERE = ("record_id", "uri", "line")


def find(facts: Facts, key: Key | None) -> Json:
    """{"duplicates": rows beyond the first of each group, "rows": the first SHOWN, each with the row it repeats}."""
    from ingot.schema.identity import ANSWER, record_keys

    regime = facts.regime
    names = [*message_columns(regime), "tools", *(ANSWER if regime == "rlvr" else ())]
    keys, sizes = [np.zeros((0, 2), np.uint64)], []
    for table in facts.scan(names):
        keys.append(record_keys(table, regime, key or DEFAULT_KEY[regime])[1])
        sizes.append(len(table))
    both = np.concatenate(keys)
    order = np.lexsort((both[:, 1], both[:, 0]))
    ranked = both[order]
    again = np.zeros(len(order), bool)
    again[1:] = (ranked[1:] == ranked[:-1]).all(axis=1)
    first = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))] if len(order) else order
    repeats = order[again]
    shown = np.argsort(repeats, kind="stable")[:SHOWN]
    pairs = [(int(repeats[i]), int(first[again][i])) for i in shown]
    wanted = sorted({row for pair in pairs for row in pair})
    places = _places(facts, wanted, sizes)
    rows = [
        {**places[a], "why": f"repeats {places[b]['uri']}:{places[b]['line']} {places[b]['record_id']}"}
        for a, b in pairs
    ]
    return {"duplicates": int(np.count_nonzero(again)), "rows": rows}


def _places(facts: Facts, rows: list[int], sizes: list[int]) -> dict[int, dict[str, Any]]:
    """record_id, uri and line of rows by their number in the node; opens only the parts that hold one."""
    found: dict[int, dict[str, Any]] = {}
    if not rows:
        return found
    start = 0
    for table, size in zip(facts.scan(WHERE), sizes, strict=True):
        mine = [row for row in rows if start <= row < start + size]
        picked = table.take(pa.array([row - start for row in mine], pa.int64())).to_pylist()
        found |= dict(zip(mine, picked, strict=True))
        start += size
    return found
