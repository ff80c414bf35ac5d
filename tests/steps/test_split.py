"""`split`: shares, what stays together, and that a row's side depends on nothing else."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.steps.records import GOLDEN, chat, chats, conserved, context, digest, row, same_in_parts, table, turn

from ingot.core.step import Outcome
from ingot.errors import StepError
from ingot.steps.split import Split, SplitConfig


def apply(before: pa.Table, regime: str = "sft", **config: object) -> Outcome:
    return Split(SplitConfig.model_validate({"validation": 0.5, **config})).apply(before, context(regime))


def sides(before: pa.Table, regime: str = "sft", **config: object) -> list[str]:
    found: list[str] = apply(before, regime, **config).kept.column("split").to_pylist()
    return found


def many(n: int) -> pa.Table:
    return chats(*(chat(f"question {i}", "answer") for i in range(n)))


def test_shares_are_met() -> None:
    found = sides(many(20_000), validation=0.1, test=0.05)
    assert set(found) == {"train", "validation", "test"}
    assert abs(found.count("validation") / 20_000 - 0.1) < 0.01
    assert abs(found.count("test") / 20_000 - 0.05) < 0.01


def test_another_seed_is_another_split_and_a_larger_share_keeps_the_smaller() -> None:
    before = many(2000)
    base, other = sides(before, validation=0.2), sides(before, validation=0.2, seed=1)
    both = sum(a == b == "validation" for a, b in zip(base, other, strict=True))
    assert 40 < both < 130  # 0.2 * 0.2 * 2000 = 80 when independent
    more = sides(before, validation=0.3)
    assert all(b == "validation" for a, b in zip(base, more, strict=True) if a == "validation")


def test_answers_to_one_prompt_stay_together_whatever_surrounds_them() -> None:
    asked = [
        chat("What  is\n2+2?", "4"),
        chat("what is 2+2?", "5", "sure?", "no"),
        [turn("system", "Be kind."), *chat("What is 2+2? ", "4")],
    ]
    for seed in range(20):
        assert len(set(sides(chats(*asked), seed=seed))) == 1
    other = [sides(chats(chat("What is 2-2?"), asked[0]), seed=seed) for seed in range(20)]
    assert any(a != b for a, b in other)


def test_one_prompt_has_one_side_in_all_regimes() -> None:
    for seed in range(10):
        found = {
            *sides(chats(chat("2+2?", "4")), seed=seed),
            *sides(table([row(1, "rlvr", prompt=chat("2+2?"), answer="4")], "rlvr"), "rlvr", seed=seed),
            *sides(
                table([row(1, "preference", prompt=chat("2+2?"), chosen=chat("4", first="assistant"))], "preference"),
                "preference",
                seed=seed,
            ),
        }
        assert len(found) == 1


def test_records_without_a_question_are_not_one_group() -> None:
    before = chats(*(chat(f"monologue {i}", first="assistant") for i in range(200)))
    assert 60 < sides(before).count("validation") < 140


def test_key_source_id_and_fields_of_meta() -> None:
    rows = [row(i, messages=chat(f"q{i}"), meta='{"doc": {"id": 7}, "n": 1.0}') for i in range(50)]
    before = table([*rows, row(99, messages=chat("q99"), meta=None), row(100, messages=chat("q"), source_id=None)])
    for key in ("meta.doc.id", "meta.n"):
        outcome = apply(before, key=key)
        assert len(set(outcome.kept["split"].to_pylist()[:50])) == 1
        assert outcome.notes == {"rows_without_key": 2}
    outcome = apply(before, key="source_id")
    assert len(set(outcome.kept["split"].to_pylist())) == 2
    assert outcome.notes == {"rows_without_key": 1}
    assert sides(before.slice(51), key="source_id") == sides(before.slice(51))  # without the field: by prompt


def test_conversation_key_separates_answers() -> None:
    before = chats(*(chat("same question", f"answer {i}") for i in range(100)))
    assert len(set(sides(before))) == 1
    assert len(set(sides(before, key="conversation"))) == 2


def test_a_second_split_is_refused() -> None:
    with pytest.raises(StepError, match="E414"):
        apply(apply(many(3)).kept)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"validation": 0},
        {"validation": 0.6, "test": 0.4},
        {"validation": 1.0},
        {"validation": 0.1, "key": "meta."},
        {"validation": 0.1, "key": "answer"},
        {"valid": 0.1},
        {"validation": 0.1, "seed": -1},
    ],
)
def test_configs_that_cannot_be_meant(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SplitConfig.model_validate(config)


def test_names() -> None:
    assert SplitConfig(test=0.1).names() == ["train", "test"]
    assert SplitConfig(test=0.1, validation=0.1).names() == ["train", "validation", "test"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.text("ab ", max_size=4) | st.none(), max_size=3), max_size=8), st.integers(0, 8), st.randoms()
)
def test_laws(texts: list[list[str | None]], cut: int, rng: object) -> None:
    before = chats(*(chat(*one) for one in texts))
    outcome = apply(before)
    conserved(before, outcome)
    assert len(outcome.rejects) == 0
    same_in_parts(before, min(cut, len(before)), apply)
    order = list(range(len(before)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    shuffled = before.take(pa.array(order, pa.int64()))
    assert sides(shuffled) == [outcome.kept["split"][i].as_py() for i in order]


@pytest.mark.parametrize(
    ("regime", "expected"),
    [
        ("sft", "b910c272a03637627b5b074cc2b902fc"),
        ("preference", "5a699d6de6f44cfcd71072c428399277"),
        ("rlvr", "faf634d706102a1abb08fe635d7ad4fe"),
    ],
)
def test_golden(regime: str, expected: str) -> None:
    """When this fails on purpose, raise Split.version with it: a stored split must not move."""
    assert Split.version == 1
    assert digest(apply(GOLDEN[regime], regime, validation=0.3, test=0.3, seed=4).kept) == expected
