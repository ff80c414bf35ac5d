"""What a run would do, and why, without doing it: the same generators, abandoned at the first missing task.

A reason names what changed since the node's current snapshot: a config field with old and new value and its file:line,
a step's version, an input's digest, a source's files. Read-only: nothing is written, not even a cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingot.core.node import Draft, Node, Snapshot
from ingot.core.run import Graph, finished, snapshots_of
from ingot.core.snapshots import current, seal
from ingot.core.task import Json, Task

if TYPE_CHECKING:
    from ingot.store.lake import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One reason. what: "length.min"; old, new: shown values; where: file:line:column or ""."""

    what: str
    old: str = ""
    new: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """state: "up to date", "will run" or "waits" (for an input that will run first); tasks: missing in the round."""

    node: str
    state: str
    tasks: tuple[Task, ...] = ()
    total: int = 0
    changes: tuple[Change, ...] = ()


def plan(graph: Graph, lake: Lake, *, select: Sequence[str] = ()) -> list[NodePlan]:
    """One entry per selected node, in order."""
    nodes = graph.select(select)
    snapshots: dict[str, Snapshot] = snapshots_of(lake, nodes)
    return [_plan_node(graph, lake, node, snapshots) for node in nodes]


def _plan_node(graph: Graph, lake: Lake, node: Node, snapshots: dict[str, Snapshot]) -> NodePlan:
    old = current(lake, node.name)
    changes = tuple(reasons(graph, node, old, snapshots))
    if waiting := [name for name in node.inputs if name not in snapshots]:
        changes += tuple(Change(what=f"input {name}", new="will run first") for name in waiting)
        return NodePlan(node=node.name, state="waits", changes=changes)
    inputs = {name: snapshots[name] for name in node.inputs}
    missing, total, draft = _first_missing(lake, node, inputs)
    if draft is None:
        changes += tuple(_observed(node))
        return NodePlan(node=node.name, state="will run", tasks=tuple(missing), total=total, changes=changes)
    digests = {name: snapshot.draft.digest for name, snapshot in inputs.items()}
    snapshot = seal(node.name, graph.name, node.describe(), digests, draft)
    snapshots[node.name] = snapshot
    if old is not None and old.id == snapshot.id:
        return NodePlan(node=node.name, state="up to date", total=total)
    changes += tuple(_observed(node))
    return NodePlan(node=node.name, state="will run", total=total, changes=changes)


def _first_missing(lake: Lake, node: Node, inputs: Mapping[str, Snapshot]) -> tuple[list[Task], int, Draft | None]:
    """Tasks missing in the first round that has any, tasks seen, and the draft if no task is missing."""
    rounds, seen = node.build(lake, inputs), 0
    try:
        tasks = next(rounds)
        while True:
            seen += len(tasks)
            results = [finished(lake, task) for task in tasks]
            missing = [task for task, result in zip(tasks, results, strict=True) if result is None]
            if missing:
                rounds.close()
                return missing, seen, None
            tasks = rounds.send([result for result in results if result is not None])
    except StopIteration as stop:
        return [], seen, stop.value


def reasons(graph: Graph, node: Node, old: Snapshot | None, snapshots: Mapping[str, Snapshot]) -> list[Change]:
    """Why this node's current snapshot does not answer the question any more."""
    if old is None:
        return [Change(what="never built")]
    out = list(differences(flatten(old.description), flatten(node.describe()), node.name, graph.places))
    for name in node.inputs:
        new = snapshots.get(name)
        was = old.inputs.get(name)
        if was is None:
            out.append(Change(what=f"input {name}", new="added"))
        elif new is not None and was != new.draft.digest:
            out.append(Change(what=f"input {name}", old=was[:8], new=new.draft.digest[:8]))
    out += [Change(what=f"input {name}", new="removed") for name in old.inputs if name not in node.inputs]
    return out


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of a description by dotted name; steps go by their name: "length.min", "length (version)"."""
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, item in value.items():
            if key == "steps" and isinstance(item, list):
                for step in item:
                    out[f"{step['name']} (version)"] = step["version"]
                    out |= flatten(step["config"], f"{step['name']}.")
                out["order of steps"] = " → ".join(step["name"] for step in item)
            else:
                out |= flatten(item, f"{prefix}{key}.")
        return out
    return {prefix.rstrip("."): value}


def differences(old: Json, new: Json, node: str, places: Mapping[str, str]) -> list[Change]:
    """Fields whose value differs, with their place in the file where it is known."""
    out = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name, ...) != new.get(name, ...):
            shown = [_shown(side.get(name, ...)) for side in (old, new)]
            out.append(Change(what=name, old=shown[0], new=shown[1], where=_place(name, node, places)))
    return out


def _place(name: str, node: str, places: Mapping[str, str]) -> str:
    """The nearest enclosing place of a field of a node."""
    at = f"{node}/{name.removesuffix(' (version)')}"
    while at not in places and "." in at.partition("/")[2]:
        at = at.rpartition(".")[0]
    return places.get(at, places.get(node, ""))


def _shown(value: object) -> str:
    return "absent" if value is ... else str(value) if not isinstance(value, str) else value[:60]


def _observed(node: Node) -> list[Change]:
    """What a source saw: new, grown, changed and vanished files."""
    return [Change(**change) for change in node.changes]
