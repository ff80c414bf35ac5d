"""A small project on disk for tests of whole pipelines: raw files, ingot.yaml, a tokenizer, a lake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ingot.core.run import RunReport
from ingot.core.snapshots import load_snapshot
from ingot.pipeline import Pipeline
from ingot.store.lake import Lake

ROOT = Path(__file__).resolve().parent.parent

YAML = """\
name: small
regime: sft
sources:
  chat: {path: raw/*.jsonl, format: prompt_completion, license: MIT, origin: human}
silver:
  - normalize
  - length: {min_response_chars: 2}
  - exact_dedup
  - split: {validation: 0.25, key: prompt}
gold:
  tokenizer: tokenizer.json
  max_length: 64
"""


def rows(n: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Rows with a duplicate every seventh, a short one every eleventh, some Unicode; a function of their number only."""
    out = []
    for i in range(start, start + n):
        k = i - 1 if i % 7 == 6 else i
        answer = "x" if i % 11 == 10 else f"Answer {k} – größer als {k * k}, with some words to fill a row of text. " * (1 + k % 4)
        out.append({"id": f"row-{i}", "prompt": f"Question {k}: what is {k} + {k}?", "completion": answer.strip()})
    return out


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


class Project:
    """A folder with a pipeline; `run` brings its lake up to date."""

    def __init__(self, folder: Path, text: str = YAML) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ingot.yaml").write_text(text, encoding="utf-8")
        (folder / "tokenizer.json").write_bytes((ROOT / "examples" / "tokenizer.json").read_bytes())

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"))

    def pipeline(self) -> Pipeline:
        return Pipeline.from_yaml(self.folder / "ingot.yaml")

    def run(self, **options: Any) -> RunReport:
        return self.pipeline().run(str(self.folder / "lake"), **options)

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "ingot.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in ingot.yaml"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def digests(self) -> dict[str, str]:
        """Node -> content digest, for every name."""
        from ingot.store.refs import Refs

        return {name: load_snapshot(self.lake, name).draft.digest for name in Refs(self.lake).names()}

    def files(self, *, without: tuple[str, ...] = ("runs/", "cache/")) -> dict[str, bytes]:
        """Every file of the lake that is not a log or a cache, with its bytes."""
        lake = self.lake
        return {path: lake.store.read(path) for path in lake.store.list() if not path.startswith(without)}


def small(folder: Path, n: int = 60, files: int = 3, text: str = YAML) -> Project:
    """A project with `n` rows in `files` files."""
    project, records = Project(folder, text), rows(n)
    size = -(-n // files)
    for i in range(files):
        write_jsonl(folder / "raw" / f"{i}.jsonl", records[i * size : (i + 1) * size])
    return project
