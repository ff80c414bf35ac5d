"""`length`: what is measured, in which regime, and what the evidence says."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.steps.records import GOLDEN, chat, chats, conserved, context, digest, row, same_in_parts, table, turn

from ingot.core.step import Outcome
from ingot.errors import StepError
from ingot.steps.length import Length, LengthConfig


def apply(before: pa.Table, regime: str = "sft", **bounds: int) -> Outcome:
    return Length(LengthConfig(**bounds)).apply(before, context(regime))


def fates(outcome: Outcome) -> dict[int, tuple[str, dict[str, int]]]:
    return {one["line"]: (one["reason"], json.loads(one["evidence"])) for one in outcome.rejects.to_pylist()}


def test_characters_are_code_points_of_all_that_is_said() -> None:
    call = {"id": "ignored", "name": "ignored", "arguments": "12345"}
    turns = [turn("user", "äöü"), turn("assistant", None, reasoning="漢字", tool_calls=[call, call])]
    assert fates(apply(chats(turns), max_chars=14)) == {1: ("too_many_characters", {"chars": 15, "max": 14})}
    assert len(apply(chats(turns), max_chars=15, min_chars=15).kept) == 1


def test_sides_of_a_conversation() -> None:
    before = chats([turn("system", "12"), *chat("3456", "7", "89", "0")], chat("only a prompt"))
    assert fates(apply(before, max_prompt_chars=8)) == {2: ("too_many_characters", {"prompt_chars": 13, "max": 8})}
    assert fates(apply(before, min_response_chars=3)) == {1: ("too_few_characters", {"response_chars": 2, "min": 3})}
    assert len(apply(before, max_response_chars=2).kept) == 2


def test_turns() -> None:
    before = chats(chat("a"), chat("a", "b"), chat("a", "b", "c"))
    assert fates(apply(before, min_turns=2, max_turns=2)) == {
        1: ("too_few_turns", {"turns": 1, "min": 2}),
        3: ("too_many_turns", {"turns": 3, "max": 2}),
    }


def test_each_response_of_a_preference_and_the_longest_of_the_whole() -> None:
    rows = [
        row(
            1,
            "preference",
            prompt=chat("ab"),
            chosen=chat("c" * 5, first="assistant"),
            rejected=chat("d", first="assistant"),
        ),
        row(2, "preference", prompt=chat("ab"), chosen=chat("c", first="assistant"), rejected=None),
    ]
    before = table(rows, "preference")
    assert fates(apply(before, "preference", min_response_chars=2)) == {
        1: ("too_few_characters", {"response_chars": 1, "min": 2}),
        2: ("too_few_characters", {"response_chars": 1, "min": 2}),
    }
    assert fates(apply(before, "preference", max_chars=6)) == {1: ("too_many_characters", {"chars": 7, "max": 6})}
    assert len(apply(before, "preference", max_turns=2, min_turns=2).kept) == 2


def test_rlvr_has_no_response() -> None:
    before = table([row(1, "rlvr", prompt=chat("2+2?"), answer="4")], "rlvr")
    assert fates(apply(before, "rlvr", min_chars=5)) == {1: ("too_few_characters", {"chars": 4, "min": 5})}
    with pytest.raises(StepError, match="E410"):
        apply(before, "rlvr", max_response_chars=5)


def test_the_first_failing_bound_is_the_reason() -> None:
    assert fates(apply(chats(chat("abc", "d")), max_turns=1, max_chars=2)) == {
        1: ("too_many_turns", {"turns": 2, "max": 1})
    }


@pytest.mark.parametrize(
    "bounds", [{}, {"min_chars": 5, "max_chars": 4}, {"max_turns": 0}, {"min_chars": -1}, {"max": 3}]
)
def test_bounds_that_cannot_be_meant(bounds: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LengthConfig(**bounds)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.text("ab", max_size=4) | st.none(), max_size=4), max_size=6),
    st.integers(0, 6),
    st.integers(1, 6),
)
def test_laws(texts: list[list[str | None]], cut: int, most: int) -> None:
    before = chats(*(chat(*one) for one in texts))
    outcome = apply(before, max_chars=most, min_turns=1)
    conserved(before, outcome)
    same_in_parts(before, min(cut, len(before)), lambda part: apply(part, max_chars=most, min_turns=1))
    good = [i + 1 for i, one in enumerate(texts) if one and sum(len(t or "") for t in one) <= most]
    assert outcome.kept["line"].to_pylist() == good


@pytest.mark.parametrize(
    ("regime", "expected"),
    [
        ("sft", "b6baf2b5060feebbdd5a70e2c76eb568dc3cc43a404e0b11e6fddd18f946c731"),
        ("preference", "57f51224fa5af8892087ee060a10941300000000000000000000000000000000"),
        ("rlvr", "92b0b18be1ba7454c52be10c1e83db4500000000000000000000000000000000"),
    ],
)
def test_golden(regime: str, expected: str) -> None:
    """When this fails on purpose, raise Length.version with it."""
    assert Length.version == 1
    outcome = apply(GOLDEN[regime], regime, max_chars=25, max_turns=3, min_prompt_chars=4)
    assert digest(outcome.kept) + digest(outcome.rejects) == expected
