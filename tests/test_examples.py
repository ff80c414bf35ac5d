"""The example data: small, attributed, rebuilt byte for byte by its script, and every messy row meets its stated fate."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ingot import Pipeline
from ingot.errors import GateError
from ingot.store.lake import Lake

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
REGIMES = ("sft", "preference", "rlvr")
Json = dict[str, Any]
LIMIT_FILE, LIMIT_ALL = 300_000, 1_500_000


class Mess(NamedTuple):
    """A line of the table in ATTRIBUTION.md."""

    file: str
    line: int | None
    what: str
    fate: str


def listed(regime: str) -> list[Mess]:
    table = (EXAMPLES / regime / "ATTRIBUTION.md").read_text(encoding="utf-8").partition("## Mess added on purpose")[2]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line.startswith("| ")]
    return [Mess(file, int(line) if line.isdigit() else None, what, fate) for file, line, what, fate in cells[1:]]


def raw_files(regime: str) -> list[Path]:
    return sorted((EXAMPLES / regime / "raw").iterdir())


def content(path: Path) -> bytes:
    """The bytes that count: those inside a gzip member, which other zlib versions may pack otherwise."""
    if path.suffix != ".gz" or path.name == "seed_tasks_late.jsonl.gz":
        return path.read_bytes()
    return gzip.decompress(path.read_bytes())


def test_the_data_is_small() -> None:
    sizes = {path: path.stat().st_size for regime in REGIMES for path in raw_files(regime)}
    assert not {path.name: size for path, size in sizes.items() if size > LIMIT_FILE}
    assert sum(sizes.values()) < LIMIT_ALL


@pytest.mark.parametrize("regime", REGIMES)
def test_every_file_is_attributed_and_its_licence_lies_beside_it(regime: str) -> None:
    text = (EXAMPLES / regime / "ATTRIBUTION.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## raw/(\S+)\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL))
    assert set(parts) == {path.name for path in raw_files(regime)}
    for name, part in parts.items():
        assert re.search(r"github\.com/[\w-]+/[\w.-]+, commit `[0-9a-f]{40}`, path `[^`]+`", part), name
        assert re.search(r"sha256 of the original: `[0-9a-f]{64}`", part), name
        licence = re.search(r"licence: (MIT|Apache-2\.0) \(`(licenses/[^`]+)`\)", part)
        assert licence is not None, name
        assert (EXAMPLES / regime / licence[2]).stat().st_size > 500
        assert re.search(r"changed: .{10,}", part), name


@pytest.mark.parametrize("regime", REGIMES)
def test_the_mess_is_a_modest_share(regime: str) -> None:
    rows = sum(count(path) for path in raw_files(regime))
    mess = [entry for entry in listed(regime) if entry.line is not None]
    assert {entry.file for entry in mess} <= {path.name for path in raw_files(regime)}
    assert 0.02 < len(mess) / rows < 0.07


def count(path: Path) -> int:
    """Rows, roughly: lines for JSON, quoted line ends not counted for CSV."""
    if path.name == "seed_tasks_late.jsonl.gz":
        return 18
    data = content(path)
    return data.count(b"\r\n") if path.suffix == ".csv" else data.count(b"\n")


def test_the_script_rebuilds_the_committed_bytes(shared_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "scripts/make_examples.py", "--data", str(shared_data), "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    for regime in REGIMES:
        made = sorted(path.relative_to(tmp_path) for path in (tmp_path / regime).rglob("*") if path.is_file())
        assert {path.name for path in (tmp_path / regime / "raw").iterdir()} == {path.name for path in raw_files(regime)}
        for path in made:
            assert content(tmp_path / path) == content(EXAMPLES / path), path


# Fates


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The three examples, run once."""
    places = {regime: str(tmp_path_factory.mktemp(regime) / "lake") for regime in REGIMES}
    for regime, place in places.items():
        Pipeline.from_yaml(EXAMPLES / regime / "ingot.yaml").run(place)
    return places


def verb(*words: str, lake: str, regime: str) -> Iterator[Json]:
    """The JSON lines that a reading verb prints."""
    done = subprocess.run(
        [sys.executable, "-m", "ingot.cli.main", *words, "-o", "jsonl", "-f", f"examples/{regime}/ingot.yaml", "--lake", lake],
        cwd=ROOT, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )  # fmt: skip
    return (json.loads(line) for line in done.stdout.split("\n") if line)


def place(row: Json) -> tuple[str, int]:
    """File name and line; rows that left gold carry no place of their own."""
    return (row["uri"] or "").rpartition("/")[2], row["line"]


@pytest.mark.parametrize("regime", REGIMES)
def test_every_messy_row_meets_its_fate(regime: str, lakes: dict[str, str]) -> None:
    """Of a row and its copy the one with the smaller record id stays, so either of the two may be the one that left."""
    steps: dict[tuple[str, int], set[str]] = {}
    twins = set()
    for row in verb("rejects", lake=lakes[regime], regime=regime):
        steps.setdefault(place(row), set()).add(row["step"])
        if row["step"] == "exact_dedup":
            twins.add(json.loads(row["evidence"])["kept"])
    stayed = {place(row) for row in verb("show", "silver.unique", lake=lakes[regime], regime=regime) if row["record_id"] in twins}
    wrong = []
    for entry in (entry for entry in listed(regime) if entry.line is not None):
        at = (entry.file, entry.line)
        merged = entry.fate.startswith("merged")
        expected = "exact_dedup" if merged else "conform"
        if expected not in steps.get(at, set()) and not (merged and at in stayed):
            wrong.append((*entry, steps.get(at)))
    assert not wrong


@pytest.mark.parametrize("regime", REGIMES)
def test_only_broken_rows_are_refused(regime: str, lakes: dict[str, str]) -> None:
    """What conform rejects beyond the list above is upstream's own mess: empty or boolean answers."""
    planned = {(entry.file, entry.line) for entry in listed(regime)}
    natural = {
        row["reason"]
        for row in verb("rejects", lake=lakes[regime], regime=regime)
        if row["step"] == "conform" and place(row) not in planned
    }
    assert natural <= {"empty_response", "empty_prompt", "wrong_type", "truncated_file"}


def test_the_failing_gates_fail_and_leave_the_names(tmp_path: Path) -> None:
    with pytest.raises(GateError) as caught:
        Pipeline.from_yaml(EXAMPLES / "sft" / "gate-fails.yaml").run(str(tmp_path / "lake"))
    assert "licenses" in str(caught.value) or "rejected" in str(caught.value)
    assert Lake(str(tmp_path / "lake")).store.list("refs/silver") == []
