"""Segment classes of tokens, and labels derived from them.

One class per token is stored, never a mask, so that what is trained is chosen when the data is read. `trainable` turns
`train_on` into a table of 256 flags; `labels` applies it. Names in `train_on`:

    assistant    everything the model writes: text, thinking, tool calls and the end of its turns (the default)
    content      the assistant's text and the end of its turns, neither thinking nor tool calls
    thinking     thinking with its tags, nothing else
    tool_call    tool calls with their tags, nothing else
    end_of_turn  the terminator of assistant turns, to be added to `thinking` or `tool_call` used alone
    system, user, tool_output   the content of those turns; their terminators belong to the template, which is never trained
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingot.errors import GoldError
from ingot.kernels.segments import (
    ASSISTANT,
    CLASS_NAMES,
    END_OF_TURN,
    PAD,
    SYSTEM,
    TEMPLATE,
    THINKING,
    TOOL_CALL,
    TOOL_OUTPUT,
    USER,
    mask_labels,
)

__all__ = [
    "ASSISTANT",
    "CLASS_NAMES",
    "END_OF_TURN",
    "PAD",
    "SYSTEM",
    "TEMPLATE",
    "THINKING",
    "TOOL_CALL",
    "TOOL_OUTPUT",
    "TRAIN_ON",
    "UNTRAINED",
    "USER",
    "labels",
    "trainable",
]

UNTRAINED = -100
TRAIN_ON: dict[str, tuple[int, ...]] = {
    "assistant": (ASSISTANT, THINKING, TOOL_CALL, END_OF_TURN),
    "content": (ASSISTANT, END_OF_TURN),
    "thinking": (THINKING,),
    "tool_call": (TOOL_CALL,),
    "end_of_turn": (END_OF_TURN,),
    "system": (SYSTEM,),
    "user": (USER,),
    "tool_output": (TOOL_OUTPUT,),
}


def trainable(train_on: Sequence[str] = ("assistant",)) -> NDArray[np.bool_]:
    """The table class -> trained? for the names in `train_on`; E610 for an unknown name or none at all."""
    unknown = [name for name in train_on if name not in TRAIN_ON]
    if unknown or not train_on:
        what = f"train_on names {unknown[0]!r}" if unknown else "train_on is empty"
        raise GoldError("E610", f"{what}; known names: {', '.join(TRAIN_ON)}", where="gold.train_on",
                        next="write train_on: [assistant] in ingot.yaml")
    table = np.zeros(256, np.bool_)
    for name in train_on:
        table[list(TRAIN_ON[name])] = True
    return table


def labels(tokens: NDArray[np.int32], segments: NDArray[np.uint8], table: NDArray[np.bool_]) -> NDArray[np.int32]:
    """tokens where their class is trained, -100 elsewhere; not shifted."""
    out: NDArray[np.int32] = mask_labels(tokens, segments, table)
    return out
