"""Tasks: their JSON form, and that the result is committed last."""

from __future__ import annotations

from pathlib import Path

from ingot.core.fingerprint import fingerprint
from ingot.core.task import Json, Task, canonical_json, execute
from ingot.store.lake import Lake


def sample(lake: Lake, task: Task) -> Json:
    assert not lake.store.exists(task.result)
    lake.store.write(task.path(".txt"), b"x")
    return {"value": task.params["value"] + 1}


TASK = Task(key="ab", op="tests.core.test_task:sample", node="silver.x", place="silver/x/parts", label="one", params={"value": 1})


def test_round_trip() -> None:
    assert Task.from_json(TASK.to_json()) == TASK


def test_execute_commits(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"), create=True)
    assert execute(lake, TASK) == {"value": 2}
    assert lake.store.read("silver/x/parts/ab.json") == b'{"value":2}'


def test_fingerprint_ignores_key_order_only() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1, "b": [1, 2]}) != fingerprint({"a": 1, "b": [2, 1]})
    assert canonical_json({"é": 1, "a": None}) == '{"a":null,"é":1}'.encode()
