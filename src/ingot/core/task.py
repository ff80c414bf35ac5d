"""A task: the small, picklable description of one unit of work, executable by a bare interpreter given only the lake.

`key` is the fingerprint of everything the result depends on; `result` is the lake path of the JSON that commits it: if
that file exists the task is done, and nothing else says so. Files are written first, the result last, both atomically,
so a kill at any instant leaves either no trace that counts or the whole result. An op is a function
`op(lake, task) -> dict` named "module:function"; it is pure given the lake and `params`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingot.store.lake import Lake

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """op: "ingot.core.ops:map_part"; place: lake folder of the outputs; label: for people; params: JSON values only."""

    key: str
    op: str
    node: str
    place: str
    label: str
    params: Json

    @property
    def result(self) -> str:
        """Lake path of the JSON whose existence means that this task is done."""
        return f"{self.place}/{self.key}.json"

    def path(self, suffix: str) -> str:
        """Lake path of an output of this task: path(".parquet"), path("-rejects.parquet")."""
        return f"{self.place}/{self.key}{suffix}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Task:
        return cls(**json.loads(text))


def resolve(op: str) -> Callable[[Lake, Task], Json]:
    """The function that an op names."""
    module, _, name = op.partition(":")
    function: Callable[[Lake, Task], Json] = getattr(importlib.import_module(module), name)
    return function


def execute(lake: Lake, task: Task) -> Json:
    """Run one task and commit its result; returns the result."""
    return commit(lake, task, resolve(task.op)(lake, task))


def commit(lake: Lake, task: Task, result: Json) -> Json:
    """Say that a task is done; its files are written."""
    lake.store.write(task.result, canonical_json(result))
    return result


def canonical_json(value: object) -> bytes:
    """The one JSON form of the project: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
