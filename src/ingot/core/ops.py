"""The tasks of silver nodes: one part through a node's fused steps, and the three phases of a global step.

Each op reads what its params name, writes its files, and returns a small JSON; `core.task.execute` commits it. The
result carries counts per step and source, so that plans, funnels and gates never read the data again.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.core.fingerprint import fingerprint
from ingot.core.node import folder
from ingot.core.plugins import make_step
from ingot.core.step import GlobalStep, Outcome, RowStep, StepContext
from ingot.core.task import Json, Task, commit
from ingot.errors import StepError
from ingot.schema.digest import content_sums, schema_text, subtract_sums
from ingot.schema.records import REJECTS, SCHEMA_VERSION

if TYPE_CHECKING:
    from ingot.store.lake import Lake

OPS_VERSION = 1  # of core.ops: what their results say and how files are written
VERSIONS = {"schema": SCHEMA_VERSION, "ops": OPS_VERSION}
COUNTED = ("source", "license", "split")


def context(lake: Lake, task: Task) -> StepContext:
    return StepContext(regime=task.params["regime"], node=task.node, asset=lake.asset)


def map_part(lake: Lake, task: Task) -> Json:
    """One part through a node's row-local steps. params: input, steps, regime."""
    table = lake.read_parquet(task.params["input"])
    return finish(lake, task, table, [], [])


def apply_part(lake: Lake, task: Task) -> Json:
    """One part minus what a global step removed, then its row-local steps. params: also step, removals, merged, digest.

    Without further steps the digest of what is left is the input's less that of the removed rows.
    """
    table = lake.read_parquet(task.params["input"])
    gone = _removed(lake, task.params["removals"])
    kept_mask = np.ones(len(table), bool)
    kept_mask[gone["row"].to_numpy()] = False
    removed = table.take(gone["row"])
    rejects = reject_table(removed, task.params["step"]["name"], gone["reason"], gone["evidence"])
    kept = table.filter(pa.array(kept_mask))
    entry = count(task.params["step"]["name"], table, Outcome(kept=kept, rejects=rejects), merged=task.params["merged"])
    left = None if task.params["steps"] else subtract_sums(task.params["digest"], content_sums(removed))
    return finish(lake, task, kept, [rejects], [entry], left)


def finish(lake: Lake, task: Task, table: pa.Table, rejects: list[pa.Table], funnel: list[Json],
           digest: Json | None = None) -> Json:  # fmt: skip
    """Run the row-local steps of a task, write the part and its rejects, and say what happened.

    digest: that of the table, when it is known. What a following global step wants of each part (params: keys_for) is
    computed while the part is in memory, and committed as the task that would read it again.
    """
    ctx = context(lake, task)
    for body in task.params["steps"]:
        step = make_step(body)
        if not isinstance(step, RowStep):
            raise StepError("E403", f"step {body['name']!r} is not row-local", where=task.node)
        outcome = step.apply(table, ctx)
        funnel.append(count(step.name, table, outcome))
        rejects.append(outcome.rejects)
        table = outcome.kept
    size = lake.write_parquet(task.path(".parquet"), table)
    out = (
        pa.concat_tables([r.select(REJECTS.names).cast(REJECTS) for r in rejects]) if rejects else REJECTS.empty_table()
    )
    if len(out):
        lake.write_parquet(task.path("-rejects.parquet"), out)
    digest = content_sums(table) if digest is None else digest
    for follows in task.params.get("keys_for", ()):
        part = (task.path(".parquet"), digest, task.label)
        keys = keys_task(follows["node"], follows["step"], task.params["regime"], part)
        commit(lake, keys, write_keys(lake, keys, table))
    return {
        "path": task.path(".parquet"),
        "rows": len(table),
        "bytes": size,
        "digest": digest,
        "schema": schema_text(table.schema),
        "rejects": task.path("-rejects.parquet") if len(out) else None,
        "funnel": funnel,
        "meta": {name: value_counts(table, name) for name in COUNTED if name in table.column_names},
    }


def value_counts(table: pa.Table, column: str) -> dict[str, int]:
    """Rows by value, in the order of the values; null counts as ""."""
    pairs = pc.value_counts(table.column(column)).to_pylist()
    return dict(sorted((pair["values"] or "", pair["counts"]) for pair in pairs))


def reject_table(rows: pa.Table, step: str, reason: pa.Array, evidence: pa.Array) -> pa.Table:
    """Rejects of one step: provenance of the rows, the step, the reasons and the evidence."""
    columns = {name: rows.column(name) for name in ("record_id", "source_id", "source", "uri", "line")}
    columns |= {"step": pa.repeat(pa.scalar(step), len(rows)), "reason": reason, "evidence": evidence}
    return pa.table(columns).select(REJECTS.names).cast(REJECTS)


def count(step: str, before: pa.Table, outcome: Outcome, *, merged: bool = False) -> Json:
    """The funnel entry of one step on one part; raises when a row is neither kept nor rejected."""
    kept, rejects = outcome.kept, outcome.rejects
    if len(before) + outcome.added != len(kept) + len(rejects):
        numbers = f"{len(before)} in + {outcome.added} added, {len(kept)} kept + {len(rejects)} rejected"
        raise StepError("E402", f"step {step!r} lost or invented rows: {numbers}", where=step)
    into, out = value_counts(before, "source"), value_counts(kept, "source")
    reasons: dict[str, dict[str, int]] = {}
    if len(rejects):
        for row in rejects.group_by(["source", "reason"]).aggregate([([], "count_all")]).to_pylist():
            reasons.setdefault(row["source"], {})[row["reason"]] = row["count_all"]
    sources = {}
    for name in sorted(into.keys() | out.keys() | reasons.keys()):
        why = dict(sorted(reasons.get(name, {}).items()))
        left = sum(why.values())
        added = out.get(name, 0) + left - into.get(name, 0)
        sources[name] = entry(into.get(name, 0), out.get(name, 0), left, added, why, merged=merged)
    why = merge_counts([source["reasons"] for source in sources.values()])
    whole = entry(len(before), len(kept), len(rejects), outcome.added, why, merged=merged)
    return {"step": step, **whole, "sources": sources, "notes": dict(sorted(outcome.notes.items()))}


def entry(rows_in: int, rows_out: int, left: int, added: int, reasons: dict[str, int], *, merged: bool) -> Json:
    gone = {"rejected": 0, "merged": left} if merged else {"rejected": left, "merged": 0}
    return {"rows_in": rows_in, "rows_out": rows_out, "added": added, **gone, "reasons": reasons}


def merge_counts(many: list[dict[str, int]]) -> dict[str, int]:
    """Sum of counters, sorted by name."""
    total: dict[str, int] = {}
    for one in many:
        for name, n in one.items():
            total[name] = total.get(name, 0) + n
    return dict(sorted(total.items()))


# -- global steps ------------------------------------------------------------------------------------------------------
def global_step(body: Json) -> GlobalStep:
    step = make_step(body)
    if not isinstance(step, GlobalStep):
        raise StepError("E403", f"step {body['name']!r} is not global", where=str(body["name"]))
    return step


def keys_task(node: str, step: Json, regime: str, part: tuple[str, Json, str]) -> Task:
    """The task that computes the keys of a part (path, digest, label) for the global step of a node."""
    path, digest, shown = part
    key = fingerprint({"op": "keys", "input": digest, "step": step, "regime": regime, **VERSIONS})
    return Task(key=key, op="ingot.core.ops:keys_part", node=node, place=f"cache/{folder(node)}",
                label=f"keys of {shown}", params={"input": path, "step": step, "regime": regime})  # fmt: skip


def keys_part(lake: Lake, task: Task) -> Json:
    """Keys of one part, sorted by key, so that a bucket is a slice of the file. params: input, step, regime."""
    return write_keys(lake, task, lake.read_parquet(task.params["input"]))


def write_keys(lake: Lake, task: Task, table: pa.Table) -> Json:
    """Write the keys of a table that is in memory."""
    keys = global_step(task.params["step"]).keys(table, context(lake, task))
    keys = keys.append_column("row", pa.array(np.arange(len(table))))
    order = np.argsort(keys.column("key_hi").to_numpy(), kind="stable")
    lake.write_ipc(task.path(".arrow"), keys.take(pa.array(order)))
    return {"path": task.path(".arrow"), "rows": len(table)}


def decide_bucket(lake: Lake, task: Task) -> Json:
    """Decide on the rows whose key falls into one bucket. params: parts (key files in order), bucket, bits, step."""
    bits, bucket = task.params["bits"], task.params["bucket"]
    slices = []
    for ordinal, path in enumerate(task.params["parts"]):
        keys = lake.open_ipc(path)
        low, high = _bounds(keys.column("key_hi").to_numpy(), bucket, bits)
        if high > low:
            part = pa.array(np.full(high - low, ordinal, np.int64))
            slices.append(keys.slice(low, high - low).append_column("part", part))
    rows = _groups(pa.concat_tables(slices)) if slices else None
    if rows is None or not len(rows):
        return {"path": None, "parts": {}, "notes": {}}
    gone = global_step(task.params["step"]).decide(rows)
    notes = json.loads((gone.schema.metadata or {}).get(b"notes", b"{}"))
    gone = gone.sort_by([("part", "ascending"), ("row", "ascending")]).select(["part", "row", "reason", "evidence"])
    lake.write_ipc(task.path(".arrow"), gone)
    parts = gone.column("part").to_numpy()
    edges = np.flatnonzero(np.r_[True, parts[1:] != parts[:-1], True]).tolist() if len(parts) else []
    index = {}
    for start, end in pairwise(edges):
        piece = gone.slice(start, end - start).drop_columns(["part"])
        index[str(parts[start])] = [start, end - start, fingerprint(content_sums(piece))]
    return {"path": task.path(".arrow"), "parts": index, "notes": notes}


def _bounds(key_hi: np.ndarray, bucket: int, bits: int) -> tuple[int, int]:
    """The slice of sorted keys whose top `bits` bits are `bucket`."""
    if bits == 0:
        return 0, len(key_hi)
    low = np.searchsorted(key_hi, np.uint64(bucket << (64 - bits)), "left")
    if bucket + 1 == 1 << bits:
        return int(low), len(key_hi)
    return int(low), int(np.searchsorted(key_hi, np.uint64((bucket + 1) << (64 - bits)), "left"))


def _groups(rows: pa.Table) -> pa.Table:
    """Rows whose key_hi occurs at least twice, sorted by (key_hi, key_lo, order, part, row)."""
    hi = rows.column("key_hi").to_numpy()
    order = np.argsort(hi, kind="stable")
    hi = hi[order]
    same = hi[1:] == hi[:-1]
    member = np.zeros(len(order), bool)
    member[1:] |= same
    member[:-1] |= same
    few = rows.take(pa.array(order[member]))
    names = ("key_hi", "key_lo", "order", "part", "row")
    return few.sort_by([(name, "ascending") for name in names])


def _removed(lake: Lake, removals: list[list[Any]]) -> pa.Table:
    """The removed rows of one part: row, reason, evidence, ascending by row. removals: [path, start, count]."""
    slices = [lake.open_ipc(path).slice(start, n) for path, start, n in removals]
    return pa.concat_tables(slices).combine_chunks().sort_by("row")
