"""The first fault of each unit (row or item): a reason from the catalogue and JSON evidence.

Guarantee: which fault is recorded depends on the unit alone, never on how rows are cut into parts. Cost: nothing for
units without a fault; a Python call for each one with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot.catalogue import REASONS

Ints = npt.NDArray[np.int64]
Evidence = dict[str, Any]


class Faults:
    """Mutable while a part is being converted; `ok` tells which units are still without a fault."""

    __slots__ = ("evidence", "ok", "reason")

    def __init__(self, units: int) -> None:
        self.ok: npt.NDArray[np.bool_] = np.ones(units, np.bool_)
        self.reason: dict[int, str] = {}
        self.evidence: dict[int, Evidence] = {}

    def add(self, units: Ints, reason: str, evidence: Callable[[int], Evidence]) -> None:
        """Record `reason` for these units unless they have one already; evidence(k) is called for the k-th of them."""
        if reason not in REASONS:
            raise KeyError(f"reason {reason!r} is not in the catalogue")
        for k, unit in enumerate(units.tolist()):
            if self.ok[unit]:
                self.ok[unit] = False
                self.reason[unit] = reason
                self.evidence[unit] = evidence(k)

    def add_where(self, mask: npt.NDArray[np.bool_], reason: str, evidence: Callable[[int], Evidence]) -> None:
        """As `add`, for the units where mask is true; evidence receives the unit."""
        units = np.flatnonzero(mask & self.ok)
        if len(units):
            self.add(units, reason, lambda k: evidence(int(units[k])))

    def spread(self, parent: Ints) -> Faults:
        """The faults of units that were split: unit u of the result comes from parent[u] of these."""
        result = Faults(len(parent))
        for unit in np.flatnonzero(~self.ok[parent]).tolist():
            result.ok[unit] = False
            result.reason[unit] = self.reason[int(parent[unit])]
            result.evidence[unit] = self.evidence[int(parent[unit])]
        return result
