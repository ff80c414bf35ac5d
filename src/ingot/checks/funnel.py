"""The funnel of a pipeline: for each step how many rows came, went on, left and why, by reason and by source.

Built from what the manifests say (`Draft.funnel`), never from the data. Guarantee: conservation is checked before
anything is shown: rows in + added = rows out + rejected + merged for every step, over all and for every source, and
each step begins with the rows that the one before left; otherwise E402 with the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from ingot.checks.render import svg, text
from ingot.checks.stages import COUNTS, Funnel, Stage
from ingot.core.task import Json
from ingot.errors import StepError

if TYPE_CHECKING:
    from ingot.core.node import Snapshot


def build(snapshots: Mapping[str, Snapshot]) -> Funnel:
    """The funnel of these nodes; inputs must come before what reads them. Raises StepError E402 when rows are lost."""
    arrived = {name.partition(".")[2]: one.draft.rows for name, one in snapshots.items() if name.startswith("bronze.")}
    stages: list[Stage] = []
    for name, snapshot in snapshots.items():
        own = [_stage(name, entry) for entry in snapshot.draft.funnel]
        for stage in own:
            _conserved(stage)
        if name.startswith("silver.") and own:
            _chained(name, own, [snapshots[i].draft.rows for i in snapshot.inputs if i in snapshots], snapshot)
        stages += own
    silver = [stage for stage in stages if stage.node.startswith("silver.")]
    last = silver or stages
    return Funnel(arrived=arrived, stages=tuple(stages), rows_out=last[-1].rows_out if last else sum(arrived.values()))


def _stage(node: str, entry: Json) -> Stage:
    counts: Json = {name: int(entry.get(name, 0)) for name in COUNTS}
    named: Json = {name: dict(entry.get(name, {})) for name in ("reasons", "sources", "notes")}
    return Stage(node=node, step=entry["step"], **counts, **named)


def _conserved(stage: Stage) -> None:
    """Rows in + added = rows out + rejected + merged, for the step and each source, and sources sum up to the step."""
    whole = {name: getattr(stage, name) for name in COUNTS}
    for who, counts in [("", whole), *((f" of source {name!r}", counts) for name, counts in stage.sources.items())]:
        came = counts["rows_in"] + counts.get("added", 0)
        went = counts["rows_out"] + counts.get("rejected", 0) + counts.get("merged", 0)
        if came != went:
            raise _lost(stage.node, stage.step, f"{came} rows{who} came, {went} are accounted for")
    if sum(stage.reasons.values()) != stage.left:
        raise _lost(stage.node, stage.step, f"{stage.left} rows left, the reasons name {sum(stage.reasons.values())}")
    for name in COUNTS if stage.sources else ():
        total = sum(int(counts.get(name, 0)) for counts in stage.sources.values())
        if total != whole[name]:
            raise _lost(stage.node, stage.step, f"{name} is {whole[name]}, but {total} summed over sources")


def _chained(node: str, stages: list[Stage], given: list[int], snapshot: Snapshot) -> None:
    """Each step has the rows that the one before left, from the node's inputs to its parts."""
    if given and len(given) == len(snapshot.inputs) and stages[0].rows_in != sum(given):
        raise _lost(node, stages[0].step, f"its inputs have {sum(given)} rows, the step saw {stages[0].rows_in}")
    for before, after in pairwise(stages):
        if before.rows_out != after.rows_in:
            raise _lost(node, after.step, f"{before.step} left {before.rows_out} rows, {after.rows_in} came")
    if stages[-1].rows_out != snapshot.draft.rows:
        raise _lost(node, stages[-1].step, f"it left {stages[-1].rows_out} rows, the node has {snapshot.draft.rows}")


def _lost(node: str, step: str, what: str) -> StepError:
    return StepError("E402", f"rows not conserved in step {step!r}: {what}", where=node)


def funnel_table(funnel: Funnel) -> list[Json]:
    """The funnel as JSON rows, one per step, after one for what arrived."""
    rows: list[Json] = []
    if funnel.arrived:
        total = sum(funnel.arrived.values())
        sources = {name: {"rows_out": n} for name, n in funnel.arrived.items()}
        rows.append({
            "node": "bronze", "step": "arrived", "rows_in": total, "rows_out": total, "rejected": 0, "merged": 0,
            "added": 0, "share_left": 0.0, "reasons": {}, "sources": sources, "notes": {},
        })  # fmt: skip
    for stage in funnel.stages:
        counts = {name: getattr(stage, name) for name in COUNTS}
        rows.append({
            "node": stage.node, "step": stage.step, **counts, "share_left": round(stage.share_left, 6),
            "reasons": dict(stage.reasons), "sources": dict(stage.sources), "notes": dict(stage.notes),
        })  # fmt: skip
    return rows


def render_text(funnel: Funnel, width: int = 100) -> str:
    """The funnel as aligned plain text with bars."""
    return text(funnel, width)


def render_svg(funnel: Funnel, title: str = "Where the rows went") -> str:
    """The funnel as one self-contained SVG, light or dark as the reader's system is."""
    return svg(funnel, title)
