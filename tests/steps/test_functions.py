"""Capturing a user's function: what counts as its identity, what is refused, and that it runs elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ingot.errors import ConfigError
from ingot.steps.functions import capture, restore

MODULE = '''
"""Module docstring."""
import math
from helper import double   # project module
from json import dumps

LIMIT = 3

def unused():
    return other_thing

def base(x):
    """Docstring."""
    return math.floor(x) + LIMIT

def entry(x, y=1):
    # a comment
    return double(base(x)) + y
'''
HELPER = "from deeper import FACTOR\n\ndef double(x):\n    return FACTOR * x\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "deeper.py").write_text("FACTOR = 2\n")
    return tmp_path


def identity(project: Path, name: str = "mine:entry") -> str:
    return capture(name, project).digest


def test_runs_without_the_project(project: Path) -> None:
    captured = capture("mine:entry", project)
    (project / "source").write_bytes(captured.source)
    code = "import sys; from ingot.steps.functions import restore; print(restore(open(sys.argv[1], 'rb').read())(1.5))"
    done = subprocess.run([sys.executable, "-c", code, project / "source"], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == "9\n"
    assert restore(captured.source)(2.5, y=0) == 10


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("mine.py", "# a comment", "# another comment"),
        ("mine.py", '"""Docstring."""', '"""Other words."""'),
        ("mine.py", "return math.floor(x) + LIMIT", "return (math.floor( x )\n            + LIMIT)"),
        ("mine.py", "return other_thing", "return nothing_at_all"),
        ("helper.py", "FACTOR * x", "FACTOR * x  # twice"),
    ],
)
def test_identity_ignores(project: Path, file: str, old: str, new: str) -> None:
    before = identity(project)
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    assert identity(project) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("mine.py", "LIMIT = 3", "LIMIT = 4"), ("mine.py", "+ y", "- y"), ("mine.py", "math.floor", "math.ceil"),
     ("helper.py", "FACTOR * x", "FACTOR + x"), ("deeper.py", "2", "3")],
)  # fmt: skip
def test_identity_follows(project: Path, file: str, old: str, new: str) -> None:
    before = identity(project)
    (project / file).write_text((project / file).read_text().replace(old, new))
    assert identity(project) != before


@pytest.mark.parametrize("name", ["mine:nothing", "absent:entry", "mine:unused"])
def test_refused_names(project: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="E108"):
        capture(name, project)


def test_refused_objects(tmp_path: Path) -> None:
    captured = 3

    def closure(table: object) -> object:
        return captured, table

    for function in (closure, lambda table: table, test_refused_objects.__get__(object())):
        with pytest.raises(ConfigError, match=r"E108|closure"):
            capture(function, tmp_path)
