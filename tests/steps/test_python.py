"""`python`: a user's function as a step, from ingot.yaml and from Python, by mask and by table; what it may not do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.steps.records import chat, chats, conserved, contents

import ingot
from ingot.core.step import Outcome, StepContext
from ingot.errors import ConfigError, IngotError, StepError
from ingot.pipeline import snapshot_of
from ingot.steps.python import Python, PythonConfig
from ingot.store.lake import Lake

MODULE = """
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from helper import LIMIT

def turns(table):
    return pc.list_value_length(table.column("messages"))

def mask(table, limit=LIMIT):
    return pc.less_equal(turns(table), limit)

def numpy_mask(table, limit=LIMIT):
    return np.asarray(turns(table)) <= limit

def nulls(table):
    return pc.if_else(pc.less_equal(turns(table), LIMIT), True, None)

def fewer(table, limit=LIMIT):
    return table.filter(mask(table, limit))

def reversed_with_column(table):
    return table.append_column("turns", turns(table)).take(pa.array(range(len(table) - 1, -1, -1)))

def shouting(table):
    rows = [[{**turn, "content": turn["content"].upper()} for turn in row] for row in table.column("messages").to_pylist()]
    at = table.schema.get_field_index("messages")
    return table.set_column(at, "messages", pa.array(rows, table.schema.field("messages").type))

def twice(table):
    return pa.concat_tables([table, table])

def invents(table):
    return table.set_column(0, "record_id", pa.array(["f" * 32] * len(table)))

def forges(table):
    return table.set_column(table.schema.get_field_index("license"), "license", pa.array(["CC0-1.0"] * len(table)))

def drops(table):
    return table.drop_columns(["messages"])

def anonymous(table):
    return table.select(["messages"])

def same_name(table):
    return table.append_column("messages", table.column("messages"))

def numbers(table):
    return turns(table)

def short(table):
    return mask(table)[:1]

def nothing(table):
    return None

def raises(table):
    raise KeyError("no such field")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a pipeline's data and its own modules, which Python can import."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "helper.py").write_text("LIMIT = 2\n")
    lines = [{"messages": [{"role": one["role"], "content": one["content"]} for one in turns]} for turns in CHATS]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("mine", "helper"):
        sys.modules.pop(name, None)


CHATS = [chat("hi", "yes"), chat("hi", "yes", "more", "no"), chat("hello", "good")]


def bound(project: Path, name: str, **args: Any) -> Python:
    return Python.bind(PythonConfig(function=f"mine:{name}", args=args), project)


def applied(step: Python, table: pa.Table) -> Outcome:
    return step.apply(table, StepContext(regime="sft", node="silver.clean", asset=step.assets.__getitem__))


@pytest.mark.parametrize("name", ["mask", "numpy_mask", "nulls", "fewer"])
def test_a_mask_and_a_table_reject_alike(project: Path, name: str) -> None:
    table = chats(*CHATS)
    outcome = applied(bound(project, name), table)
    conserved(table, outcome)
    assert contents(outcome.kept) == [["hi", "yes"], ["hello", "good"]]
    (gone,) = outcome.rejects.to_pylist()
    assert (gone["step"], gone["reason"], gone["line"]) == ("python", "python_filter", 2)
    assert json.loads(gone["evidence"]) == {"function": f"mine:{name}"}


def test_arguments_reach_the_function(project: Path) -> None:
    assert len(applied(bound(project, "mask", limit=4), chats(*CHATS)).kept) == 3
    assert len(applied(bound(project, "mask", limit=0), chats(*CHATS)).rejects) == 3


def test_columns_may_change_or_be_added_and_the_order_stays(project: Path) -> None:
    table = chats(*CHATS)
    added = applied(bound(project, "reversed_with_column"), table)
    conserved(table, added)
    assert added.kept.column("turns").to_pylist() == [2, 4, 2]
    changed = applied(bound(project, "shouting"), table)
    assert contents(changed.kept)[0] == ["HI", "YES"]
    assert changed.kept.schema.equals(table.schema)


def test_no_row_at_all(project: Path) -> None:
    for name in ("mask", "numpy_mask", "fewer", "shouting"):
        outcome = applied(bound(project, name), chats())
        assert (len(outcome.kept), len(outcome.rejects)) == (0, 0), name


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("raises", "E405", "mine:raises raised KeyError: 'no such field'"),
        ("twice", "E413", "mine:twice repeats record_id '00000000000000000000000000000001'"),
        ("invents", "E413", "mine:invents invents record_id 'ffffffffffffffffffffffffffffffff'"),
        ("forges", "E413", "mine:forges changes the provenance column 'license'"),
        ("drops", "E412", "mine:drops drops the column 'messages'"),
        ("anonymous", "E412", "mine:anonymous has no column 'record_id'"),
        ("same_name", "E412", "mine:same_name has the column 'messages' twice"),
        ("numbers", "E412", "mine:numbers is 3 int32 values, for 3 rows"),
        ("short", "E412", "mine:short is 1 bool values, for 3 rows"),
        ("nothing", "E412", "mine:nothing is NoneType, for 3 rows"),
    ],
)
def test_an_answer_that_cannot_be_accounted_for_is_an_error(project: Path, name: str, code: str, message: str) -> None:
    with pytest.raises(StepError) as caught:
        applied(bound(project, name), chats(*CHATS))
    assert (caught.value.code, caught.value.where) == (code, "silver.clean, step python")
    assert message in caught.value.message
    assert caught.value.next


def test_the_asset_is_the_identity(project: Path) -> None:
    first = bound(project, "mask")
    (digest,) = first.assets
    assert first.config.digest == digest
    (project / "mine.py").write_text(MODULE.replace("def mask", "# a comment\ndef mask") + "\nOTHER = 1\n")
    assert bound(project, "mask").config == first.config
    (project / "helper.py").write_text("LIMIT = 4\n")
    other = bound(project, "mask")
    assert other.config.digest != digest
    assert len(applied(other, chats(*CHATS)).kept) == 3
    assert len(applied(first, chats(*CHATS)).kept) == 2, "a captured step does not look at the project again"
    assert bound(project, "mask", limit=1).config.digest == other.config.digest, "arguments are config, not source"


def test_a_function_that_is_not_there_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="E108.*defines no 'absent'"):
        bound(project, "absent")
    with pytest.raises(ConfigError, match="E108"):
        Python.bind(PythonConfig(function="nowhere:mask"), project)
    with pytest.raises(ConfigError, match="E108.*closure, lambda or method"):
        Python.bind(PythonConfig(function="x"), project, lambda table: np.ones(len(table), bool))


YAML = """
name: own
regime: sft
sources:
  data: {{path: data.jsonl, license: MIT}}
silver:
  - {step}
"""


def in_yaml(project: Path, step: str) -> ingot.Pipeline:
    (project / "ingot.yaml").write_text(YAML.format(step=step))
    return ingot.Pipeline.from_yaml(project / "ingot.yaml")


def in_python(project: Path) -> ingot.Pipeline:
    from mine import mask  # type: ignore[import-not-found]

    pipeline = ingot.Pipeline("own", regime="sft", base=project)
    pipeline.silver("clean", pipeline.source("data", path="data.jsonl", license="MIT"), [mask])
    return pipeline


def test_yaml_and_python_share_their_results(project: Path) -> None:
    lake = str(project / "lake")
    report = in_yaml(project, '{python: "mine:mask"}').run(lake, workers=1)
    assert report.tasks > 0
    assert snapshot_of(lake, "silver.clean").draft.rows == 2
    assert in_python(project).run(lake, workers=1).tasks == 0
    assert in_yaml(project, '{python: {function: "mine:mask", args: {}}}').run(lake, workers=1).tasks == 0
    digest = Python.bind(PythonConfig(function="mine:mask"), project).config.digest
    assert json.loads(Lake.open(lake).asset(digest))["name"] == "mask"


def test_a_changed_argument_or_function_runs_again(project: Path) -> None:
    lake = str(project / "lake")
    in_yaml(project, '{python: "mine:mask"}').run(lake, workers=1)
    assert in_yaml(project, '{python: {function: "mine:mask", args: {limit: 4}}}').run(lake, workers=1).tasks == 1
    assert snapshot_of(lake, "silver.clean").draft.rows == 3
    (project / "helper.py").write_text("LIMIT = 0\n")
    assert in_yaml(project, '{python: "mine:mask"}').run(lake, workers=1).tasks == 1
    assert snapshot_of(lake, "silver.clean").draft.rows == 0


@pytest.mark.parametrize("step", ['{python: "mine:mask"}', '{python: "mine:fewer"}'])
def test_processes_need_the_lake_alone(project: Path, step: str) -> None:
    pipeline = in_yaml(project, step)
    for name in ("mine.py", "helper.py"):
        (project / name).unlink()
    pipeline.run(str(project / "lake"), workers=1, kind="processes")
    assert snapshot_of(str(project / "lake"), "silver.clean").draft.rows == 2


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ('{python: "mine:raises"}', "E405"),
        ('{python: "mine:invents"}', "E413"),
        ('{python: "mine:absent"}', "E108"),
        ("{python: {args: {}}}", "E104"),
        ('{python: {function: "mine:mask", arg: {}}}', "E102"),
    ],
)
def test_errors_from_a_file_have_their_code(project: Path, step: str, code: str) -> None:
    with pytest.raises(IngotError) as caught:
        in_yaml(project, step).run(str(project / "lake"), workers=1)
    assert caught.value.code == code
    assert not (project / "lake" / "refs" / "silver.clean").exists()
