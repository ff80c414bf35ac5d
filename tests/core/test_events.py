"""The event log: what listeners see, what the lake keeps, and that times stay in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.project import small

from ingot.core.events import EventLog
from ingot.core.task import Json
from ingot.store.lake import Lake


def events_of(lake: Lake) -> list[Json]:
    (path,) = [path for path in lake.store.list("runs") if path.endswith("events.jsonl")]
    return [json.loads(line) for line in lake.store.read(path).splitlines()]


def test_listeners_and_file_see_the_same(tmp_path: Path) -> None:
    lake, heard = Lake.open(str(tmp_path / "lake"), create=True), list[Json]()
    log = EventLog(lake, "p", (heard.append,))
    log.emit("task_done", node="silver.x", label="é")
    log.emit("node_done", node="silver.x")
    log.flush()
    assert [event["event"] for event in heard] == ["run_started", "task_done", "node_done"]
    assert events_of(lake) == heard
    assert all(event["time"] > 0 for event in heard)


def test_a_run_leaves_its_story(tmp_path: Path) -> None:
    project, heard = small(tmp_path, n=10, files=1), list[Json]()
    project.run(listeners=(heard.append,))
    kinds = [event["event"] for event in events_of(project.lake)]
    assert kinds == [event["event"] for event in heard]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_done"
    assert kinds.count("ref_moved") == kinds.count("node_done") == 6
    assert kinds.index("ref_moved") > max(i for i, kind in enumerate(kinds) if kind == "node_done")


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    project = small(tmp_path, n=10, files=1)
    project.edit("raw/*.jsonl", "raw/*.nothing")
    with pytest.raises(Exception, match="E201"):
        project.run()
    last = events_of(project.lake)[-1]
    assert last["event"] == "run_failed"
    assert "E201" in last["error"]
