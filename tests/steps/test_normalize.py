"""`normalize` on records: every message column, nothing but message text, conservation, cuts."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.steps.records import (
    GOLDEN,
    chat,
    chats,
    conserved,
    contents,
    context,
    digest,
    row,
    same_in_parts,
    table,
    turn,
)

from ingot.core.step import Outcome, RowStep
from ingot.steps.normalize import Normalize, NormalizeConfig

STEP = Normalize(NormalizeConfig())
TEXTS = st.lists(
    st.sampled_from(["a", " ", "\n", "\r\n", "\u200b", "e\u0301", "```", "\t", "é", "\x00"]), max_size=6
).map("".join)
TABLES = st.lists(st.lists(TEXTS | st.none(), max_size=3).map(lambda texts: chat(*texts)), max_size=5).map(
    lambda c: chats(*c)
)


def apply(before: pa.Table, regime: str = "sft") -> Outcome:
    return STEP.apply(before, context(regime))


def test_is_a_row_step() -> None:
    assert isinstance(STEP, RowStep)
    assert NormalizeConfig.shorthand == "unicode"
    with pytest.raises(ValidationError):
        NormalizeConfig(unicode="nfd")  # type: ignore[arg-type]


def test_content_and_reasoning_of_every_turn() -> None:
    before = chats([turn("user", "a \n"), turn("assistant", "b", reasoning="thinking\r\n"), turn("assistant", None)])
    outcome = apply(before)
    (messages,) = outcome.kept.column("messages").to_pylist()
    assert [one["content"] for one in messages] == ["a", "b", None]
    assert [one["reasoning"] for one in messages] == [None, "thinking", None]
    assert outcome.notes == {"newlines": 1, "white_space": 2, "turns_changed": 2}
    assert outcome.kept.schema.equals(before.schema)


def test_json_is_left_alone() -> None:
    call = {"id": "c \n", "name": "f \n", "arguments": '{"a": "b \n"} '}
    parts, meta = '[{"text": "x \n"}] ', '{"a": " \u200b"} '
    before = table(
        [
            row(
                1,
                messages=[turn("assistant", "x \n", tool_calls=[call], parts=parts, meta=meta)],
                tools="[] ",
                meta="{} ",
            )
        ]
    )
    (after,) = apply(before).kept.to_pylist()
    (expected,) = before.to_pylist()
    expected["messages"][0]["content"] = "x"
    assert after == expected


@pytest.mark.parametrize("regime", ["preference", "rlvr"])
def test_every_message_column_of_the_regime(regime: str) -> None:
    dirty, clean = chat("x \n"), ["x"]
    sides = {"prompt": dirty} if regime == "rlvr" else {"prompt": dirty, "chosen": dirty, "rejected": None}
    kept = apply(table([row(1, regime, **sides)], regime), regime).kept
    assert contents(kept, "prompt") == [clean]
    if regime == "preference":
        assert contents(kept, "chosen") == [clean]
        assert kept.column("rejected").to_pylist() == [None]


def test_an_emptied_message_rejects_its_row_with_evidence() -> None:
    before = chats(chat("fine", "fine"), chat("hi", "\u200b\n"), chat(" ", "\ufeff"))
    outcome = apply(before)
    conserved(before, outcome)
    assert contents(outcome.kept) == [["fine", "fine"]]
    first, second = outcome.rejects.to_pylist()
    assert (first["step"], first["reason"], first["line"]) == ("normalize", "empty_after_normalize", 2)
    assert json.loads(first["evidence"]) == {"column": "messages", "turn": 1, "role": "assistant", "before": "\u200b\n"}
    assert json.loads(second["evidence"])["turn"] == 0


def test_turns_that_may_be_empty() -> None:
    call = {"id": None, "name": "f", "arguments": "{}"}
    turns = [
        turn("user", ""),
        turn("assistant", " ", tool_calls=[call]),
        turn("tool", "\n"),
        turn("assistant", " ", reasoning="so"),
        turn("user", " ", parts='[{"image": 1}]'),
        turn("assistant", "ok", reasoning="\n"),
    ]
    outcome = apply(chats(turns))
    assert len(outcome.rejects) == 0
    assert contents(outcome.kept) == [["", "", "", "", "", "ok"]]


def test_slices_chunks_and_null_turns() -> None:
    whole = chats(chat("skip \n"), chat("a \n"), [*chat("b"), None], chat("c\r\n"))  # type: ignore[list-item]
    before = pa.concat_tables([whole.slice(1, 1), whole.slice(2)])
    kept = apply(before).kept
    assert kept.column("messages").to_pylist()[1][1] is None
    assert [turns[0]["content"] for turns in kept.column("messages").to_pylist()] == ["a", "b", "c"]


def test_clean_rows_and_no_rows_pass_unchanged() -> None:
    clean = chats(chat("a", "b"))
    assert apply(clean).kept is clean
    assert apply(clean.slice(0, 0)).notes == {}


@settings(max_examples=50, deadline=None)
@given(TABLES, st.integers(0, 5))
def test_laws(before: pa.Table, cut: int) -> None:
    outcome = apply(before)
    conserved(before, outcome)
    same_in_parts(before, min(cut, len(before)), apply)
    again = apply(outcome.kept)
    assert again.kept.equals(outcome.kept)
    assert again.notes == {}


@pytest.mark.parametrize(
    ("regime", "expected"),
    [
        ("sft", "ba38cecd4857ffeac8cb19f08de581167b4e342742dc6735d42f8b5c0f860add"),
        ("preference", "2c39ca05d703f401dc7b18ad1d856aa000000000000000000000000000000000"),
        ("rlvr", "4d9070430add67bbcfc61d96e45b14e800000000000000000000000000000000"),
    ],
)
def test_golden(regime: str, expected: str) -> None:
    """When this fails on purpose, raise Normalize.version with it."""
    assert STEP.version == 1
    outcome = apply(GOLDEN[regime], regime)
    assert digest(outcome.kept) + digest(outcome.rejects) == expected
