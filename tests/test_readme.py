"""README's promises: its program runs, and what it shows is what the example prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_program_runs(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "tokenizer.json", tmp_path / "examples")
    (program,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines
    assert all(line.startswith("(4, 256) trained tokens: ") for line in lines)


def test_what_it_shows_is_what_the_example_prints(tmp_path: Path) -> None:
    where = ["-f", str(ROOT / "examples" / "sft" / "ingot.yaml"), "--lake", str(tmp_path / "lake")]
    environment = {**os.environ, "COLUMNS": "110"}
    printed = ""
    for words in (["run", "-q"], ["show", "gold.train"], ["show", "funnel", "--svg", str(tmp_path / "funnel.svg")]):
        command = [sys.executable, "-m", "ingot.cli.main", *words, *where]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        printed += done.stdout
    have = {line.rstrip() for line in printed.splitlines()}
    shown = [line.rstrip() for block in blocks("text") for line in block.splitlines() if line.strip()]
    assert len(shown) > 20
    assert [line for line in shown if line not in have] == []
    assert (tmp_path / "funnel.svg").read_text() == (ROOT / "docs" / "funnel.svg").read_text()


def test_its_links_exist() -> None:
    links = re.findall(r"\]\((docs/[\w.-]+|[\w./-]+\.md)\)", TEXT)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_verbs_it_names_exist() -> None:
    from ingot.cli.main import COMMANDS

    verbs = set(re.findall(r"\bingot (\w+)", TEXT))
    assert verbs >= {"init", "plan", "run", "rejects", "trace", "show"}
    assert verbs <= COMMANDS.keys()
