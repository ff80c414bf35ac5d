"""The whole pipeline on an object store: the same bytes as on disk, an idle second run, batches, concurrent runs."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from tests.project import Project, rows, small, write_jsonl
from tests.store.conftest import s3_endpoint, s3_store_url

import ingot
from ingot.errors import StoreError
from ingot.store.lake import Lake

__all__ = ["s3_endpoint", "s3_store_url"]


def files(url: str) -> dict[str, bytes]:
    lake = Lake(url)
    return {path: lake.store.read(path) for path in lake.store.list() if not path.startswith(("runs/", "cache/"))}


def test_the_same_lake_as_on_disk(tmp_path: Path, s3_store_url: str) -> None:
    project = small(tmp_path / "p", n=30, files=2)
    project.run()
    project.pipeline().run(s3_store_url)
    assert files(s3_store_url) == project.files()
    assert project.pipeline().run(s3_store_url).tasks == 0
    local = list(ingot.load(project.lake, "gold.train", batch_size=2, epochs=1, seed=3))
    remote = list(ingot.load(s3_store_url, "gold.train", batch_size=2, epochs=1, seed=3))
    assert len(local) == len(remote) > 1
    for one, other in zip(local, remote, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in ("input_ids", "labels", "position_ids"))


def test_concurrent_runs(tmp_path: Path, s3_store_url: str) -> None:
    """Runs that race for the names: each ends well or says that another was faster; the names are never mixed up."""
    project = small(tmp_path / "p", n=30, files=2)
    project.pipeline().run(s3_store_url)
    write_jsonl(project.folder / "raw" / "more.jsonl", rows(5, start=200))
    outcomes: list[object] = []

    def race() -> None:
        try:
            outcomes.append(project.pipeline().run(s3_store_url, workers=1))
        except StoreError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=race) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 3
    assert all(code == "E310" for code in outcomes if isinstance(code, str))
    project.run()
    assert project.pipeline().run(s3_store_url).tasks == 0
    assert isinstance(project, Project)
    assert {k: v for k, v in files(s3_store_url).items() if k.startswith("gold/")}.keys() >= {
        k for k in project.files() if k.startswith("gold/")
    }
