"""Planning and an idle run need no compiled kernels, no DuckDB, no tokenizers and no templates."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.project import YAML, Project, rows, write_jsonl

HEAVY = ("numba", "llvmlite", "duckdb", "tokenizers", "jinja2")
ALL_STEPS = YAML.replace("  - length:", '  - sql: "select * from input"\n  - length:') + (
    "  template: template.jinja\n  train_on: [assistant]\n"
    "gates:\n  - rows: {min: 1}\n  - rejected: {max: 0.9}\n  - duplicates: {max: 0.9}\n"
)
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
SCRIPT = f"""
import sys
from ingot.cli.main import main
sys.argv = ["ingot", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", [name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A pipeline with every kind of node, run once."""
    project = Project(tmp_path_factory.mktemp("light"), ALL_STEPS)
    (project.folder / "template.jinja").write_text(TEMPLATE)
    write_jsonl(project.folder / "raw" / "a.jsonl", rows(30))
    project.run()
    return project


@pytest.mark.parametrize("verb", ["plan", "run", "status"])
def test_an_idle_verb_loads_nothing_heavy(built: Project, verb: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, verb], cwd=built.folder, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout, done.stdout + done.stderr
    if verb == "run":
        assert "0 tasks" in done.stdout


def test_a_plan_before_the_first_run_loads_nothing_heavy(tmp_path: Path) -> None:
    project = Project(tmp_path, ALL_STEPS)
    (tmp_path / "template.jinja").write_text(TEMPLATE)
    write_jsonl(tmp_path / "raw" / "a.jsonl", rows(5))
    done = subprocess.run([sys.executable, "-c", SCRIPT, "plan"], cwd=project.folder, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout, done.stdout + done.stderr
