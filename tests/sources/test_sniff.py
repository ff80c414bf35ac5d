"""What a file is, by its content: sniff on miniatures of every container, compression and encoding that is read."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from ingot.errors import SourceError
from ingot.sources.encodings import detect_encoding, known_encoding
from ingot.sources.sniff import sniff

LINES = b'{"a": 1}\n{"a": 2}\n'
ARRAY = b'[\n  {"a": 1},\n  {"a": 2}\n]\n'
OBJECT = b'{"Definition": "d", "Instances": [{"a": 1}]}'
CSV = b"name;value\nx;1\ny;2\n"


@pytest.mark.parametrize(
    ("name", "data", "container"),
    [
        ("rows.jsonl", LINES, "jsonl"),
        ("lines.json", LINES, "jsonl"),
        ("array.jsonl", ARRAY, "json_array"),
        ("wrapped.json", OBJECT, "json_object"),
        ("first_line_is_a_path.jsonl", b"/data/x\n" + LINES, "jsonl"),
        ("table.txt", CSV, "csv"),
        ("nothing.jsonl", b"", "empty"),
    ],
)
def test_the_content_decides(tmp_path: Path, name: str, data: bytes, container: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert sniff(str(path), name).container == container


@pytest.mark.parametrize(
    ("pack", "compression"), [(gzip.compress, "gzip"), (bz2.compress, "bz2"), (lzma.compress, "xz"), (bytes, "plain")]
)
def test_compression_by_its_magic(tmp_path: Path, pack: type, compression: str) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(pack(LINES))
    found = sniff(str(path), "rows.bin")
    assert (found.container, found.compression) == ("jsonl", compression)


def test_delimiter_and_declared_container(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(CSV)
    dialect = sniff(str(path), "t.csv").dialect
    assert dialect is not None
    assert dialect.delimiter == ";"


def test_what_is_not_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "paper.jsonl"
    path.write_bytes(b"%PDF-1.7 ...")
    with pytest.raises(SourceError, match="PDF"):
        sniff(str(path), "paper.jsonl")


def test_encodings() -> None:
    assert detect_encoding("größer".encode(), whole=True) == "utf-8"
    assert detect_encoding("größer".encode("cp1252"), whole=True) != "utf-8"
    assert known_encoding("latin1")
    with pytest.raises(SourceError):
        known_encoding("no-such-encoding")
