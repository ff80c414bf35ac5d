"""The lake as a whole: opening, refusing, assets, garbage, and a bare interpreter that gets nothing but the URL."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from hashlib import sha256

import pyarrow as pa
import pytest

from ingot.errors import StoreError
from ingot.store.lake import Lake


def test_open_makes_and_finds(store_url: str) -> None:
    with pytest.raises(StoreError, match="E301"):
        Lake.open(store_url)
    lake = Lake.open(store_url, create=True)
    assert lake.store.list() == ["lake.json"]
    assert lake.store.read("lake.json") == b'{"ingot_lake": 1}\n'
    assert Lake.open(store_url) == Lake.open(store_url, create=True) == lake
    assert hash(Lake(store_url)) == hash(lake)
    assert Lake(store_url + "2") != lake


def test_folders_of_others_are_refused(store_url: str) -> None:
    Lake(store_url).store.write("thesis.txt", b"precious")
    for create in (True, False):
        with pytest.raises(StoreError, match="E302"):
            Lake.open(store_url, create=create)
    assert Lake(store_url).store.list() == ["thesis.txt"]


@pytest.mark.parametrize(("mark", "code"), [
    (b'{"ingot_lake": 2}', "E303"), (b"{}", "E313"), (b"[]", "E313"), (b"\xff", "E313"), (b"", "E313"),
])  # fmt: skip
def test_other_formats_are_refused(store_url: str, mark: bytes, code: str) -> None:
    Lake(store_url).store.write("lake.json", mark)
    with pytest.raises(StoreError, match=code):
        Lake.open(store_url)


def test_a_lake_is_its_url(store_url: str) -> None:
    lake = pickle.loads(pickle.dumps(Lake.open(store_url, create=True)))
    assert lake.url == store_url
    assert lake.store.exists("lake.json")
    assert store_url in repr(lake)


def test_a_bare_interpreter_needs_the_url_only(store_url: str) -> None:
    Lake.open(store_url, create=True).write_parquet("silver/x/parts/a.parquet", pa.table({"x": [1, 2, 3]}))
    code = (
        "import sys; from ingot.store.lake import Lake; lake = Lake(sys.argv[1]);"
        "t = lake.read_parquet('silver/x/parts/a.parquet');"
        "lake.write_ipc('gold/x/parts/a.arrow', t.append_column('y', t['x']))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code, store_url], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Lake(store_url).open_ipc("gold/x/parts/a.arrow").to_pydict() == {"x": [1, 2, 3], "y": [1, 2, 3]}


def test_tables_on_every_store(store_url: str) -> None:
    lake = Lake(store_url)
    table = pa.table({"x": pa.array([1, None, 3], pa.int32()), "source": ["a", "b", None]})
    assert lake.write_parquet("p", table) == lake.store.size("p")
    assert lake.write_ipc("i", table) == lake.store.size("i")
    assert lake.read_parquet("p").equals(table)
    assert lake.read_parquet("p", ["source"]).equals(table.select(["source"]))
    assert lake.open_ipc("i").equals(table)
    for read in (lake.read_parquet, lake.open_ipc, lake.parquet_file):
        with pytest.raises(StoreError, match="E304"):
            read("absent")


def test_assets_are_named_by_content(store_url: str) -> None:
    lake = Lake(store_url)
    name = lake.put_asset(b"tokenizer")
    assert name == lake.put_asset(b"tokenizer") == sha256(b"tokenizer").hexdigest()
    assert lake.asset(name) == b"tokenizer"
    assert lake.store.list("assets") == [f"assets/{name}"]
    lake.store.write(f"assets/{name}", b"tampered")
    with pytest.raises(StoreError, match="E316"):
        lake.asset(name)
    assert lake.put_asset(b"tokenizer") == name
    with pytest.raises(StoreError, match="E304"):
        lake.asset("0" * 64)


def test_sweep_removes_only_what_it_was_told(store_url: str) -> None:
    lake = Lake.open(store_url, create=True)
    for path in ("silver/a/parts/1", "silver/a/parts/2", "silver/b/1", "gold/x", "bronze/y", "silverware"):
        lake.store.write(path, b"12345")
    before = lake.store.list()
    keep = {"silver/a/parts/1", "gold/x"}
    assert lake.sweep(keep, ["silver", "gold", "silver/a"]) == (2, 10)
    assert lake.store.list() == before, "a dry run by default"
    assert lake.sweep(keep, ["silver", "gold"], dry_run=False) == (2, 10)
    assert lake.store.list() == sorted(set(before) - {"silver/a/parts/2", "silver/b/1"})
    assert lake.sweep(keep, ["silver", "gold"], dry_run=False) == (0, 0)
