"""The event log of a run: runs/<run>/events.jsonl, the only place with times, durations and hosts.

Everything that shows progress reads these events: the terminal while the run goes on, `ingot status` afterwards. An
event is one JSON object with `event` and `time` (seconds since 1970); the log is rewritten whole when the run starts
and ends and at most every `EVERY` seconds between, so a killed run loses at most that much of its log, and nothing
else. (A write is durable, 3-10 ms: one per event took a third of an idle run.)
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ingot.core.task import Json, canonical_json

if TYPE_CHECKING:
    from ingot.store.lake import Lake

EVERY = 2.0
_EDGES = ("run_started", "run_done", "run_failed")
Listener = Callable[[Json], None]


class EventLog:
    """Collect events, keep them in the lake, and hand each to the listeners."""

    def __init__(self, lake: Lake, pipeline: str, listeners: tuple[Listener, ...] = ()) -> None:
        now = datetime.now(UTC)
        self.run = f"{now:%Y%m%dT%H%M%S}-{now.microsecond:06d}-{pipeline}"
        self._lake, self._listeners = lake, listeners
        self._lines: list[bytes] = []
        self._written = time.monotonic()
        self.emit("run_started", pipeline=pipeline, host=platform.node(), pid=os.getpid())

    def emit(self, event: str, **fields: object) -> None:
        """Record one event; a listener gets it at once."""
        body: Json = {"event": event, "time": round(time.time(), 3), **fields}
        self._lines.append(canonical_json(body))
        for listener in self._listeners:
            listener(body)
        if event in _EDGES or time.monotonic() - self._written > EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what has been recorded so far."""
        self._lake.store.write(f"runs/{self.run}/events.jsonl", b"\n".join(self._lines) + b"\n")
        self._written = time.monotonic()
