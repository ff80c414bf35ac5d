"""Snapshots on disk: a manifest is canonical JSON without times, hosts or absolute paths; a ref names one.

Reading a node means: ref -> snapshot id -> manifest -> parts. All of it is plain JSON and Parquet or Arrow files, so
any engine can do the same from the manifest's part list.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ingot.core.fingerprint import fingerprint
from ingot.core.node import Draft, Part, Snapshot, folder, manifest_path
from ingot.core.task import Json
from ingot.store.manifest import read_manifest, write_manifest
from ingot.store.refs import Refs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingot.store.lake import Lake

SHOWN_ID = 12  # hex digits of an id in messages


def seal(node: str, pipeline: str, description: Json, inputs: Mapping[str, str], draft: Draft) -> Snapshot:
    """Give a draft its identity: the fingerprint of the whole manifest, so that another content is another snapshot."""
    nameless = Snapshot(node=node, pipeline=pipeline, id="", draft=draft, description=description, inputs=dict(inputs))
    return replace(nameless, id=fingerprint(to_json(nameless)))


def to_json(snapshot: Snapshot) -> Json:
    """The manifest of a snapshot."""
    draft = _shallow(snapshot.draft) | {"parts": [_shallow(part) for part in snapshot.draft.parts]}
    return {
        "ingot_manifest": 1,
        "node": snapshot.node,
        "pipeline": snapshot.pipeline,
        "id": snapshot.id,
        "description": snapshot.description,
        "inputs": dict(snapshot.inputs),
        **draft,
    }


def _shallow(value: Draft | Part) -> Json:
    """The fields as they are: `dataclasses.asdict` would copy every JSON value below, most of an idle run's time."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def from_json(value: Json) -> Snapshot:
    """The inverse of `to_json`."""
    draft = Draft(
        parts=tuple(Part(**part) for part in value["parts"]),
        rows=value["rows"],
        digest=value["digest"],
        schema=value["schema"],
        funnel=tuple(value["funnel"]),
        files=value["files"],
        stats=value["stats"],
        licenses=value["licenses"],
    )
    return Snapshot(
        node=value["node"],
        pipeline=value["pipeline"],
        id=value["id"],
        draft=draft,
        description=value["description"],
        inputs=value["inputs"],
    )


def save(lake: Lake, snapshot: Snapshot) -> None:
    """Write the manifest; writing the same one again changes nothing."""
    write_manifest(lake, snapshot.path, to_json(snapshot))


def load_by_id(lake: Lake, node: str, snapshot_id: str) -> Snapshot:
    """The snapshot of a node with this id; StoreError when its manifest is gone."""
    return from_json(read_manifest(lake, manifest_path(node, snapshot_id)))


def load_snapshot(lake: Lake, ref: str) -> Snapshot:
    """The snapshot that `node`, `node@N` (history number) or `node@ID` (the beginning of an id) means.

    An id need not be in the history: what a failed gate kept from its name can be read as well.
    """
    node, _, version = ref.partition("@")
    if len(version) >= SHOWN_ID and node:
        found = {path.split("/")[2] for path in lake.store.list(folder(node)) if path.endswith("/manifest.json")}
        if len(hits := [name for name in sorted(found) if name.startswith(version)]) == 1:
            return load_by_id(lake, node, hits[0])
    return load_by_id(lake, node, Refs(lake).resolve(ref))


def current(lake: Lake, node: str) -> Snapshot | None:
    """What the node's ref names, or None before the first successful run."""
    name = Refs(lake).get(node)
    return None if name is None else load_by_id(lake, node, name)
