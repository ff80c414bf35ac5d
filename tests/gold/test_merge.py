"""Documents come out sorted by record_id, each exactly once, whatever files and buckets they came through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.gold.gold_lake import new_lake, record_id, sft_row, token_table, tokens_snapshot

from ingot.core.task import Task
from ingot.gold import merge
from ingot.gold.merge import BUCKET_TOKENS, DOCUMENTS, bounds, bucket_bits, bucket_of, ids, ordered_sums


def test_number_of_buckets_follows_tokens_alone() -> None:
    cases = [0, 1, BUCKET_TOKENS, BUCKET_TOKENS + 1, 2 * BUCKET_TOKENS, 2 * BUCKET_TOKENS + 1, 9 * BUCKET_TOKENS]
    assert [bucket_bits(n) for n in cases] == [0, 0, 0, 1, 1, 2, 4]


@pytest.mark.parametrize("bits", [0, 1, 3, 5])
def test_bounds_partition_all_record_ids(bits: int) -> None:
    edges = [bounds(bucket, bits) for bucket in range(1 << bits)]
    assert edges[0][0] == "0" * 32
    assert edges[-1][1] is None
    assert [high for _, high in edges[:-1]] == [low for low, _ in edges[1:]]
    assert all(len(low) == 32 for low, _ in edges)


@pytest.mark.parametrize("bits", [0, 2, 4])
def test_buckets_hold_each_row_of_the_split_once(bits: int) -> None:
    rng = np.random.default_rng(1)
    rows = [sft_row(rng, i, 4, split="train" if i % 3 else "validation") for i in range(200)]
    table = token_table(rows, "sft")
    found = [bucket_of(table, "train", *bounds(bucket, bits)) for bucket in range(1 << bits)]
    got = [name for part, mine in found for name in part.filter(pa.array(mine)).column("record_id").to_pylist()]
    assert got == sorted(row["record_id"] for row in rows if row["split"] == "train")


def test_ids_of_slices_and_of_nothing() -> None:
    names = [record_id(i) for i in range(5)]
    column = pa.chunked_array([pa.array(names)])
    assert ids(column).tolist() == [name.encode() for name in names]
    assert ids(column.slice(2, 2)).tolist() == [name.encode() for name in names[2:4]]
    assert len(ids(column.slice(5))) == 0
    assert ids(pa.chunked_array([pa.array(names[:2]), pa.array(names[2:])])).tolist() == ids(column).tolist()


def task(parts: list[str], **changes: object) -> Task:
    params = {"parts": parts, "split": "train", "regime": "sft", "bucket": 0, "bits": 0, "overflow": "split",
              "max_length": 0, "train_on": ["assistant"]}  # fmt: skip
    return Task(key=record_id(sorted(map(str, {**params, **changes}.items()))), op="ingot.gold.merge:merge_bucket",
                node="gold.train", place="gold/train/parts", label="", params=params | changes)  # fmt: skip


def test_order_does_not_depend_on_how_rows_are_cut_into_parts(tmp_path: Path) -> None:
    lake = new_lake(tmp_path)
    rng = np.random.default_rng(2)
    rows = [sft_row(rng, i, int(rng.integers(2, 30))) for i in range(60)]
    rows.append(rows[7])  # an exact copy of a row, as a pipeline without dedup has
    results = []
    for cuts in ([61], [20, 50, 61], [1, 2, 3, 61]):
        parts = [rows[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]
        paths = [part.path for part in tokens_snapshot(lake, parts).draft.parts]
        results.append(merge.merge_bucket(lake, task(paths)))
    tables = [lake.open_ipc(result["path"]) for result in results]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    assert results[0]["digest"] == results[1]["digest"] == results[2]["digest"]
    assert tables[0].schema.equals(DOCUMENTS["sft"])
    names = tables[0].column("record_id").to_pylist()
    assert names == sorted(row["record_id"] for row in rows)
    by_id = {row["record_id"]: row for row in rows}
    for got in tables[0].to_pylist():
        assert got["tokens"] == by_id[got["record_id"]]["tokens"]
        assert got["segments"] == by_id[got["record_id"]]["segments"]


def test_rejects_and_documents_conserve_rows(tmp_path: Path) -> None:
    lake = new_lake(tmp_path)
    rng = np.random.default_rng(2)
    rows = [sft_row(rng, i, 5 + i, source="ab"[i % 2]) for i in range(20)] + [sft_row(rng, "x", 9, trained=0)]
    paths = [part.path for part in tokens_snapshot(lake, [rows]).draft.parts]
    result = merge.merge_bucket(lake, task(paths, overflow="drop", max_length=10))
    (entry,) = result["funnel"]
    assert (entry["rows_in"], entry["rows_out"], entry["rejected"]) == (21, 6, 15)
    assert entry["reasons"] == {"no_trained_tokens": 1, "too_long": 14}
    rejects = lake.read_parquet(result["rejects"])
    assert set(rejects.column("reason").to_pylist()) == {"no_trained_tokens", "too_long"}
    assert set(rejects.column("step").to_pylist()) == {"overflow"}
    kept = lake.open_ipc(result["path"]).column("record_id").to_pylist()
    assert sorted(kept + rejects.column("record_id").to_pylist()) == sorted(row["record_id"] for row in rows)


def test_an_empty_split_gives_an_empty_file(tmp_path: Path) -> None:
    lake = new_lake(tmp_path)
    result = merge.merge_bucket(lake, task([]))
    assert result["rows"] == 0
    assert lake.open_ipc(result["path"]).schema.equals(DOCUMENTS["sft"])


def test_ordered_digest_sees_order() -> None:
    table = pa.table({"record_id": ["a", "b"]})
    assert ordered_sums(table) != ordered_sums(table.take([1, 0]))
