"""Classes, `train_on` and labels."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from ingot.errors import GoldError
from ingot.gold.node import Trained
from ingot.gold.segments import CLASS_NAMES, PAD, TEMPLATE, TRAIN_ON, labels, trainable


def names(train_on: tuple[str, ...]) -> set[str]:
    return {CLASS_NAMES[i] for i in np.flatnonzero(trainable(train_on))}


@pytest.mark.parametrize(
    ("train_on", "expected"),
    [
        (("assistant",), {"assistant", "thinking", "tool_call", "end_of_turn"}),
        (("content",), {"assistant", "end_of_turn"}),
        (("thinking",), {"thinking"}),
        (("tool_call", "end_of_turn"), {"tool_call", "end_of_turn"}),
        (("assistant", "user"), {"assistant", "thinking", "tool_call", "end_of_turn", "user"}),
    ],
)
def test_train_on_names_classes(train_on: tuple[str, ...], expected: set[str]) -> None:
    assert names(train_on) == expected


def test_default_is_assistant_and_template_and_pad_are_never_trained() -> None:
    assert (trainable() == trainable(("assistant",))).all()
    everything = trainable(tuple(TRAIN_ON))
    assert not everything[PAD]
    assert not everything[TEMPLATE]
    assert everything.sum() == len(CLASS_NAMES) - 2


@pytest.mark.parametrize("train_on", [(), ("asistant",), ("assistant", "template")])
def test_unknown_or_empty_train_on_is_refused(train_on: tuple[str, ...]) -> None:
    with pytest.raises(GoldError) as caught:
        trainable(train_on)
    assert caught.value.code == "E610"
    assert (train_on[-1] if train_on else "empty") in str(caught.value)


def test_labels_keep_trained_tokens_in_place() -> None:
    tokens, segments = np.arange(10, 19, dtype=np.int32), np.arange(9, dtype=np.uint8)
    out = labels(tokens, segments, trainable())
    assert out.dtype == np.int32
    assert out.tolist() == [-100, -100, -100, -100, 14, 15, 16, -100, 18]


def test_the_configuration_offers_what_there_is_to_train_on() -> None:
    assert set(get_args(Trained)) == set(TRAIN_ON)
