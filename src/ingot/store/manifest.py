"""Manifests: small canonical JSON files that never change once written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ingot.errors import StoreError

if TYPE_CHECKING:
    from ingot.store.lake import Lake


def write_manifest(lake: Lake, path: str, value: dict[str, Any]) -> None:
    """Write once: the same content again is fine, another content at the same path is refused (E312)."""
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    if lake.store.create(path, data) or lake.store.read(path) == data:
        return
    raise StoreError("E312", f"{path} exists with another content and may not change", where=path)


def read_manifest(lake: Lake, path: str) -> dict[str, Any]:
    """The manifest at a path; E304 when there is none, E313 when it is not a JSON object."""
    data = lake.store.read(path)
    try:
        value = json.loads(data)
    except ValueError as error:
        raise StoreError("E313", f"{path} is damaged: {error}", where=path) from error
    if not isinstance(value, dict):
        raise StoreError("E313", f"{path} holds {type(value).__name__}, not a JSON object", where=path)
    return value
