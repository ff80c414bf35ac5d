"""What each overflow policy keeps, cuts, rejects and counts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.gold.gold_lake import pair_row, prompt_row, sft_row, token_table

from ingot.errors import GoldError
from ingot.gold.overflow import Lists, cut, lengths, overflow_of, per_source, refused, trained, whole
from ingot.gold.segments import trainable

ASSISTANT = trainable(["assistant"])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def by_hand(row: dict[str, Any], start: int, length: int) -> int:
    """Labels of a piece that are not -100: its trained tokens after the first."""
    return sum(bool(ASSISTANT[kind]) for kind in row["segments"][start + 1 : start + length])


@pytest.mark.parametrize("length", [1, 2, 9, 10, 11, 20, 21, 35])
def test_split_covers_every_token_once(rng: np.random.Generator, length: int) -> None:
    rows = [sft_row(rng, i, length) for i in range(3)]
    table = token_table(rows, "sft")
    pieces = cut(table, overflow="split", max_length=10, trainable=ASSISTANT)
    by_id = {row["record_id"]: row for row in rows}
    ids = table.column("record_id").to_pylist()
    for d in range(3):
        mine = np.flatnonzero(pieces.document == d)
        spans = [(int(pieces.start[i]), int(pieces.length[i])) for i in mine]
        assert [n for a, m in spans for n in range(a, a + m)] == list(range(length))
        assert max(m for _, m in spans) <= 10
        assert [by_hand(by_id[ids[d]], a, m) for a, m in spans] == pieces.trained[mine].tolist()


def test_truncate_keeps_the_head_only(rng: np.random.Generator) -> None:
    table = token_table([sft_row(rng, i, n) for i, n in enumerate((5, 25))], "sft")
    pieces = cut(table, overflow="truncate", max_length=10, trainable=ASSISTANT)
    assert pieces.start.tolist() == [0, 0]
    assert sorted(pieces.length.tolist()) == [5, 10]
    tokens = lengths(table, "sft")
    assert sorted(tokens.tolist()) == [5, 25]


def test_drop_rejects_long_documents_with_evidence(rng: np.random.Generator) -> None:
    table = token_table([sft_row(rng, i, n) for i, n in enumerate((5, 11, 10))], "sft")
    mask, reasons, evidence = refused(table, regime="sft", overflow="drop", max_length=10, trainable=ASSISTANT)
    assert lengths(table, "sft")[mask].tolist() == [11]
    assert reasons.to_pylist() == ["too_long"]
    assert json.loads(evidence[0].as_py()) == {"tokens": 11, "max": 10}


@pytest.mark.parametrize("overflow", ["split", "truncate", "drop", "error"])
def test_documents_without_a_trained_token_are_rejected(rng: np.random.Generator, overflow: Any) -> None:
    rows = [sft_row(rng, "none", 8, trained=0), sft_row(rng, "late", 30, trained=3), sft_row(rng, "fine", 8)]
    table = token_table(rows, "sft")
    mask, reasons, _ = refused(table, regime="sft", overflow=overflow, max_length=10, trainable=ASSISTANT)
    gone = dict(zip(table.column("record_id").filter(mask).to_pylist(), reasons.to_pylist(), strict=True))
    expected = {rows[0]["record_id"]: "no_trained_tokens"}
    if overflow == "truncate":  # the head that is left has no answer
        expected[rows[1]["record_id"]] = "no_trained_tokens"
    if overflow == "drop":
        expected[rows[1]["record_id"]] = "too_long"
    assert gone == expected


def test_the_first_token_never_counts_as_trained(rng: np.random.Generator) -> None:
    table = token_table([sft_row(rng, 0, 4, trained=4)], "sft")
    all_classes = np.ones(256, np.bool_)
    assert trained(table, "sft", all_classes, None).tolist() == [3]
    assert cut(table, overflow="split", max_length=2, trainable=all_classes).trained.tolist() == [1, 1]


def test_pairs_measure_prompt_plus_longer_response(rng: np.random.Generator) -> None:
    rows = [pair_row(rng, 0, 6, 3, 9), pair_row(rng, 1, 6, 4, None), pair_row(rng, 2, 12, 4, 4)]
    table = token_table(rows, "preference")
    by_id = dict(zip(table.column("record_id").to_pylist(), lengths(table, "preference").tolist(), strict=True))
    assert [by_id[row["record_id"]] for row in rows] == [15, 10, 16]
    mask, reasons, _ = refused(table, regime="preference", overflow="truncate", max_length=10, trainable=ASSISTANT)
    assert table.column("record_id").filter(mask).to_pylist() == [rows[2]["record_id"]]
    assert reasons.to_pylist() == ["no_trained_tokens"], "a prompt that fills the row leaves nothing to compare"
    kept = whole(table.filter(~mask), "preference", max_length=10, trainable=ASSISTANT)
    assert sorted(kept.length.tolist()) == [10, 10]
    assert sorted(kept.trained.tolist()) == [4, 3 + 4]


def test_a_pair_with_an_empty_response_is_rejected(rng: np.random.Generator) -> None:
    table = token_table([pair_row(rng, 0, 6, 0, 9), pair_row(rng, 1, 6, None, None)], "preference")
    mask, reasons, _ = refused(table, regime="preference", overflow="drop", max_length=50, trainable=ASSISTANT)
    assert mask.all()
    assert set(reasons.to_pylist()) == {"no_trained_tokens"}


def test_prompts_need_no_trained_token(rng: np.random.Generator) -> None:
    table = token_table([prompt_row(rng, i, n) for i, n in enumerate((4, 12))], "rlvr")
    mask, reasons, _ = refused(table, regime="rlvr", overflow="drop", max_length=10, trainable=ASSISTANT)
    assert lengths(table, "rlvr")[mask].tolist() == [12]
    assert reasons.to_pylist() == ["too_long"]


def test_ledger_adds_up_per_source(rng: np.random.Generator) -> None:
    rows = [sft_row(rng, i, n, source=s) for i, (n, s) in enumerate([(25, "a"), (10, "a"), (31, "b"), (4, "b")])]
    rows.append(sft_row(rng, "late", 24, source="b", trained=2))
    table = token_table(rows, "sft")
    for overflow in ("split", "truncate"):
        pieces = cut(table, overflow=overflow, max_length=10, trainable=ASSISTANT)  # type: ignore[arg-type]
        ledger = per_source(table, "sft", pieces, 10)
        assert sorted(ledger) == ["a", "b"]
        assert ledger["a"]["documents"] == 2
        assert ledger["b"]["documents_over"] == 2
        for source in ledger.values():
            assert source["tokens"] == source["tokens_packed"] + source["tokens_untrained"] + source["tokens_cut"]
        total = {name: sum(source[name] for source in ledger.values()) for name in ledger["a"]}
        assert total["tokens"] == 94
        assert total["pieces"] + total["pieces_untrained"] == len(pieces.document)
        assert total["tokens_cut"] == (0 if overflow == "split" else 15 + 21 + 14)
        assert total["tokens_trained"] == pieces.trained.sum()
    heads = {name: ledger[name]["documents_unpacked"] for name in ledger}
    assert heads == {"a": 1, "b": 2}, "the answers of three documents begin beyond the tenth token"


@pytest.mark.parametrize(("regime", "policy"), [("preference", "split"), ("rlvr", "split"), ("rlvr", "truncate")])
def test_policies_that_make_no_sense_are_refused(regime: str, policy: Any) -> None:
    with pytest.raises(GoldError, match=f"E631 overflow '{policy}' does not fit regime '{regime}'"):
        overflow_of(regime, policy)


def test_defaults_of_the_policy() -> None:
    assert [overflow_of(regime, None) for regime in ("sft", "preference", "rlvr")] == ["split", "drop", "drop"]


def test_lists_read_slices_and_nulls(rng: np.random.Generator) -> None:
    table = token_table([pair_row(rng, i, 2, n, None) for i, n in enumerate((3, None, 5, 1))], "preference")
    wanted = [len(value or ()) for value in table.column("chosen_tokens").to_pylist()]
    assert Lists.of(table, "chosen_tokens").lengths.tolist() == wanted
    lists = Lists.of(table.slice(1, 2), "chosen_tokens")
    assert lists.lengths.tolist() == wanted[1:3]
    expected = [t for value in table.column("chosen_tokens").to_pylist()[1:3] for t in value or ()]
    got = [int(t) for a, b in zip(lists.begin, lists.end, strict=True) for t in lists.values[a:b]]
    assert got == expected
