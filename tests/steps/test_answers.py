"""Answers matched to what was asked: identical rows stay apart by position, order is restored, nothing is lost."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.steps.records import chat, conserved, row, table

from ingot.core.step import Outcome
from ingot.errors import StepError
from ingot.steps.answers import IDENTITY, Asked


def asked() -> Asked:
    return Asked(step="s", reason="sql_filter", shown="'q'", where="silver.x", regime="sft", evidence={"query": "q"})


def rows(copies: list[int]) -> pa.Table:
    """Row i has copies[i] identical ones: same record_id, another line."""
    made, line = [], 0
    for number, n in enumerate(copies, 1):
        for _ in range(n):
            line += 1
            made.append({**row(number, messages=chat("hi", f"answer {number}")), "line": line})
    return table(made)


def reconciled(before: pa.Table, answer: pa.Table) -> Outcome:
    outcome = asked().reconcile(before, answer)
    conserved(before, outcome)
    return outcome


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 4), max_size=6), st.randoms(use_true_random=False))
def test_any_subset_in_any_order_is_matched(copies: list[int], random: object) -> None:
    before = rows(copies)
    chosen = [i for i in range(len(before)) if random.random() < 0.6]  # type: ignore[attr-defined]
    shuffled = random.sample(chosen, len(chosen))  # type: ignore[attr-defined]
    outcome = reconciled(before, before.take(pa.array(shuffled, pa.int64())))
    assert outcome.kept.equals(before.take(pa.array(chosen, pa.int64())))
    assert outcome.rejects.column("line").to_pylist() == [i + 1 for i in range(len(before)) if i not in chosen]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=5), st.data())
def test_without_positions_as_many_of_each_record_are_kept_as_came_back(copies: list[int], data: st.DataObject) -> None:
    before = rows(copies)
    chosen = data.draw(st.lists(st.integers(0, len(before) - 1), unique=True))
    answer = before.take(pa.array(chosen, pa.int64())).drop_columns([name for name in IDENTITY if name != "record_id"])
    kept = reconciled(before, answer).kept
    assert sorted(kept.column("record_id").to_pylist()) == sorted(answer.column("record_id").to_pylist())


def test_one_row_too_many_is_a_repetition_even_among_identical_rows() -> None:
    before = rows([2])
    with pytest.raises(StepError, match="E413.*repeats record_id"):
        asked().reconcile(before, before.take(pa.array([0, 0])))
    with pytest.raises(StepError, match="E413.*repeats record_id"):
        asked().reconcile(before.drop_columns(["messages"]), pa.table({"record_id": [f"{1:032x}"] * 3}))


def test_a_column_of_another_type_is_cast_back_or_refused() -> None:
    before = rows([1, 1])
    at = before.schema.get_field_index("line")
    wide = before.set_column(at, "line", before.column("line").cast(pa.float64()))
    assert reconciled(before, wide).kept.schema.equals(before.schema)
    words = before.set_column(before.schema.get_field_index("messages"), "messages", pa.array(["a", "b"]))
    with pytest.raises(StepError, match=r"E412.*gives column 'messages' type string, not list"):
        asked().reconcile(before, words)
