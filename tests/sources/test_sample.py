"""A look at files without a lake."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ingot.errors import SourceError
from ingot.schema.records import BRONZE
from ingot.sources.sample import sample_file


def test_the_first_rows_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json.gz"
    file.write_bytes(gzip.compress(b"[" + b",".join(b'{"a":%d}' % i for i in range(500)) + b"]"))
    sample = sample_file(file, 3)
    assert sample.rows.schema.equals(BRONZE)
    assert sample.rows.column("raw").to_pylist() == [b'{"a":0}', b'{"a":1}', b'{"a":2}']
    assert (sample.whole, sample.sniffed.container, sample.sniffed.compression) == (False, "json_array", "gzip")
    assert sample_file(file, 1000).whole


def test_bad_files(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"")
    assert len(sample_file(file).rows) == 0
    file.write_bytes(b"%PDF-1.7")
    with pytest.raises(SourceError, match="PDF"):
        sample_file(file)
