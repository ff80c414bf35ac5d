r"""The built-in ChatML template, rendered from Arrow columns without a Python loop over rows.

    <|im_start|>{role}\n{content}<|im_end|>\n                                 every turn
    <think>\n{reasoning}\n</think>\n\n                                         before the content of an assistant turn
    <tool_call>\n{"name": ..., "arguments": ...}\n</tool_call>               after it, one per call, a newline between

A tool result is a turn of role `tool`. The tools list stands in the system turn, after its content and a blank line (a
system turn is made when there is none), between <tools> tags in a fixed wording: kernels/segments.py, chatml_constants.
A document starts with BOS when the tokenizer itself would add one. JSON of arguments and tools is written as it came.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.errors import GoldError
from ingot.kernels.segments import ROLE_CODES, chatml_constants, render_chatml

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingot.gold.tokenizer import Tokenizer

Problem = tuple[str, dict[str, Any]]  # reason, evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Which messages make which document: messages[order[at[d]:at[d + 1]]].

    messages: struct array; tools: JSON texts; tool_row[d]: index into tools or -1; respond[d]: number of leading prompt
    messages, or -1 when the document is not split; generate[d]: end with the header that opens an assistant turn.
    """

    messages: pa.StructArray
    tools: pa.StringArray
    order: NDArray[np.int64]
    at: NDArray[np.int64]
    tool_row: NDArray[np.int64]
    respond: NDArray[np.int64]
    generate: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.at) - 1

    def slice(self, start: int, stop: int) -> Documents:
        """Documents start to stop, over the same messages."""
        low, high = self.at[start], self.at[stop]
        return Documents(messages=self.messages, tools=self.tools, order=self.order[low:high],
                         at=self.at[start:stop + 1] - low, tool_row=self.tool_row[start:stop],
                         respond=self.respond[start:stop], generate=self.generate[start:stop])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """Text of documents with a class per byte (kernels/segments.py); document d is data[offsets[d]:offsets[d + 1]].

    boundary[d]: where the response begins, from the document's start, -1 when not split; problems: document -> why it
    cannot be used; notes: counters for the funnel.
    """

    data: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    boundary: NDArray[np.int64]
    problems: dict[int, Problem] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def texts(self, start: int, stop: int) -> list[str]:
        """Documents start to stop as strings."""
        at = self.offsets[start:stop + 1]
        array = pa.LargeStringArray.from_buffers(stop - start, pa.py_buffer(at), pa.py_buffer(self.data))
        texts: list[str] = array.to_pylist()
        return texts

    def text(self, d: int) -> str:
        return self.texts(d, d + 1)[0]


def whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as one array; combine_chunks would copy a single chunk."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def utf8(array: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes and int64 offsets of a string array; null is empty."""
    array = whole(array)
    if array.null_count:
        array = pc.fill_null(array, "")
    wide = pa.types.is_large_string(array.type)
    _, offsets, data = array.buffers()
    if offsets is None or len(array) == 0:
        return np.empty(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    at = np.frombuffer(offsets, np.int64 if wide else np.int32)[array.offset:array.offset + len(array) + 1]
    values = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return values, at.astype(np.int64)


def list_parts(array: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Flat values and int64 offsets of a list array; null is empty."""
    array = whole(array)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    at = np.zeros(len(array) + 1, np.int64)
    np.cumsum(lengths, out=at[1:])
    return array.flatten(), at


class ChatmlPool:
    """Messages of a table unpacked once into buffers; renders any documents over them."""

    def __init__(self, messages: pa.StructArray, tools: pa.StringArray, tokenizer: Tokenizer) -> None:
        missing = [token for token in ("<|im_start|>", "<|im_end|>") if token not in tokenizer.specials]
        if missing:
            raise GoldError("E604", f"chatml writes {missing[0]!r}, which is no control token of this tokenizer",
                            where="gold.template",
                            next="write template: tokenizer, or add the token to tokenizer.json as a special token")
        fields = dict(zip((f.name for f in messages.type), messages.flatten(), strict=True))
        codes = pc.index_in(fields["role"], value_set=pa.array(ROLE_CODES))
        self.roles = pc.fill_null(codes, 255).to_numpy(zero_copy_only=False).astype(np.uint8)
        self._role_names = fields["role"]
        calls, calls_at = list_parts(fields["tool_calls"])
        parts = dict(zip((f.name for f in calls.type), calls.flatten(), strict=True))
        arguments = pc.if_else(pc.equal(pc.fill_null(parts["arguments"], ""), ""), "{}", parts["arguments"])
        self._buffers = (self.roles, *utf8(fields["content"]), *utf8(fields["reasoning"]), calls_at,
                         *utf8(_quoted(parts["name"])), *utf8(arguments))
        self._tools = utf8(tools)
        self._fixed = chatml_constants(tokenizer.added_bos)

    def render(self, docs: Documents) -> Rendering:
        """Text and classes of documents; an unknown role or a response that is no assistant turn is a problem."""
        bad = np.flatnonzero(self.roles[docs.order] == 255)
        problems: dict[int, Problem] = {}
        order, at, generate = docs.order, docs.at, docs.generate
        for i in bad:
            d = int(np.searchsorted(at, i, side="right")) - 1
            role = self._role_names[int(order[i])].as_py()
            problems.setdefault(d, ("template_error", {"message": f"chatml has no role {role!r}"}))
        if problems:  # such documents are rendered empty
            keep = np.ones(len(docs), np.bool_)
            keep[list(problems)] = False
            order, at = order[np.repeat(keep, np.diff(at))], np.concatenate([[0], np.cumsum(np.diff(at) * keep)])
            generate = generate & keep
        tool_row = docs.tool_row.copy()
        tool_row[list(problems)] = -1
        data, classes, offsets, boundary = render_chatml(
            (order, at.astype(np.int64), tool_row, docs.respond, generate), self._buffers, self._tools, self._fixed)
        for lost in np.flatnonzero((docs.respond >= 0) & (boundary < 0)).tolist():
            problems.setdefault(lost, ("prompt_not_prefix", {"message": "the response does not start with an assistant turn"}))
        return Rendering(data=data, classes=classes, offsets=offsets, boundary=boundary, problems=problems)


_ESCAPED = r'[\x00-\x1f"\\]'


def _quoted(names: pa.Array) -> pa.Array:
    """Names as JSON strings; the rare ones that need escapes one by one."""
    names = pc.fill_null(names, "")
    quoted = pc.binary_join_element_wise('"', names, '"', "")
    odd = pc.match_substring_regex(names, _ESCAPED)
    if not pc.any(odd, min_count=0).as_py():
        return quoted
    rows = quoted.to_pylist()
    for i, name in enumerate(names.to_pylist()):
        if re.search(_ESCAPED, name):
            rows[i] = json.dumps(name, ensure_ascii=False)
    return pa.array(rows, pa.string())
