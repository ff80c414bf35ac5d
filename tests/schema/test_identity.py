"""Keys of records; what they tell apart in use is in tests/steps/test_exact_dedup.py."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.steps.records import GOLDEN, chat, chats, row, table

from ingot.schema.identity import DEFAULT_KEY, record_keys
from ingot.schema.records import REGIMES


@pytest.mark.parametrize("regime", REGIMES)
def test_a_key_depends_on_its_own_row(regime: str) -> None:
    whole = record_keys(GOLDEN[regime], regime, DEFAULT_KEY[regime])
    for i in range(len(GOLDEN[regime])):
        alone = record_keys(GOLDEN[regime].slice(i, 1), regime, DEFAULT_KEY[regime])
        for together, single in zip(whole, alone, strict=True):
            assert np.array_equal(together[i], single[0])


@pytest.mark.parametrize("regime", REGIMES)
def test_no_rows(regime: str) -> None:
    for keys in record_keys(GOLDEN[regime].slice(0, 0), regime, "prompt"):
        assert keys.shape == (0, 2)


def test_the_flipped_key_is_the_key_of_the_swapped_pair() -> None:
    prompt, own, flip = record_keys(GOLDEN["preference"].slice(0, 2), "preference", "prompt+answer")
    assert np.array_equal(own[0], flip[1])
    assert np.array_equal(own[1], flip[0])
    assert np.array_equal(prompt[0], prompt[1])


def test_prompt_of_a_conversation_is_what_comes_before_the_first_answer() -> None:
    prompt, own, _ = record_keys(chats(chat("q", "a"), chat("q", "b", "c"), chat("r", "a")), "sft", "conversation")
    assert np.array_equal(prompt[0], prompt[1])
    assert not np.array_equal(prompt[0], prompt[2])
    assert len({key.tobytes() for key in own}) == 3


def test_missing_tools_column_is_allowed() -> None:
    with_tools = table([row(1, messages=chat("q"))])
    without = pa.Table.drop_columns(with_tools, ["tools"])
    assert record_keys(without, "sft", "prompt")[0].shape == (1, 2)
