"""What two ways of doing the job must agree on: the rows kept and, of each, its tokens and what is trained.

Of several equal rows any may stay: Ingot keeps the smallest record id, the peers the first they meet. So rows are
matched by their key (benchmarks/peer_text.py). Where both kept the same row, tokens and labels must be the same; where
they kept another copy, texts may differ in the white space that the key leaves out (inside code, say), and are counted.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks.peer_text import key_of


def _flat(column: Any) -> tuple[Any, Any]:
    """Values and offsets of a list column."""
    array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    lengths = array.value_lengths().to_numpy(zero_copy_only=False)
    return array.flatten().to_numpy(zero_copy_only=False).astype(np.int32), np.concatenate([[0], np.cumsum(lengths)])


def digests(ids: list[str], keys: list[bytes], tokens: Any, labels: Any) -> dict[str, list[str]]:
    """key -> [id, digest of its tokens, digest of its tokens and labels]."""
    values, at = _flat(tokens)
    marks, _ = _flat(labels)
    found = {}
    for i, (a, b) in enumerate(zip(at[:-1].tolist(), at[1:].tolist(), strict=True)):
        plain = hashlib.blake2b(values[a:b].tobytes(), digest_size=12)
        both = hashlib.blake2b(values[a:b].tobytes() + marks[a:b].tobytes(), digest_size=12)
        found[keys[i].hex()] = [ids[i], plain.hexdigest(), both.hexdigest()]
    return found


def of_lake(lake: str) -> dict[str, list[str]]:
    """The documents of Ingot's gold."""
    import pyarrow.parquet as pq
    from pyarrow import ipc

    from ingot.gold.segments import labels, trainable
    from ingot.pipeline import snapshot_of

    root = Path(lake)
    rows = {}
    for part in snapshot_of(lake, "silver.unique").draft.parts:
        table = pq.read_table(root / part.path, columns=["record_id", "source_id", "messages"])
        for record_id, source_id, messages in zip(*(column.to_pylist() for column in table.columns), strict=True):
            rows[record_id] = (source_id, key_of(messages))
    found: dict[str, list[str]] = {}
    for part in [part for node in ("gold.train", "gold.validation") for part in snapshot_of(lake, node).draft.parts]:
        table = ipc.open_file(pa.memory_map(str(root / part.path))).read_all()
        values, at = _flat(table.column("tokens"))
        segments = _flat(table.column("segments"))[0].astype(np.uint8)
        trained = pa.ListArray.from_arrays(pa.array(at.astype(np.int32)), pa.array(labels(values, segments, trainable())))
        ids, keys = zip(*(rows[i] for i in table.column("record_id").to_pylist()), strict=True)
        found |= digests(list(ids), list(keys), table.column("tokens"), trained)
    return found


def verdict(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> str:
    """One sentence; SystemExit when the work was not the same."""
    only = len(ours.keys() - theirs.keys()), len(theirs.keys() - ours.keys())
    same = [key for key in ours.keys() & theirs.keys() if ours[key][0] == theirs[key][0]]
    wrong = [ours[key][0] for key in same if ours[key] != theirs[key]]
    if any(only) or wrong:
        raise SystemExit(f"not the same work: {only[0]} rows only in Ingot, {only[1]} only in the peer, {len(wrong)} with other "
                         f"tokens or labels {wrong[:3]}")  # fmt: skip
    others = [key for key in ours if ours[key][0] != theirs[key][0]]
    unlike = sum(ours[key][1:] != theirs[key][1:] for key in others)
    return (f"same {len(ours):,} rows kept; tokens and labels equal in all {len(same):,} rows that both kept; of {len(others):,} "
            f"rows each kept another copy, {unlike:,} with other white space inside")  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(of_lake(sys.argv[1])))
