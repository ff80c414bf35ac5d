"""Which files a path names, and what they are called in rows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingot.errors import SourceError
from ingot.sources.files import discover, fixed_part, is_data


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("raw/b.jsonl", "raw/a.jsonl.gz", "raw/sub/c.csv", "raw/sub/deep/d.parquet", "raw/readme.md",
                 "raw/.hid.json", "conf/ingot.yaml", "raw/[odd].json"):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    return tmp_path


def uris(pattern: str | list[str], base: Path) -> list[str]:
    return [ref.uri for ref in discover(pattern, base)]


def test_relative_patterns_are_named_from_the_configuration(tree: Path) -> None:
    assert uris("raw/*.jsonl*", tree) == ["raw/a.jsonl.gz", "raw/b.jsonl"]
    assert uris("raw/**/*.csv", tree) == ["raw/sub/c.csv"]
    assert uris("../raw/b.jsonl", tree / "conf") == ["../raw/b.jsonl"]
    assert uris("raw/[odd].json", tree) == ["raw/[odd].json"]
    assert uris(["raw/b.jsonl", "raw/*.jsonl", "./raw/b.jsonl"], tree) == ["raw/b.jsonl"]


def test_a_folder_means_the_data_in_it(tree: Path) -> None:
    everything = ["raw/[odd].json", "raw/a.jsonl.gz", "raw/b.jsonl", "raw/sub/c.csv", "raw/sub/deep/d.parquet"]
    assert uris("raw", tree) == everything
    assert uris("raw/", tree) == everything


def test_absolute_patterns_name_no_host_path(tree: Path) -> None:
    elsewhere = Path("/")
    assert uris(f"{tree}/raw/*.jsonl", elsewhere) == ["b.jsonl"]
    assert uris(f"{tree}/raw/b.jsonl", elsewhere) == ["b.jsonl"]
    assert uris(f"{tree}/raw/**/*.csv", elsewhere) == ["sub/c.csv"]
    assert uris(f"{tree}/raw/sub", elsewhere) == ["c.csv", "deep/d.parquet"]
    assert discover(f"{tree}/raw/b.jsonl", elsewhere)[0].file == str(tree / "raw/b.jsonl")


def test_a_pattern_that_names_nothing_says_what_is_near(tree: Path) -> None:
    with pytest.raises(SourceError, match=r"'raw/b.json' names no files; near it: .*raw/b.jsonl") as caught:
        discover("raw/b.json", tree)
    assert caught.value.code == "E201"
    with pytest.raises(SourceError, match="near it: raw"):
        discover("rav/*.jsonl", tree)
    with pytest.raises(SourceError, match="names no files"):
        discover(f"{tree}/nowhere/at/all/*.jsonl", tree)
    (tree / "empty").mkdir()
    with pytest.raises(SourceError, match="names no files"):
        discover("empty", tree)


def test_what_is_no_file_is_marked(tree: Path) -> None:
    (tree / "raw/link.jsonl").symlink_to(tree / "gone")
    os.mkfifo(tree / "raw/pipe.jsonl")
    (tree / "raw/void.jsonl").mkdir()
    found = {ref.uri: ref.refused for ref in discover("raw/*.jsonl", tree)}
    assert found == {
        "raw/b.jsonl": None, "raw/link.jsonl": "a link to nothing", "raw/pipe.jsonl": "not a regular file",
        "raw/void.jsonl": "a folder without data files",
    }  # fmt: skip
    assert discover("raw/link.jsonl", tree)[0].refused == "a link to nothing"


def test_a_folder_that_is_called_like_a_file_is_read(tree: Path) -> None:
    (tree / "raw/spark.parquet").mkdir()
    (tree / "raw/spark.parquet/part-0.parquet").write_text("x")
    (tree / "raw/spark.parquet/_SUCCESS").write_text("")
    assert uris("raw/*.parquet", tree) == ["raw/spark.parquet/part-0.parquet"]
    assert uris("raw/s*", tree) == ["raw/spark.parquet/part-0.parquet"]


def test_two_files_of_one_name_are_refused(tree: Path) -> None:
    (tree / "raw/sub/b.jsonl").write_text("{}")
    with pytest.raises(SourceError, match="'b.jsonl'") as caught:
        discover([f"{tree}/raw/b.jsonl", f"{tree}/raw/sub/b.jsonl"], tree)
    assert caught.value.code == "E210"


def test_names() -> None:
    assert fixed_part("/a/b/*/c.json") == "/a/b"
    assert fixed_part("/a/b/c.json") == "/a/b"
    assert fixed_part("/*.json") == "/"
    assert [is_data(name) for name in ("a.jsonl", "a.JSON.GZ", "a.csv.zst", "a.md", "json", "a.gz")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
