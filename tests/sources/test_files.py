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


def test_what_is_no_file_is_refused(tree: Path) -> None:
    (tree / "raw/link.jsonl").symlink_to(tree / "gone")
    with pytest.raises(SourceError, match="a link to nothing") as caught:
        discover("raw/link.jsonl", tree)
    assert caught.value.code == "E202"
    os.mkfifo(tree / "raw/pipe.jsonl")
    with pytest.raises(SourceError, match="not a regular file"):
        discover("raw/p*.jsonl", tree)


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
