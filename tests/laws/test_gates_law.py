"""Law 6, gated: a failed gate exits 1 and never moves a name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.project import YAML, Project, rows, small, write_jsonl

from ingot.errors import GateError

GATES = YAML + "gates:\n  - rows: {min: 30}\n  - rejected: {max: 0.3}\n"


def test_a_failed_gate_leaves_every_name(tmp_path: Path) -> None:
    project = small(tmp_path, text=GATES)
    project.run()
    before, digests = project.digests(), project.files(without=("runs/", "cache/", "silver/", "bronze/", "gold/"))
    for i in (1, 2):
        (tmp_path / "raw" / f"{i}.jsonl").unlink()
    with pytest.raises(GateError) as caught:
        project.run()
    assert "rows" in str(caught.value)
    assert project.digests() == before
    assert project.files(without=("runs/", "cache/", "silver/", "bronze/", "gold/")) == digests


def test_exit_code_and_offending_rows(tmp_path: Path) -> None:
    project = small(tmp_path, text=GATES.replace("max: 0.3", "max: 0.01"))
    done = subprocess.run([sys.executable, "-m", "ingot.cli.main", "run", "-f", str(tmp_path / "ingot.yaml")],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "E501" in done.stderr
    assert "raw/" in done.stderr, "offending rows are shown with their place"
    assert "Traceback" not in done.stderr
    assert project.digests() == {}


def test_after_a_repair_the_name_moves(tmp_path: Path) -> None:
    project = small(tmp_path, n=20, files=1, text=GATES)
    with pytest.raises(GateError):
        project.run()
    write_jsonl(tmp_path / "raw" / "more.jsonl", rows(40, start=100))
    project.run()
    assert "gold.train" in project.digests()
    assert isinstance(project, Project)
