"""A lake and a way to bring one file into it, for the tests of sources."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingot.core.task import Task
from ingot.sources.ingest import ingest
from ingot.store.lake import Lake

Ingested = tuple[dict[str, Any], list[dict[str, Any]]]


def params(file: Path | str, uri: str, **more: Any) -> dict[str, Any]:
    """The parameters of an ingest task for a local file."""
    data = Path(file).read_bytes()
    digest = sha256(data).hexdigest()
    base = {
        "file": str(file), "uri": uri, "source": "s", "license": "MIT", "origin": "human", "source_meta": None,
        "container": None, "rows": None, "encoding": None, "delimiter": None, "header": None, "offset": 0,
        "first_line": 1, "size": len(data), "sha256": digest, "check": digest,
    }  # fmt: skip
    return {**base, **more}


def task_of(values: dict[str, Any], place: str = "bronze/s/b") -> Task:
    return Task(key="manifest", op="ingot.sources.ingest:ingest", node="bronze.s", place=place, label="", params=values)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"), create=True)


@pytest.fixture
def bring(lake: Lake, tmp_path: Path) -> Callable[..., Ingested]:
    """bring(bytes, name="a.jsonl", **options) -> (manifest, bronze rows as dicts)."""

    def run(data: bytes, name: str = "a.jsonl", **options: Any) -> Ingested:
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        manifest = ingest(lake, task_of(params(file, name, **options)))
        return manifest, read(lake, manifest)

    return run


def read(lake: Lake, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    tables = [lake.read_parquet(part["path"]) for part in manifest["parts"]]
    return list(pa.concat_tables(tables).to_pylist()) if tables else []
