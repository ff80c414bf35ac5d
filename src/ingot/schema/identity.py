"""Keys of records: what makes two of them the same conversation, the same prompt, or the same prompt and answer.

A turn counts with its role, content, reasoning, multi-part content and tool calls (names and arguments, not their ids);
a record with its turns in order and its tools. Texts are compared under the exact folding of `kernels.keys`: white
space inside lines and blank lines do not count; case, digits, signs, line breaks and indentation do.
  conversation    every turn; of a preference also which answer was chosen; of an rlvr record also the ground truth
  prompt          sft: the turns before the first answer; else the prompt
  prompt+answer   sft: the turns up to and with the first answer; preference and rlvr: as conversation
A record without a prompt has its whole conversation in its place.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ingot.kernels.keys import Fold, Keys, joint_keys, mark, sequence_keys, text_keys
from ingot.schema.records import DEFAULT_KEY, Key
from ingot.schema.turns import Bools, Turns, message_turns, offsets_of, one

__all__ = ["ANSWER", "DEFAULT_KEY", "Key", "column_keys", "record_keys", "row_keys", "turn_keys"]

ANSWER = ("verifier", "answer", "verifier_args")


def turn_keys(turns: Turns, fold: Fold = "exact") -> Keys:
    """The key of each turn."""
    calls = turns.field("tool_calls")
    parts = dict(zip([field.name for field in calls.type.value_type], calls.flatten().flatten(), strict=True))
    call = joint_keys(text_keys(parts["name"], fold), text_keys(parts["arguments"], fold))
    texts = [text_keys(turns.field(name), fold) for name in ("role", "content", "reasoning", "parts")]
    return joint_keys(*texts, sequence_keys(call, offsets_of(calls)))


def row_keys(turns: Turns, keys: Keys, only: Bools | None = None) -> Keys:
    """The key of each row's turns, or of those that `only` marks; a null list is unlike an empty one."""
    offsets = turns.offsets
    if only is not None:
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(only)])[offsets]
        keys = keys[only]
    return mark(sequence_keys(keys, offsets), turns.null)


def column_keys(table: pa.Table, names: tuple[str, ...]) -> list[Keys]:
    """The key of each text column that the table has."""
    return [text_keys(one(table.column(name)), "exact") for name in names if name in table.column_names]


def record_keys(table: pa.Table, regime: str, key: Key) -> tuple[Keys, Keys, Keys]:
    """(prompt, whole, flipped) keys of each row; flipped is zero where there is no pair to flip."""
    columns = message_turns(table, regime)
    tools = column_keys(table, ("tools",))
    none = np.zeros((len(table), 2), np.uint64)
    if regime == "sft":
        turns = columns["messages"]
        each, wrote = turn_keys(turns), turns.is_role("assistant")
        asked = turns.before(wrote)
        whole, opening = row_keys(turns, each), row_keys(turns, each, asked)
        silent = np.diff(np.concatenate([np.zeros(1, np.int64), np.cumsum(asked)])[turns.offsets]) == 0
        prompt = joint_keys(np.where(silent[:, None], whole, opening), *tools)  # no prompt is nobody's prompt
        if key == "prompt":
            return prompt, prompt, none
        # up to the first answer: the turns before it, and the assistant turns with no other turn since the prompt
        only = None if key == "conversation" else asked | (wrote & turns.before(~wrote & ~asked))
        return prompt, joint_keys(row_keys(turns, each, only), *tools), none
    sides = {name: row_keys(turns, turn_keys(turns)) for name, turns in columns.items()}
    prompt = joint_keys(sides["prompt"], *tools)
    if key == "prompt":
        return prompt, prompt, none
    if regime == "preference":
        flip = joint_keys(prompt, sides["rejected"], sides["chosen"])
        return prompt, joint_keys(prompt, sides["chosen"], sides["rejected"]), flip
    return prompt, joint_keys(prompt, *column_keys(table, ANSWER)), none
