"""Manifests are written once, in one form."""

from __future__ import annotations

import pytest

from ingot.errors import StoreError
from ingot.store.lake import Lake
from ingot.store.manifest import read_manifest, write_manifest

PATH = "silver/clean/00ff/manifest.json"


def test_one_form(store_url: str) -> None:
    lake = Lake(store_url)
    write_manifest(lake, PATH, {"b": [1, 2.5, None], "a": {"y": "é", "x": True}})
    assert lake.store.read(PATH) == '{"a":{"x":true,"y":"é"},"b":[1,2.5,null]}'.encode()
    assert read_manifest(lake, PATH) == {"b": [1, 2.5, None], "a": {"y": "é", "x": True}}


def test_written_once(store_url: str) -> None:
    lake = Lake(store_url)
    write_manifest(lake, PATH, {"a": 1, "b": 2})
    write_manifest(lake, PATH, {"b": 2, "a": 1})
    with pytest.raises(StoreError, match=f"E312 {PATH}"):
        write_manifest(lake, PATH, {"a": 1, "b": 3})
    assert read_manifest(lake, PATH) == {"a": 1, "b": 2}


def test_no_nan(store_url: str) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(Lake(store_url), PATH, {"a": float("nan")})
    assert Lake(store_url).store.list() == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"3"])
def test_damage_is_named(store_url: str, data: bytes) -> None:
    lake = Lake(store_url)
    lake.store.write(PATH, data)
    with pytest.raises(StoreError, match=f"E313.*{PATH}"):
        read_manifest(lake, PATH)


def test_missing(store_url: str) -> None:
    with pytest.raises(StoreError, match="E304"):
        read_manifest(Lake(store_url), PATH)
