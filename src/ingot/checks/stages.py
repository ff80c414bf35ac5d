"""What a funnel is made of: stages with their counts. Built by `checks.funnel`, drawn by `checks.render`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ingot.core.task import Json

COUNTS = ("rows_in", "rows_out", "rejected", "merged", "added")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of one node. sources: the same counts and reasons by source; notes: what the step counted besides."""

    node: str
    step: str
    rows_in: int
    rows_out: int
    rejected: int
    merged: int
    added: int
    reasons: Mapping[str, int]
    sources: Mapping[str, Json]
    notes: Mapping[str, int]

    @property
    def left(self) -> int:
        """Rows that did not go on."""
        return self.rejected + self.merged

    @property
    def share_left(self) -> float:
        """Of the rows that the step had, added ones included, the share that did not go on."""
        return self.left / (self.rows_in + self.added) if self.rows_in + self.added else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """arrived: rows of each source in bronze, where bronze is part of it; stages: in the order of the work."""

    arrived: Mapping[str, int]
    stages: tuple[Stage, ...]
    rows_out: int
