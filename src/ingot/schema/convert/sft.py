"""Conversations: OpenAI messages, ShareGPT, Alpaca, prompt and completion, instances with instructions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.kernels.json_tokens import ARRAY, NULL, OBJECT, STRING
from ingot.schema.convert import dialogue
from ingot.schema.convert.batch import Batch, Converted, finish
from ingot.schema.convert.calls import tools_column
from ingot.schema.convert.messages import OPENAI, SHAREGPT, Shape, read_turns
from ingot.schema.convert.turns import ASSISTANT, SYSTEM, USER, Turns, merge, said
from ingot.schema.cursor import Cursor, Mask, Path, blank, cut
from ingot.schema.cursor import join as join_texts

CHAT_KEYS = ("messages", "conversation", "conversations")
PROMPTS = ("prompt", "question", "instruction", "query", "problem")
INPUTS = ("input", "context")  # what an instruction is about
COMPLETIONS = ("completion", "response", "output", "solution", "answer")
Consumed = dict[str, "Mask | bool"]


def which_keys(keys: Sequence[str], which: np.ndarray) -> Consumed:
    """Consumed masks of `Cursor.first`."""
    return {key: which == k for k, key in enumerate(keys) if (which == k).any()}


def optional_text(batch: Batch, key: str) -> tuple[pa.StringArray | None, Consumed]:
    """A text that may be absent, null or empty, each of which means that there is none."""
    found = batch.root.member(key)
    if not (found.nodes >= 0).any():
        return None, {}
    kinds = found.kinds()
    batch.wrong(found, (kinds != 0) & (kinds != STRING) & (kinds != NULL), key, "a string")
    texts = found.text()
    return (None if texts.null_count == len(texts) else texts), {key: True}


def opened(batch: Batch, turns: Turns) -> tuple[Turns, Consumed]:
    """Turns with the row's own `system` text, if any, before them."""
    system, consumed = optional_text(batch, "system")
    if system is None:
        return turns, consumed
    return merge([said(SYSTEM, system, ~blank(system)), turns]), consumed


def tools_of(batch: Batch) -> tuple[pa.StringArray, Consumed]:
    """The `tools` (or older `functions`) column."""
    keys = ("tools", "functions")
    found, which = batch.root.first(keys)
    return tools_column(batch, found), which_keys(keys, which)


def chat(batch: Batch, shape: Shape, keys: Sequence[str], id_path: Path | None) -> Converted:
    """Rows that hold a list of turns."""
    found, which = batch.field(*keys)
    path = keys[0]
    kinds = found.kinds()
    batch.faults.add_where(kinds == NULL, "missing_field", lambda unit: {"path": path, "value": None})
    turns = read_turns(batch, found.where(kinds == ARRAY), shape, path)
    batch.wrong(found, (kinds != 0) & (kinds != NULL) & (kinds != ARRAY), path, "a list of messages")
    turns, used = opened(batch, turns)
    tools, used_tools = tools_of(batch)
    dialogue.check(batch, turns, path)
    consumed = which_keys(keys, which) | used | used_tools
    return finish(batch, {"messages": turns.lists(len(batch)), "tools": tools}, consumed, id_path)


def openai(batch: Batch, id_path: Path | None) -> Converted:
    return chat(batch, OPENAI, CHAT_KEYS, id_path)


def sharegpt(batch: Batch, id_path: Path | None) -> Converted:
    return chat(batch, SHAREGPT, ("conversations", "conversation", "messages"), id_path)


def asked(batch: Batch, instruction: pa.StringArray, given: Cursor, join: str, path: str = "input") -> pa.StringArray:
    """Instruction and input as one user text; an absent, null or empty input is no input."""
    kinds = given.kinds()
    batch.wrong(given, (kinds != 0) & (kinds != STRING) & (kinds != NULL), path, "a string")
    if not (kinds == STRING).any():
        return instruction
    extra = given.text()
    filled = ~blank(extra)
    if not filled.any():
        return instruction
    # an empty instruction before an input is no instruction
    alone = filled & blank(instruction)
    extra = pc.if_else(pa.array(filled), extra, pa.scalar(None, pa.string()))
    result = join_texts([instruction, extra], join)
    return pc.if_else(pa.array(alone), extra, result) if alone.any() else result


def needed(batch: Batch, texts: pa.StringArray, path: str, reason: str) -> None:
    """Report blank texts."""
    batch.faults.add_where(blank(texts), reason, lambda unit: {"path": path, "value": texts[unit].as_py()})


def alpaca(batch: Batch, id_path: Path | None, join: str) -> Converted:
    """instruction, input (or context), output (or response), system, history: pairs of earlier texts."""
    keys = ("output", "response")
    instruction = batch.text(batch.field("instruction")[0], "instruction")
    output_at, which = batch.field(*keys)
    output = batch.text(output_at, "output")
    given, which_input = batch.root.first(INPUTS)
    user = asked(batch, instruction, given, join)
    needed(batch, user, "instruction", "empty_prompt")
    needed(batch, output, "output", "empty_response")
    parts = [said(USER, user), said(ASSISTANT, output)]
    earlier = _history(batch)
    if earlier is not None:
        parts.insert(0, earlier)
    turns, used = opened(batch, merge(parts))
    tools, used_tools = tools_of(batch)
    if earlier is not None:
        dialogue.check(batch, turns, "history")
    consumed: Consumed = {"instruction": True, "history": True} | which_keys(keys, which) | used | used_tools
    consumed |= which_keys(INPUTS, which_input)
    return finish(batch, {"messages": turns.lists(len(batch)), "tools": tools}, consumed, id_path)


def _history(batch: Batch) -> Turns | None:
    """Alpaca's `history`: a list of [user text, assistant text]."""
    found = batch.root.member("history")
    kinds = found.kinds()
    batch.wrong(found, (kinds != 0) & (kinds != NULL) & (kinds != ARRAY), "history", "a list of pairs")
    pairs, offsets = found.where(kinds == ARRAY).children()
    if not len(pairs):
        return None
    texts, bounds = pairs.children()
    owner = np.repeat(np.arange(len(batch)), np.diff(offsets))
    bad = (np.diff(bounds) != 2) | (pairs.kinds() != ARRAY)
    _pairs_fault(batch, owner, bad, pairs)
    unit = np.repeat(owner, np.diff(bounds))
    _pairs_fault(batch, unit, texts.kinds() != STRING, texts)
    place = np.arange(len(texts)) - np.repeat(bounds[:-1], np.diff(bounds))
    return Turns(
        unit=unit, role=np.where(place == 0, USER, ASSISTANT).astype(np.int8), content=texts.text(),
        place=np.arange(len(texts)) - bounds[offsets[unit]],
    )  # fmt: skip


def _pairs_fault(batch: Batch, owner: np.ndarray, bad: Mask, found: Cursor) -> None:
    index = np.flatnonzero(bad)
    batch.faults.add(
        owner[index], "wrong_type",
        lambda k: {"path": "history", "expected": "pairs of strings", "value": found.value(int(index[k]))},
    )  # fmt: skip


def prompted(batch: Batch, found: Cursor, which: np.ndarray, keys: Sequence[str]) -> tuple[Turns, Consumed]:
    """The prompt under one of the keys, as text or messages; an `instruction` is joined with its input."""
    instructed = which == keys.index("instruction")
    given, which_input = batch.root.first(INPUTS) if instructed.any() else (None, which)
    if given is None or not given.present().any():
        return spoken(batch, found, USER, "prompt", "empty_prompt"), which_keys(keys, which)
    turns = spoken(batch, found, USER, "prompt", "empty_prompt", given=given.where(instructed))
    used = which_keys(INPUTS, np.where(instructed, which_input, -1))
    return turns, which_keys(keys, which) | used


def spoken(
    batch: Batch, found: Cursor, role: int, path: str, empty: str, shape: Shape = OPENAI, given: Cursor | None = None
) -> Turns:
    """A text said by one role, or a list of messages (or one message object)."""
    kinds = found.kinds()
    batch.wrong(
        found, (kinds != 0) & (kinds != NULL) & (kinds != STRING) & (kinds != ARRAY) & (kinds != OBJECT), path,
        "a string or messages",
    )  # fmt: skip
    batch.faults.add_where(kinds == NULL, "missing_field", lambda unit: {"path": path, "value": None})
    is_text = kinds == STRING
    texts = found.text() if given is None else asked(batch, found.text(), given, "\n")
    batch.faults.add_where(
        is_text & blank(texts), empty, lambda unit: {"path": path, "value": cut(texts[unit].as_py())}
    )
    if is_text.all():
        return said(role, texts)
    plain = said(role, texts, is_text)
    listed = read_turns(batch, found.where((kinds == ARRAY) | (kinds == OBJECT)), shape, path)
    counts = np.bincount(listed.unit, minlength=len(batch))
    batch.faults.add_where((kinds == ARRAY) & (counts == 0), empty, lambda unit: {"path": path, "value": "[]"})
    return merge([plain, listed]) if len(plain) else listed


def prompt_completion(batch: Batch, id_path: Path | None) -> Converted:
    """A prompt (or question …) and a completion (or response, answer …), as texts or messages."""
    prompt_at, which_prompt = batch.field(*PROMPTS)
    answer_at, which_answer = batch.field(*COMPLETIONS)
    prompt, used_prompt = prompted(batch, prompt_at, which_prompt, PROMPTS)
    answer = spoken(batch, answer_at, ASSISTANT, "completion", "empty_response")
    turns, used = opened(batch, merge([prompt, answer]))
    tools, used_tools = tools_of(batch)
    dialogue.check(batch, turns, "prompt")
    consumed = used_prompt | which_keys(COMPLETIONS, which_answer) | used | used_tools
    return finish(batch, {"messages": turns.lists(len(batch)), "tools": tools}, consumed, id_path)
