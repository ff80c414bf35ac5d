"""Small gold lakes for tests: token parts made by hand, a node driven to its snapshot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingot.core.node import Draft, Node, Part, Snapshot
from ingot.core.snapshots import save, seal
from ingot.core.task import Json, Task, execute
from ingot.gold.merge import DOCUMENTS
from ingot.gold.segments import ASSISTANT, END_OF_TURN, TEMPLATE, USER
from ingot.schema.digest import content_sums
from ingot.store.lake import Lake
from ingot.store.refs import Refs

Row = dict[str, Any]
PAD = 7


def record_id(name: object) -> str:
    return sha256(str(name).encode()).hexdigest()[:32]


def conversation(rng: np.random.Generator, length: int, trained: int | None = None) -> tuple[list[int], list[int]]:
    """Tokens and segments: a header, a user turn, and `trained` tokens of an answer (default: the second half)."""
    trained = length // 2 if trained is None else trained
    kinds = [TEMPLATE] + [USER] * (length - 1 - trained) + [ASSISTANT] * (trained - 1) + [END_OF_TURN] * (trained > 0)
    return rng.integers(100, 30_000, length).tolist(), kinds[:length]


def sft_row(rng: np.random.Generator, name: object, length: int, *, source: str = "a", split: str = "train",
            trained: int | None = None) -> Row:  # fmt: skip
    tokens, segments = conversation(rng, length, trained)
    return {"record_id": record_id(name), "source": source, "split": split, "tokens": tokens, "segments": segments}


def pair_row(rng: np.random.Generator, name: object, prompt: int, chosen: int | None, rejected: int | None, *,
             source: str = "a") -> Row:  # fmt: skip
    row: Row = {"record_id": record_id(name), "source": source, "split": "train"}
    for part, length in (("prompt", prompt), ("chosen", chosen), ("rejected", rejected)):
        row[f"{part}_tokens"] = None if length is None else rng.integers(100, 30_000, length).tolist()
        row[f"{part}_segments"] = None if length is None else [USER if part == "prompt" else ASSISTANT] * length
    return row


def prompt_row(rng: np.random.Generator, name: object, length: int) -> Row:
    return {"record_id": record_id(name), "source": "a", "split": "train",
            "prompt_tokens": rng.integers(100, 30_000, length).tolist(), "prompt_segments": [USER] * length,
            "verifier": "exact", "answer": str(name), "verifier_args": None}  # fmt: skip


def token_schema(regime: str) -> pa.Schema:
    fields = list(DOCUMENTS[regime])
    return pa.schema([*fields[:2], pa.field("split", pa.string()), *fields[2:]])


def token_table(rows: Sequence[Row], regime: str) -> pa.Table:
    """Rows as gold.tokens writes them: sorted by record_id."""
    ordered = sorted(rows, key=lambda row: str(row["record_id"]))
    return pa.Table.from_pylist(ordered, schema=token_schema(regime))


def tokens_snapshot(lake: Lake, parts: Sequence[Sequence[Row]], regime: str = "sft") -> Snapshot:
    """Write token parts and make the snapshot that gold.tokens would have."""
    made = []
    for rows in parts:
        table = token_table(rows, regime)
        digest = content_sums(table)
        path = f"gold/tokens/parts/{record_id(digest)}.arrow"
        size = lake.write_ipc(path, table)
        splits: dict[str, dict[str, int]] = {}
        for row in rows:
            mine = splits.setdefault(row["split"], {"rows": 0, "tokens": 0})
            mine["rows"] += 1
            mine["tokens"] += sum(len(row[name] or ()) for name in row if name.endswith("tokens"))
        made.append(Part(path=path, rows=len(table), bytes=size, digest=digest, meta={"splits": splits}))
    draft = Draft(parts=tuple(made), rows=sum(part.rows for part in made), digest=record_id([p.digest for p in made]),
                  schema="tokens", stats={"pad_id": PAD}, licenses={"MIT": 3})  # fmt: skip
    return seal("gold.tokens", "test", {}, {}, draft)


def drive(lake: Lake, node: Node, inputs: Mapping[str, Snapshot]) -> tuple[Draft, list[Task]]:
    """Run a node's rounds; returns its draft and the tasks that had to be executed."""
    rounds, executed = node.build(lake, inputs), []
    try:
        tasks = next(rounds)
        while True:
            results: list[Json] = []
            for task in tasks:
                if not lake.store.exists(task.result):
                    executed.append(task)
                    execute(lake, Task.from_json(task.to_json()))
                results.append(json.loads(lake.store.read(task.result)))
            tasks = rounds.send(results)
    except StopIteration as stop:
        return stop.value, executed


def publish(lake: Lake, node: Node, inputs: Mapping[str, Snapshot]) -> Snapshot:
    """Build a node and let its name mean the result."""
    draft, _ = drive(lake, node, inputs)
    digests = {name: snapshot.draft.digest for name, snapshot in inputs.items()}
    snapshot = seal(node.name, "test", node.describe(), digests, draft)
    save(lake, snapshot)
    Refs(lake).move(node.name, snapshot.id, expect=Refs(lake).get(node.name))
    return snapshot


def new_lake(folder: Path) -> Lake:
    return Lake.open(str(folder / "lake"), create=True)
