"""What a file is, from its content: compression, container, encoding and CSV dialect. The name only breaks ties.

The first MiB of the decompressed text decides (up to 64 MiB when its first line is longer): a first byte `[` or `{`
with a first line that is whole JSON by itself means JSON Lines, otherwise one document; lines that are JSON behind a
first line that is not mean JSON Lines with a bad row; a delimiter that gives the same number of fields in nearly every
record means CSV. Everything else is refused with the name of what it looks like.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ingot.errors import SourceError
from ingot.sources.encodings import detect_encoding, unicode_mark
from ingot.sources.streams import Stream, open_raw, sniff_compression

if TYPE_CHECKING:
    from ingot.sources.readers.csv_rows import Dialect

WINDOW = 1 << 20
LONGEST = 64 << 20
CONTAINERS = ("jsonl", "json", "csv", "tsv", "parquet", "arrow")
SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".tab": "csv",
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip
COMPRESSED = (".gz", ".zst", ".zstd", ".bz2", ".xz")
_SPACE = b" \t\r\n"
_DELIMITERS = ",;\t|"
_LINES = 200
_BEGIN = re.compile(rb'[ \t\r\n]*(?:\{\s*(?:["}]|$)|\[\s*(?:[\[{"\]0-9-]|true\b|false\b|null\b|$))')
_KEYED = re.compile(rb"\s*(- )?[\w\"'-]+:(\s|$)|\s*- |---\s*$|\s*#")
_RULE = re.compile(rb"\s*\|?[ \t]*:?-+:?[ \t]*\|[-:| \t]*$")  # the line under the head of a Markdown table
_FOREIGN = (
    (b"%PDF", "a PDF"), (b"PK\x03\x04", "a ZIP archive (docx, xlsx, pptx, epub)"), (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"), (b"SQLite format 3", "an SQLite database"), (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"), (b"FEA1", "Feather version 1"), (b"\x7fELF", "a program"), (b"RIFF", "audio or video"),
    (b"WARC/", "a WARC archive"),
    (b"\x80\x02", "a pickle"), (b"\x80\x04", "a pickle"), (b"\x80\x05", "a pickle"), (b"<!DOCTYPE", "HTML"),
    (b"<!doctype", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"), (b"\xd0\xcf\x11\xe0", "an old Office file"),
    (b"\x1f\x8b", "gzip inside another compression"), (b"version https://git-lfs", "a Git LFS pointer, not the data"),
    (b"\x89HDF", "HDF5"), (b"Rar!", "a RAR archive"), (b"7z\xbc\xaf", "a 7z archive"), (b"\x04\x22\x4d\x18", "lz4"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sniffed:
    """container: jsonl, json_array, json_object, csv, parquet, arrow_file, arrow_stream or empty; skip: bytes of a BOM.

    encoding: of the text; a Unicode encoding other than UTF-8 is transcoded before anything is split.
    """

    compression: str
    container: str
    encoding: str = "utf-8"
    skip: int = 0
    dialect: Dialect | None = None


def sniff(
    file: str, uri: str, *, container: str | None = None, encoding: str | None = None, delimiter: str | None = None,
    size: int | None = None,
) -> Sniffed:  # fmt: skip
    """Look at a file; the keyword arguments are what its owner declared."""
    head = _head(file, uri)
    compression = sniff_compression(head)
    window, whole = _window(file, uri, compression, size)
    binary = _binary(window)
    if binary or container in ("parquet", "arrow"):
        _agree(container, binary, uri, window)
        return Sniffed(compression=compression, container=str(binary))
    skip, marked = unicode_mark(window)
    found = encoding or marked or "utf-8"
    if (marked and marked != "utf-8") or (encoding and encoding != "utf-8" and container not in ("csv", "tsv", None)):
        window, _ = _window(file, uri, compression, size, encoding=found, skip=skip)
    else:
        window = window[skip:]
    sample = _Sample(window, whole, _suffix(uri))
    if not window.strip(_SPACE):
        return Sniffed(compression=compression, container="empty", encoding=found, skip=skip)
    kind = _declared(container, sample) or _text_container(sample, uri)
    base = Sniffed(compression=compression, container=kind, encoding=found, skip=skip)
    if kind != "csv":
        return base
    if not encoding and not marked:
        found = detect_encoding(window, whole=whole)
    dialect = _dialect(sample, found, "\t" if container == "tsv" else delimiter)
    return replace(base, encoding=found, dialect=dialect)


def _head(file: str, uri: str) -> bytes:
    with open_raw(file, uri) as raw:
        return raw.read(64)


def _suffix(uri: str) -> str | None:
    """The container that the name promises."""
    name = PurePosixPath(uri.partition("?")[0])
    while name.suffix.lower() in COMPRESSED:
        name = name.with_suffix("")
    return SUFFIXES.get(name.suffix.lower())


def _window(
    file: str, uri: str, compression: str, size: int | None, *, encoding: str | None = None, skip: int = 0
) -> tuple[bytes, bool]:
    """The start of the text, with at least two line ends if there are any in reach; and whether that is all of it."""
    stream = Stream(file, uri, compression=compression, encoding=encoding, skip=skip, size=size, chunk=WINDOW)
    data, lines = bytearray(), 0
    try:
        for chunk in stream:
            data += chunk
            lines += chunk.count(b"\n")
            if (lines >= 2 and len(data) >= WINDOW) or len(data) >= LONGEST:
                return bytes(data), False
    finally:
        stream.close()
    return bytes(data), stream.damage is None


def _binary(window: bytes) -> str | None:
    if window[:4] == b"PAR1":
        return "parquet"
    if window[:6] == b"ARROW1":
        return "arrow_file"
    # a stream starts with the continuation mark and the length of a schema message
    if window[:4] == b"\xff\xff\xff\xff" and 0 < int.from_bytes(window[4:8], "little") < 1 << 24:
        return "arrow_stream"
    return None


def _agree(container: str | None, binary: str | None, uri: str, window: bytes) -> None:
    """A declared container that the bytes contradict is refused."""
    seen = (binary or _text_name(window, uri)).partition("_")[0]
    if container is not None and seen != container:
        raise SourceError(
            "E205", f"{uri!r} is declared container: {container} but is {seen}", where=uri,
            next="correct or remove `container` of this source",
        )  # fmt: skip


def _text_name(window: bytes, uri: str) -> str:
    return "JSON" if _BEGIN.match(window) else _name(window, uri)


def _declared(container: str | None, sample: _Sample) -> str | None:
    if container == "json":
        return "json_array" if sample.first == b"[" else "json_object"
    return "csv" if container == "tsv" else container


class _Sample:
    """The sniffed text: its first significant byte and its first lines that are not blank."""

    def __init__(self, window: bytes, whole: bool, suffix: str | None) -> None:
        self.window, self.whole, self.suffix = window, whole, suffix
        self.first = window.lstrip(_SPACE)[:1]
        pieces = window.split(b"\n", 4 * _LINES)
        if (not whole or len(pieces) > 4 * _LINES) and len(pieces) > 1:
            pieces.pop()  # cut off by the window
        self.lines = [line for line in pieces if line.strip(_SPACE)][:_LINES]
        self.json = [_is_json(line) for line in self.lines]
        self.newline = "\n" if b"\n" in window or b"\r" not in window else "\r"

    @property
    def document(self) -> str | None:
        """The kind of JSON document that the first characters begin, if they can begin one."""
        match = _BEGIN.match(self.window)
        return match and ("json_array" if self.first == b"[" else "json_object")

    @property
    def mostly_json(self) -> bool:
        """Half of the lines behind the first are whole JSON."""
        good = sum(self.json)
        return bool(good) and good >= 0.5 * (len(self.lines) - 1)


def _is_json(line: bytes) -> bool:
    """The line is one whole JSON object or array."""
    line = line.strip(_SPACE)
    if line[:1] + line[-1:] not in (b"{}", b"[]"):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):  # deep nesting is JSON too, and UnicodeDecodeError is a ValueError
        return _balanced(line)
    return True


def _balanced(line: bytes) -> bool:
    """Brackets and quotes close: near enough to JSON to be a row of its own, good or bad."""
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line)
    return b'"' not in bare and bare.count(b"{") == bare.count(b"}") and bare.count(b"[") == bare.count(b"]")


def _text_container(sample: _Sample, uri: str) -> str:
    if sample.document:
        return _json_container(sample, sample.document)
    if sample.mostly_json:
        return "jsonl"  # the first line is something else: a bad row
    foreign = _foreign(sample.window)
    if not foreign and _is_text(sample) and (sample.suffix == "csv" or _looks_delimited(sample)):
        return "csv"
    if not foreign and sample.suffix == "jsonl":
        return "jsonl"
    raise SourceError(
        "E203", f"{uri!r} is not a supported container: it looks like {_name(sample.window, uri)}", where=uri,
        next="convert it to JSONL, JSON, CSV, Parquet or Arrow, or narrow the path",
    )  # fmt: skip


def _json_container(sample: _Sample, document: str) -> str:
    lined = document == "json_object" and sample.suffix == "jsonl"
    if sample.json[0]:
        return "jsonl" if len(sample.lines) > 1 or lined else document
    if len(sample.lines) == 1:  # cut off by the window, or damaged
        return "jsonl" if lined else document
    # The first line is not JSON by itself: a document over many lines, or JSON Lines with a bad first row. Elements of
    # an array, one a line, end in commas; lines of JSON Lines do not.
    commas = any(line.rstrip(_SPACE).endswith(b",") for line in sample.lines[1:])
    return "jsonl" if sample.mostly_json and not commas else document


def _is_text(sample: _Sample) -> bool:
    return detect_encoding(sample.window, whole=sample.whole) != "unknown"


def _foreign(window: bytes) -> str | None:
    body = window.lstrip(_SPACE)
    return next((name for magic, name in _FOREIGN if body.startswith(magic)), None)


def _name(window: bytes, uri: str) -> str:
    """What to call content that is not supported."""
    if named := _foreign(window):
        return named
    if detect_encoding(window) == "unknown":
        return "binary data"
    first = window.lstrip(_SPACE)[:200]
    if PurePosixPath(uri).name.lower().removesuffix(".gz").endswith((".yaml", ".yml")) or first.startswith(
        (b"---\n", b"%YAML")
    ):
        return "YAML"
    return "HTML or XML" if first.startswith(b"<") else "plain text"


def _looks_delimited(sample: _Sample) -> bool:
    """Some delimiter gives two or more fields, equally many in nearly all of at least two records."""
    text = [line for line in sample.lines if not _KEYED.match(line)]
    if len(text) < 0.5 * len(sample.lines) or any(_RULE.match(line) for line in sample.lines[:3]):
        return False  # YAML, headers of a message, Markdown tables
    return any(width > 1 and share >= 0.9 and count > 1 for width, share, count in _shapes(sample).values())


def _shapes(sample: _Sample) -> dict[str, tuple[int, float, int]]:
    """Per delimiter: fields of the first record, share of records with as many, records seen."""
    from ingot.sources.readers.csv_rows import record_widths

    window = sample.window[:WINDOW]
    if sample.whole and len(window) == len(sample.window):
        window += b"\n"
    found = {}
    for delimiter in _DELIMITERS:
        widths = record_widths(window, delimiter, sample.newline)[:_LINES]
        if len(widths):
            found[delimiter] = (int(widths[0]), float((widths == widths[0]).mean()), len(widths))
    return found


def _dialect(sample: _Sample, encoding: str, delimiter: str | None) -> Dialect:
    """The delimiter under which most records have the header's width; the wider header breaks a tie."""
    from ingot.sources.readers.csv_rows import Dialect

    if delimiter is None:
        wide = {d: shape for d, shape in _shapes(sample).items() if shape[0] > 1}
        order = sorted(wide, key=lambda d: (-round(wide[d][1], 1), -wide[d][0], _DELIMITERS.index(d)))
        delimiter = order[0] if order else ","
    return Dialect(delimiter=delimiter, newline=sample.newline, encoding=encoding)
