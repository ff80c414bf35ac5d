"""Gates: conditions on a node, judged after it is built and before its name moves.

A gate reads what the manifest says (rows, funnel, licences, splits) and opens the data only for what a manifest cannot
say (duplicates, missing values) or to show the rows that offend. What it computed from data is kept in the lake's cache
under the node's content digest, so judging an unchanged node again costs nothing.
Guarantee: the verdict is a function of the node's content and the gate's config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from ingot.checks.conditions import GATES, Condition
from ingot.checks.facts import LakeFacts
from ingot.errors import ConfigError

if TYPE_CHECKING:
    from ingot.checks.conditions import Verdict
    from ingot.core.node import Snapshot
    from ingot.store.lake import Lake

SHOWN = 10  # offending rows in a result
WIDE = 110  # characters of why a row offends, in text


class Places(Protocol):
    """Where things stand in the pipeline's file: core.yamlfile.Document."""

    def where(self, path: tuple[str | int, ...]) -> str: ...

    def explain(self, error: ValidationError, path: tuple[str | int, ...], model: Any) -> ConfigError: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """observed and wanted: sentences for people; rows: up to SHOWN offending rows with record_id, uri, line and why."""

    name: str
    node: str
    passed: bool
    observed: str
    wanted: str
    rows: tuple[Mapping[str, Any], ...] = field(default=())

    def text(self) -> str:
        """The verdict in words, then the offending rows."""
        mark = "✓ passed" if self.passed else "✗ failed"
        lines = [f"{mark}  {self.name} on {self.node}: {self.observed} (wanted: {self.wanted})"]
        lines += [f"    {_place(row)}  {row.get('record_id') or '-'}  {_cut(row['why'])}" for row in self.rows]
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        """The same as a JSON value."""
        return {"gate": self.name, "node": self.node, "passed": self.passed, "observed": self.observed,
                "wanted": self.wanted, "rows": [dict(row) for row in self.rows]}  # fmt: skip


def _cut(why: str) -> str:
    return why if len(why) <= WIDE else f"{why[: WIDE - 1]}…"


def _place(row: Mapping[str, Any]) -> str:
    if not row.get("uri"):
        return "-"
    return f"{row['uri']}:{row['line']}" if row.get("line") is not None else str(row["uri"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A condition bound to the node that it judges."""

    name: str
    node: str
    condition: Condition

    def judge(self, lake: Lake, snapshots: Mapping[str, Snapshot]) -> GateResult:
        """Judge the node as it is in `snapshots`, which must hold its inputs as far as the gate needs them."""
        facts = LakeFacts(lake=lake, snapshots=snapshots, node=self.node)
        verdict: Verdict = self.condition.judge(facts)
        rows: Iterator[Mapping[str, Any]] = iter(() if verdict.passed else verdict.rows())
        shown = tuple(row for _, row in zip(range(SHOWN), rows, strict=False))
        return GateResult(name=self.name, node=self.node, passed=verdict.passed, observed=verdict.observed,
                          wanted=verdict.wanted, rows=shown)  # fmt: skip


def bind(
    name: str, options: Any, document: Places, path: tuple[str | int, ...], *, node: str | None, silver: list[str]
) -> Gate:
    """A gate by its name in ingot.yaml; ConfigError with its place when it cannot be meant."""
    import difflib

    model = GATES.get(name)
    if model is None:
        close = difflib.get_close_matches(name, list(GATES), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError("E116", f"there is no gate {name!r}{hint}", where=document.where(path),
                          next=f"use one of: {', '.join(sorted(GATES))}")  # fmt: skip
    if not isinstance(options, Mapping):
        options = {} if options is None else {model.shorthand: options}
    try:
        condition = model.model_validate(options)
    except ValidationError as error:
        raise document.explain(error, (*path, name), model) from None
    target = node or condition.node or (silver[-1] if silver else None)
    if target is None or not target.startswith("silver.") or target not in silver:
        known = ", ".join(silver) or "none: add a silver step first"
        raise ConfigError("E116", f"gate {name!r} cannot judge node {target!r}", where=document.where(path),
                          next=f"silver nodes: {known}")  # fmt: skip
    return Gate(name=name, node=target, condition=condition)
