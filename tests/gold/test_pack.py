"""The pack index: every trained piece exactly once, none across documents, in an order that follows from content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.gold.gold_lake import drive, new_lake, pair_row, publish, sft_row, tokens_snapshot

from ingot.core.node import Part
from ingot.errors import GoldError, LoaderError
from ingot.gold.documents import pack_members
from ingot.gold.node import GoldConfig, GoldSplit


def config(**changes: object) -> GoldConfig:
    return GoldConfig.model_validate({"tokenizer": "t", "max_length": 64, **changes})


def split_node(regime: str = "sft", **changes: object) -> GoldSplit:
    return GoldSplit(name="gold.train", inputs=("gold.tokens",), regime=regime, split="train", config=config(**changes))


def documents(lake: object, parts: tuple[Part, ...]) -> pa.Table:
    return pa.concat_tables([lake.open_ipc(part.path) for part in parts])  # type: ignore[attr-defined]


@pytest.mark.parametrize("overflow", ["split", "truncate", "drop"])
def test_packs_hold_each_trained_piece_once(tmp_path: Path, overflow: str) -> None:
    lake = new_lake(tmp_path)
    rng = np.random.default_rng(5)
    rows = [sft_row(rng, i, int(n), source="ab"[i % 2]) for i, n in enumerate(rng.integers(2, 200, 150))]
    tokens = tokens_snapshot(lake, [rows[:40], rows[40:]])
    draft, _ = drive(lake, split_node(overflow=overflow), {"gold.tokens": tokens})
    index = lake.open_ipc(draft.files["packs"])
    packs, document, start, length = (index.column(name).to_numpy() for name in index.column_names)
    assert np.bincount(packs, weights=length).max() <= 64
    assert sorted(set(packs.tolist())) == list(range(draft.stats["packs"]))
    assert (np.lexsort((start, document, packs)) == np.arange(len(packs))).all(), "sorted by pack, document, start"
    table = documents(lake, draft.parts)
    lengths = [len(t) for t in table.column("tokens").to_pylist()]
    pieces = {(d, s): n for d, s, n in zip(document.tolist(), start.tolist(), length.tolist(), strict=True)}
    assert len(pieces) == len(packs)
    ledger = draft.stats["totals"]
    kinds = table.column("segments").to_pylist()
    for d, n in enumerate(lengths):
        for s in range(0, n if overflow == "split" else 1, 64):
            size = min(64, n - s)
            trained = any(kind in (4, 5, 6, 8) for kind in kinds[d][s + 1 : s + size])
            assert pieces.get((d, s)) == (size if trained else None)
    assert ledger["pieces"] == len(pieces)
    assert ledger["tokens_packed"] == sum(pieces.values())
    assert draft.stats["efficiency"] == pytest.approx(sum(pieces.values()) / (draft.stats["packs"] * 64))
    assert draft.rows == ledger["documents"] == 150 - ledger["documents_dropped"] - ledger["documents_untrained"]
    assert (ledger["documents_dropped"] > 0) == (overflow == "drop")


def test_error_policy_names_the_first_rows(tmp_path: Path) -> None:
    lake = new_lake(tmp_path)
    rng = np.random.default_rng(5)
    rows = [sft_row(rng, i, 60 + i, source="manuals") for i in range(12)]
    tokens = tokens_snapshot(lake, [rows])
    with pytest.raises(GoldError, match=r"E630 7 documents are longer than max_length 64, the first") as caught:
        drive(lake, split_node(overflow="error"), {"gold.tokens": tokens})
    long = sorted(row["record_id"] for row in rows if len(row["tokens"]) > 64)
    assert all(name in str(caught.value) for name in long[:5])
    assert "of manuals" in str(caught.value)
    draft, _ = drive(lake, split_node(overflow="error", max_length=80), {"gold.tokens": tokens})
    assert draft.stats["totals"]["documents_over"] == 0


def test_pairs_are_packs_of_their_own(tmp_path: Path) -> None:
    lake = new_lake(tmp_path)
    rng = np.random.default_rng(5)
    rows = [pair_row(rng, i, 10, 20, 10 + i) for i in range(60)]
    draft, _ = drive(lake, split_node("preference"), {"gold.tokens": tokens_snapshot(lake, [rows], "preference")})
    index = lake.open_ipc(draft.files["packs"])
    assert index.column("pack").to_pylist() == index.column("document").to_pylist() == list(range(45))
    assert draft.stats["totals"]["documents_dropped"] == 15
    assert draft.stats["efficiency"] is None


def test_a_pack_names_its_documents(tmp_path: Path) -> None:
    lake = new_lake(tmp_path)
    rng = np.random.default_rng(5)
    rows = [sft_row(rng, i, 20) for i in range(7)]
    snapshot = publish(lake, split_node(), {"gold.tokens": tokens_snapshot(lake, [rows])})
    members = [member for pack in range(3) for member in pack_members(lake, snapshot, pack)]
    assert [member["column"] for member in members] == [0, 20, 40, 0, 20, 40, 0]
    assert sorted(member["record_id"] for member in members) == sorted(row["record_id"] for row in rows)
    with pytest.raises(LoaderError, match=r"E711 gold.train has 3 packs, none is number 3"):
        pack_members(lake, snapshot, 3)
