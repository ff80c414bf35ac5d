"""Files into bronze: containers, compressions, bad input, and the real data."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import lzma
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sources.conftest import Ingested, params, read, task_of

from ingot.errors import SourceError
from ingot.schema.records import BRONZE
from ingot.sources import ingest as module
from ingot.store.lake import Lake

Bring = Callable[..., Ingested]
LINES = b'{"a":1}\n{"a":2}\n{"a":3}'


def raws(rows: list[dict[str, Any]]) -> list[bytes]:
    return [row["raw"] for row in rows]


def refused(got: Ingested, code: str, words: str) -> None:
    """The file arrived as one row that says why it cannot be read."""
    manifest, rows = got
    assert (manifest["container"], manifest["problems"]) == ("unreadable", {"unreadable_file": 1})
    assert [(row["problem"], row["line"], row["raw"]) for row in rows] == [("unreadable_file", 1, b"")]
    assert rows[0]["detail"].startswith(f"{code} ")
    assert words in rows[0]["detail"]


def zstd(data: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as file:
        file.write(data)
    return bytes(out.getvalue())


COMPRESSIONS = {"gzip": gzip.compress, "zstd": zstd, "bz2": bz2.compress, "xz": lzma.compress}


def test_a_row_has_its_provenance(bring: Bring, lake: Lake) -> None:
    manifest, rows = bring(b'{"a":1}\r\n\n{"a":"\xff"}', "x/a.jsonl", source_meta='{"by":"me"}')
    assert lake.read_parquet(manifest["parts"][0]["path"]).schema.equals(BRONZE)
    first, second = rows
    expected = {
        "source": "s", "license": "MIT", "origin": "human", "uri": "x/a.jsonl", "line": 1, "byte": 0,
        "container": "jsonl", "raw": b'{"a":1}',
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert first["source_meta"] == '{"by":"me"}'
    assert first["file_sha256"] == manifest["sha256"]
    assert (second["line"], second["byte"], second["raw"]) == (3, 10, b'{"a":"\xff"}')
    assert (manifest["rows"], manifest["bytes_raw"], manifest["lines"]) == (2, 16, 2)
    assert manifest["ends_with_newline"] is False


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_compressed_files_and_concatenated_members(bring: Bring, kind: str) -> None:
    pack = COMPRESSIONS[kind]
    manifest, rows = bring(pack(b'{"a":1}\n{"a"') + pack(b':2}\n{"a":3}'), "misnamed.json")
    assert (manifest["compression"], manifest["container"], manifest["problems"]) == (kind, "jsonl", {})
    assert raws(rows) == LINES.split(b"\n")


@pytest.mark.parametrize("kind", COMPRESSIONS)
@pytest.mark.parametrize("damage", ["cut", "garbage behind"])
def test_damaged_compression_keeps_the_rows_before(bring: Bring, kind: str, damage: str) -> None:
    data = b"".join(b'{"a":"%d%s"}\n' % (i, str(i**7).encode()) for i in range(30_000))
    packed = COMPRESSIONS[kind](data)
    # bz2 and zstd decode whole blocks: two of them, so that the first is complete
    packed = packed + COMPRESSIONS[kind](data)
    manifest, rows = bring(
        packed[: -len(packed) // 10] if damage == "cut" else packed + b"garbage behind", "a.jsonl.gz"
    )
    assert manifest["problems"] == {"truncated_file": 1}
    assert rows[-1]["problem"] == "truncated_file"
    assert kind in rows[-1]["detail"]
    assert len(rows) > 30_000
    assert b"\n".join(raws(rows)).rstrip(b"\n") in data + data


def test_the_content_decides_not_the_name(bring: Bring) -> None:
    cases = {
        "array.jsonl": (b'[\n  {"a": 1},\n  {"a": 2}\n]\n', "json_array", 2),
        "lines.json": (LINES, "jsonl", 3),
        "lines.csv": (LINES, "jsonl", 3),
        "table.json": (b"a,b\n1,2\n3,4\n", "csv", 2),
        "path-first.jsonl": (b'./data/x.jsonl\n{"a":1}\n{"a":2}\n', "jsonl", 3),
        "garbage-first.json": (b'%% log\n{"a":1}\n{"a":2}\n', "jsonl", 3),
        "cut-first.jsonl": (b'{"a": "x\n{"a":1}\n{"a":2}\n', "jsonl", 3),
        "lists.jsonl": (b"[1,2]\n[3,4]\n", "jsonl", 2),
        "one.jsonl": (b'{"data": [{"x": 1}, {"x": 2}]}\n', "jsonl", 1),
        "one-list.json": (b'[{"a":1},{"a":2}]', "json_array", 2),
        "objects.json": (b'{\n "a": 1\n}\n{\n "a": 2\n}\n', "json_object", 2),
        "deep.jsonl": (b'{"a":1}\n' + b"[" * 100_000 + b"]" * 100_000 + b'\n{"a":2}\n', "jsonl", 3),
        "bom.jsonl": (b"\xef\xbb\xbf" + LINES, "jsonl", 3),
        "wide.jsonl": (LINES.decode().encode("utf-16"), "jsonl", 3),
        "words.jsonl": (b"not json\nnot json either\n", "jsonl", 2),
    }
    for name, (data, container, count) in cases.items():
        manifest, rows = bring(data, name)
        assert (name, manifest["container"], len(rows), manifest["problems"]) == (name, container, count, {})
    _, rows = bring(*cases["bom.jsonl"][:1], "bom.jsonl")
    assert (rows[0]["raw"], rows[0]["byte"]) == (b'{"a":1}', 3)
    _, rows = bring(*cases["wide.jsonl"][:1], "wide.jsonl")
    assert raws(rows) == LINES.split(b"\n")


def test_an_object_around_a_list(bring: Bring) -> None:
    data = b'{"Definition": ["do"],\n "Instances": [{"i":1},\n {"i":2}], "Tail": {"x": [1]}}'
    manifest, rows = bring(data, "task.json")
    assert raws(rows) == [b'{"i":1}', b'{"i":2}']
    assert [row["line"] for row in rows] == [2, 3]
    assert all(data[row["byte"] :].startswith(row["raw"]) for row in rows)
    assert {row["context"] for row in rows} == {'{"Definition":["do"],"Tail":{"x": [1]}}'}
    assert manifest["problems"] == {}


def test_which_member_holds_the_rows(bring: Bring) -> None:
    cases = [
        (b'{"v": 1, "things": [{"a":1},{"a":2}]}', {}, 2),  # the only list of objects
        (b'{"p": [{"a":1},{"a":2}], "q": [{"a":3}]}', {}, 1),  # ambiguous: one row
        (b'{"p": [{"a":1},{"a":2}], "q": [{"a":3}]}', {"rows": "p"}, 2),
        (b'{"messages": [{"role":"user"}], "id": 1}', {}, 1),  # a record by itself
        (b'{"k": [1, 2]}', {}, 1),
    ]
    for data, options, count in cases:
        manifest, _ = bring(data, "a.json", **options)
        assert (data, manifest["rows"]) == (data, count)
    assert "p, q" in bring(cases[1][0], "a.json")[0]["note"]
    refused(bring(cases[1][0], "a.json", rows="zzz"), "E208", "'zzz'")
    refused(bring(LINES, "a.jsonl", rows="p"), "E208", "'p'")


def test_a_damaged_object_keeps_its_rows(bring: Bring) -> None:
    manifest, rows = bring(b'{"v":1,"data":[{"a":1},{"a":2},{"a', "a.json")
    assert raws(rows) == [b'{"a":1}', b'{"a":2}', b'{"a']
    assert manifest["problems"] == {"truncated_file": 1}
    manifest, rows = bring(b'{"v":1,"data":[\n{"a":1},\n{"a":[2},\n{"a":3}\n],"z":{"y":1}}', "a.json")
    assert [row["problem"] for row in rows] == [None, "invalid_json", None, "trailing_data"]
    assert rows[-1]["raw"] == b',"z":{"y":1}}'
    assert rows[0]["context"] == '{"v":1}'
    manifest, rows = bring(b'{"data":[{"a":1}],"z":{"y":', "a.json")
    assert [row["problem"] for row in rows] == [None, "truncated_file"]
    manifest, rows = bring(b'{"data":[{"a":1}]', "a.json")
    assert [row["problem"] for row in rows] == [None, "truncated_file"]


def test_a_long_context_arrives_once(bring: Bring) -> None:
    data = b'{"note":"' + b"x" * 300_000 + b'","data":[{"a":1}],"v":2}'
    manifest, rows = bring(data, "a.json")
    assert rows[0]["context"] == '{"v":2}'
    assert manifest["problems"] == {"context_too_large": 1}
    assert json.loads(rows[1]["raw"]) == {"note": "x" * 300_000}


def test_csv_rows_carry_their_header(bring: Bring) -> None:
    manifest, rows = bring(b'\xef\xbb\xbfid;text\r\n1;"a\nb"\r\n2;\xc3\xa9\r\n3\r\n', "a.csv")
    assert raws(rows) == [b'1;"a\nb"', "2;é".encode(), b"3"]
    assert json.loads(rows[0]["context"]) == {"header": ["id", "text"], "delimiter": ";", "encoding": "utf-8"}
    assert [(row["line"], row["problem"]) for row in rows] == [(2, None), (4, None), (5, "ragged_row")]
    assert manifest["delimiter"] == ";"
    manifest, rows = bring(b"1,2\n3,4\n", "a.csv", header=["x", "y"])
    assert len(rows) == 2
    assert json.loads(rows[1]["context"])["header"] == ["x", "y"]


def test_csv_encodings_are_found_and_recorded(bring: Bring) -> None:
    japanese = "名前,年齢,住所\r\n佐藤太郎,30,東京\r\n".encode("cp932")
    cases = {
        "cp932": japanese,
        "mac_roman": "q,a\nDon’t stop,it’s\n".encode("mac_roman"),
        "cp1252": "q,a\nDon’t stop,café\n".encode("cp1252"),
        "utf-16-le": b"\xff\xfe" + "q,a\n1,é\n".encode("utf-16-le"),
    }
    for encoding, data in cases.items():
        manifest, rows = bring(data, "a.csv")
        assert (manifest["encoding"], len(rows)) == (encoding, 1)
        context = json.loads(rows[0]["context"])
        text = rows[0]["raw"].decode(context["encoding"])
        assert text in data.decode(encoding)
    assert json.loads(bring(japanese, "a.csv")[1][0]["context"])["header"][0] == "名前"


def test_damaged_utf8_stays_utf8(bring: Bring) -> None:
    """One byte of Latin-1 does not make a file of UTF-8 another encoding."""
    good = "q,a\nwas heißt das?,größer – viel größer\n".encode()
    manifest, rows = bring(good + b"caf\xe9,x\n", "a.csv")
    assert (manifest["encoding"], raws(rows)[1]) == ("utf-8", b"caf\xe9,x")
    manifest, _ = bring(b"q,a\ncaf\xe9,na\xefve\n", "a.csv")
    assert manifest["encoding"] == "cp1252"


TABLE = {
    "id": [2**62 + 1, None],
    "score": [0.1, float("nan")],
    "text": ['say "hi"\n\x01', None],
    "turns": [[{"role": "user", "content": "é"}], []],
    "blob": [b"\xff\x00", b""],
}
JSON_ROWS = [
    {
        "id": 2**62 + 1,
        "score": 0.1,
        "text": 'say "hi"\n\x01',
        "turns": [{"role": "user", "content": "é"}],
        "blob": "/wA=",
    },
    {"id": None, "score": None, "text": None, "turns": [], "blob": ""},
]


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _arrow(table: pa.Table, *, stream: bool) -> bytes:
    out = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["parquet", "arrow_file", "arrow_stream"])
@pytest.mark.parametrize("packed", [False, True])
def test_columnar_rows_become_json(bring: Bring, kind: str, packed: bool) -> None:
    table = pa.table(TABLE)
    data = _parquet(table) if kind == "parquet" else _arrow(table, stream=kind == "arrow_stream")
    manifest, rows = bring(gzip.compress(data) if packed else data, "a.bin")
    assert (manifest["container"], manifest["compression"]) == (kind, "gzip" if packed else "plain")
    assert [json.loads(row["raw"]) for row in rows] == JSON_ROWS
    assert [(row["line"], row["byte"]) for row in rows] == [(1, None), (2, None)]


def test_damaged_columnar_files_are_refused(bring: Bring) -> None:
    table = pa.table({"a": ["x" * 1000] * 1000})
    for data, name in ((_parquet(table)[:-20], "Parquet"), (_arrow(table, stream=False)[:-20], "Arrow")):
        refused(bring(data, "a.parquet"), "E206", name)
    first = _arrow(pa.table({"a": [1]}), stream=True)[:-8]
    manifest, rows = bring(first + b"\xff\xff\xff\xff\x40\x00\x00\x00", "a.arrow")
    assert ([row["raw"] for row in rows], manifest["problems"]) == ([b'{"a":1}', b""], {"truncated_file": 1})


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"[]", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf", b"a,b\n"])
def test_a_file_without_rows_is_one_problem_row(bring: Bring, data: bytes) -> None:
    manifest, rows = bring(data, "a.csv")
    assert [(row["problem"], row["raw"], row["line"]) for row in rows] == [("empty_file", b"", 1)]
    assert manifest["problems"] == {"empty_file": 1}


REFUSED = {
    "a.yaml": (b"- instruction: x\n  output: y\n", "YAML"),
    "a.pdf": (b"%PDF-1.7\n", "PDF"),
    "a.html": (b"<!DOCTYPE html><p>x", "HTML"),
    "a.docx": (b"PK\x03\x04xxxx", "ZIP"),
    "a.txt": (b"Some prose without any shape.\nAnd another line, longer.\n", "plain text"),
    "a.md": (b"| a | b |\n|---|---|\n| 1 | 2 |\n", "plain text"),
    "b.md": (b"[a link](https://x)\n\ntext\n", "plain text"),
    "a.bin": (bytes(range(256)) * 8, "binary data"),
    "pointer.json": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_data_is_refused_by_name(bring: Bring, name: str) -> None:
    data, seen = REFUSED[name]
    refused(bring(data, name), "E203", seen)


def test_a_declared_container_is_enforced(bring: Bring) -> None:
    manifest, rows = bring(b'[\n{"a":1}\n]\n', "a.json", container="jsonl")
    assert raws(rows) == [b"[", b'{"a":1}', b"]"]
    manifest, _ = bring(b"a\tb\n1,5\t2\n", "a.txt", container="tsv")
    assert (manifest["rows"], manifest["delimiter"]) == (1, "\t")
    for container, data in (("parquet", LINES), ("jsonl", _parquet(pa.table({"a": [1]})))):
        refused(bring(data, "a.jsonl", container=container), "E205", f"container: {container}")


def test_bytes_that_are_no_text_land_as_they_are(bring: Bring) -> None:
    data = b'{"a":"\xff\xfe"}\n{"a":"\\ud800"}\n{"a":"\x00"}\n{"a":NaN}\n{"a":1,"a":2}\n{"a":"\xe2\x80\xa8 one row"}\n'
    manifest, rows = bring(data, "a.jsonl")
    assert b"".join(raw + b"\n" for raw in raws(rows)) == data
    assert manifest["problems"] == {}


def test_a_long_line(bring: Bring) -> None:
    data = b'{"a":1}\n{"a":"' + b"x" * 20_000_000 + b'"}\n{"a":2}\n'
    for name, text in (("a.jsonl", data), ("a.json", b"[" + data.rstrip().replace(b"\n", b",") + b"]")):
        manifest, rows = bring(text, name)
        assert [len(raw) for raw in raws(rows)] == [7, 20_000_008, 7]
        assert manifest["problems"] == {}


def test_parts_are_cut_by_content(bring: Bring, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join(b'{"a":"%s"}\n' % (b"x" * (i % 40)) for i in range(500))
    whole, rows = bring(data, "a.jsonl")
    monkeypatch.setattr(module, "PART_BYTES", 1000)
    monkeypatch.setattr(module, "PART_ROWS", 40)
    manifest, cut_rows = bring(data, "a.jsonl")
    assert cut_rows == rows
    assert len(manifest["parts"]) > 10
    sizes = [sum(map(len, lake.read_parquet(p["path"]).column("raw").to_pylist())) for p in manifest["parts"]]
    assert max(sizes) <= 1000
    assert max(part["rows"] for part in manifest["parts"]) <= 40
    spans = [(part["meta"]["first_line"], part["meta"]["last_line"]) for part in manifest["parts"]]
    assert spans[0][0] == 1
    assert spans[-1][1] == 500
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(spans))
    monkeypatch.setattr("ingot.sources.streams.CHUNK", 77)
    assert bring(data, "a.jsonl")[0] == manifest
    assert whole["rows"] == manifest["rows"] == 500


def test_a_file_that_changes_is_refused(tmp_path: Path, lake: Lake) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES)
    values = params(file, "a.jsonl")
    file.write_bytes(LINES.replace(b"2", b"7"))
    with pytest.raises(SourceError, match="changed") as caught:
        module.ingest(lake, task_of(values))
    assert caught.value.code == "E204"
    file.unlink()
    with pytest.raises(SourceError) as caught:
        module.ingest(lake, task_of(values))
    assert caught.value.code == "E202"


def test_the_new_end_of_a_grown_file(tmp_path: Path, lake: Lake) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES + b"\n")
    old = len(LINES) + 1
    file.write_bytes(LINES + b'\n\n{"a":4}\n')
    check = params(file, "x")["sha256"]
    tail = sha256(file.read_bytes()[old:]).hexdigest()
    manifest = module.ingest(lake, task_of(params(file, "a.jsonl", offset=old, first_line=4, check=tail)))
    rows = read(lake, manifest)
    assert [(row["raw"], row["line"], row["byte"]) for row in rows] == [(b'{"a":4}', 5, old + 1)]
    assert (manifest["sha256"], manifest["lines"]) == (check, 5)


# -- the real data
OBJECTS_COUNTED_BY_KEYS = "top-level keys"  # MANIFEST counts keys there; such an object is one row
RAGGED = {
    "documents/docling/csv/sources/csv-inconsistent-header.csv": 4,
    "documents/docling/csv/sources/csv-too-few-columns.csv": 1,
    "documents/docling/csv/sources/csv-too-many-columns.csv": 1,
}


def test_rows_read_are_the_rows_of_the_manifest(shared_data: Path, lake: Lake) -> None:
    """Conservation on 278 real files: JSON Lines, arrays, objects, CSV; exceptions are listed above."""
    entries = json.loads((shared_data / "MANIFEST.json").read_text())
    seen, wrong = 0, []
    for entry in entries:
        if not (entry["format"].startswith("json") or entry["format"] == "csv"):
            continue
        manifest = module.ingest(lake, task_of(params(shared_data / entry["dest"], entry["dest"])))
        expected = 1 if OBJECTS_COUNTED_BY_KEYS in entry["note"] else entry["rows"]
        problems = {"ragged_row": RAGGED[entry["dest"]]} if entry["dest"] in RAGGED else {}
        if (manifest["rows"], manifest["problems"]) != (expected, problems):
            wrong.append((entry["dest"], expected, manifest["rows"], manifest["problems"]))
        seen += 1
    assert wrong == []
    assert seen == 278


def test_traps_of_the_real_data(shared_data: Path, lake: Lake) -> None:
    def manifest_of(name: str) -> dict[str, Any]:
        return module.ingest(lake, task_of(params(shared_data / name, name)))

    codeio = manifest_of("rlvr/reasoning-gym/codeio-hq.jsonl.gz")
    assert (codeio["container"], codeio["compression"]) == ("json_array", "gzip")
    assert manifest_of("rlvr/aqua/test.json")["container"] == "jsonl"
    assert manifest_of("eval/mmlu-redux/mmlu_moral_scenarios.csv")["encoding"] == "mac_roman"
    assert manifest_of("documents/markitdown/test_mskanji.csv")["encoding"] == "cp932"
    assert manifest_of("eval/mmlu-redux/mmlu_anatomy.csv")["delimiter"] == ";"
    bom = manifest_of("pii/presidio-research/FakeNameGenerator.com_100.csv")
    assert json.loads(read(lake, bom)[0]["context"])["header"][0] == "Number"
    wrapped = read(lake, manifest_of("eval/bbh/boolean_expressions.json"))
    assert set(json.loads(wrapped[0]["context"])) == {"canary"}
    name = "sft/gpteacher/roleplay-simple-deduped-roleplay-instruct.yaml.gz"
    assert "looks like YAML" in manifest_of(name)["note"]
