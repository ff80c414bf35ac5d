"""The pack index: every trained piece exactly once, none across documents, in an order that follows from content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.gold.gold_lake import drive, new_lake, pair_row, prompt_row, publish, sft_row, tokens_snapshot

from ingot.cli.tokens import headline, ledger_lines
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
    assert ledger["documents"] == 150 == draft.rows + ledger["documents_dropped"] + ledger["documents_untrained"]
    for counts in (ledger, *draft.stats["sources"].values()):
        gone = counts["tokens_cut"] + counts["tokens_dropped"] + counts["tokens_untrained"]
        assert counts["tokens"] == counts["tokens_packed"] + gone
    assert ledger["tokens"] == sum(len(row["tokens"]) for row in rows)
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


@pytest.mark.parametrize(("regime", "others"), [("preference", "drop or truncate"), ("rlvr", "drop")])
def test_error_policy_proposes_what_the_regime_allows(tmp_path: Path, regime: str, others: str) -> None:
    lake, rng = new_lake(tmp_path), np.random.default_rng(5)
    row = pair_row(rng, 0, 60, 9, 9) if regime == "preference" else prompt_row(rng, 0, 69)
    with pytest.raises(GoldError, match="1 document is longer than max_length 64: .* of a: 69 tokens") as caught:
        drive(lake, split_node(regime, overflow="error"), {"gold.tokens": tokens_snapshot(lake, [[row]], regime)})
    assert caught.value.next == f"raise gold.max_length, or set gold.overflow to {others}"


def test_a_source_that_loses_every_document_stays_in_the_ledger(tmp_path: Path) -> None:
    lake, rng = new_lake(tmp_path), np.random.default_rng(5)
    rows = [sft_row(rng, 0, 100, source="manuals"), sft_row(rng, 1, 10, source="chats"), sft_row(rng, 2, 9, trained=0)]
    draft, _ = drive(lake, split_node(overflow="drop"), {"gold.tokens": tokens_snapshot(lake, [rows])})
    lost = {"documents", "documents_over", "documents_dropped", "tokens", "tokens_dropped"}
    manuals = {name: n for name, n in draft.stats["sources"]["manuals"].items() if n}
    assert manuals == dict.fromkeys(lost, 1) | {"tokens": 100, "tokens_dropped": 100}
    untrained = {name: n for name, n in draft.stats["sources"]["a"].items() if n}
    assert untrained == {"documents": 1, "documents_untrained": 1, "tokens": 9, "tokens_untrained": 9}
    assert ledger_lines(draft.stats) == [
        "  left out by overflow: drop at 64 tokens, train_on: [assistant]: 109 of 119 tokens (91.6 %): "
        "1 document too long, 1 document with nothing to train",
        "    a        9 of 9 tokens (100.0 %): 1 document with nothing to train",
        "    manuals  100 of 100 tokens (100.0 %): 1 document too long",
    ]


def test_what_split_and_truncate_leave_out_is_said(tmp_path: Path) -> None:
    lake, rng = new_lake(tmp_path), np.random.default_rng(5)
    tokens = tokens_snapshot(lake, [[sft_row(rng, 0, 150, trained=20), sft_row(rng, 1, 100, trained=90)]])
    said = {overflow: ledger_lines(drive(lake, split_node(overflow=overflow), {"gold.tokens": tokens})[0].stats)
            for overflow in ("split", "truncate")}  # fmt: skip
    assert said["split"][1:] == ["    a  128 of 250 tokens (51.2 %): 2 pieces with nothing to train"]
    assert said["truncate"][1:] == ["    a  186 of 250 tokens (74.4 %): tails of 1 document cut, 1 document with nothing to train"]
    whole, _ = drive(lake, split_node(max_length=150), {"gold.tokens": tokens})
    assert ledger_lines(whole.stats) == []
    assert headline("gold.train", whole.stats).startswith("gold.train: 2 packs, rows of at most 150 tokens, 83.33 % full")


def test_a_split_without_documents_is_built_and_said_to_be_empty(tmp_path: Path) -> None:
    lake = new_lake(tmp_path)
    tokens = tokens_snapshot(lake, [[sft_row(np.random.default_rng(5), 0, 10)]])
    node = GoldSplit(name="gold.validation", inputs=("gold.tokens",), regime="sft", split="validation", config=config())
    draft, _ = drive(lake, node, {"gold.tokens": tokens})
    assert (draft.rows, draft.stats["packs"], ledger_lines(draft.stats)) == (0, 0, [])
    assert headline("gold.validation", draft.stats).startswith("gold.validation: empty")


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
