"""Multi-part content: a list of typed parts becomes text, reasoning and tool calls, and is kept whole as JSON text.

Text parts are joined without a separator, as chat templates join them. Parts of other kinds (images, audio) are left
in the JSON. Text is null only where a message has parts of other kinds and no text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.kernels.json_tokens import NULL, OBJECT, STRING
from ingot.schema.convert import calls
from ingot.schema.cursor import Cursor, Ints, Mask

_TEXT = pa.array(["text", "input_text", "output_text"])
_REASONING = pa.array(["reasoning", "thinking"])
_CALL = pa.array(["tool_call", "function_call"])
_READ = frozenset([*_TEXT.to_pylist(), *_REASONING.to_pylist(), *_CALL.to_pylist()])
_KEYS = ("text", "value", "content", "reasoning", "thinking")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """One entry per list of parts."""

    content: pa.StringArray
    reasoning: pa.StringArray
    parts: pa.StringArray
    calls: calls.Calls


def joined(lists: Cursor, fault: calls.Fault, path: str) -> Joined:
    """Read lists of parts; fault(places, reason, evidence) reports bad ones by the place of their list."""
    parts, offsets = lists.children()
    owner = np.repeat(np.arange(len(lists)), np.diff(offsets))
    number = np.arange(len(parts)) - offsets[owner]
    kinds = parts.kinds()
    label_at = parts.member("type")
    label = label_at.text()
    plain, objects = kinds == STRING, kinds == OBJECT
    text_at, _ = parts.first(_KEYS)
    untyped = objects & (label_at.nodes < 0) & (text_at.kinds() == STRING)
    is_text = plain | untyped | _among(label, _TEXT)
    is_reasoning, is_call = _among(label, _REASONING), _among(label, _CALL)

    def report(mask: Mask, reason: str, found: Cursor) -> None:
        places = np.flatnonzero(mask)
        if len(places):
            fault(
                owner[places], reason,
                lambda k: {"path": f"{path}[{int(number[places[k]])}]", "value": found.value(int(places[k]))},
            )  # fmt: skip

    report(~plain & ~objects, "wrong_type", parts)
    wanted = (is_text & ~plain) | is_reasoning
    at_kinds = text_at.kinds()
    report(wanted & ((at_kinds == 0) | (at_kinds == NULL)), "missing_field", parts)
    report(wanted & (at_kinds != 0) & (at_kinds != NULL) & (at_kinds != STRING), "wrong_type", text_at)
    words = Cursor(parts.tape, np.where(plain, parts.nodes, text_at.nodes)).text()
    groups = [_calls(parts, text_at, np.flatnonzero(is_call), owner, fault, path)]
    other = np.bincount(owner[~is_text & ~is_reasoning], minlength=len(lists)) > 0
    content = _join(words, is_text, owner, len(lists))
    empty = np.array(pc.equal(pc.binary_length(content), 0))
    reasoning = _join(words, is_reasoning, owner, len(lists))
    none = np.bincount(owner[is_reasoning], minlength=len(lists)) == 0
    return Joined(
        content=pc.if_else(pa.array(empty & other), pa.scalar(None, pa.string()), content),
        reasoning=pc.if_else(pa.array(none), pa.scalar(None, pa.string()), reasoning),
        parts=lists.raw(), calls=groups[0],
    )  # fmt: skip


def unread(parts: str) -> str | None:
    """The type of the first part (of a list as JSON text) that is not in content, reasoning or tool_calls; None if
    all are.
    """
    for part in json.loads(parts):
        if isinstance(part, dict):
            kind = part.get("type")
            if kind not in _READ and not (kind is None and any(isinstance(part.get(key), str) for key in _KEYS)):
                return str(kind)
    return None


def _calls(parts: Cursor, text_at: Cursor, which: Ints, owner: Ints, fault: calls.Fault, path: str) -> calls.Calls:
    """Calls of parts: JSON text in the part, or the part itself as a call."""
    texts = text_at.take(which)
    as_text = texts.kinds() == STRING
    text_places, object_places = which[as_text], which[~as_text]

    def at(places: Ints) -> calls.Fault:
        return lambda k, *rest: fault(owner[places[k]], *rest)

    first = calls.from_texts(texts.take(np.flatnonzero(as_text)).text(), owner[text_places], at(text_places), path)
    second = calls.from_values(parts.take(object_places), owner[object_places], at(object_places), path)
    merged = np.concatenate([first.owner, second.owner])
    order = np.argsort(merged, kind="stable")
    columns = {
        name: pa.concat_arrays([getattr(first, name), getattr(second, name)]).take(pa.array(order))
        for name in ("id", "name", "arguments")
    }
    return calls.Calls(owner=merged[order], **columns)


def _among(labels: pa.StringArray, names: pa.StringArray) -> Mask:
    return np.array(pc.is_in(labels, value_set=names))


def _join(words: pa.StringArray, mask: Mask, owner: Ints, size: int) -> pa.StringArray:
    """The texts under the mask, one after another per owner; "" where there is none."""
    offsets = np.zeros(size + 1, np.int32)
    np.cumsum(np.bincount(owner[mask], minlength=size), out=offsets[1:])
    chosen = pc.fill_null(words.take(pa.array(np.flatnonzero(mask))), "")
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), chosen), "")
