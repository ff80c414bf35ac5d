"""Tool calls and tool lists: from objects, or from JSON text held in strings.

A call is {"name", "arguments"} or {"id", "function": {"name", "arguments"}}; arguments are an object or JSON text, and
absent or empty arguments are {}. Text that is not JSON is a fault of its message, never silently kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.kernels import tape_ops
from ingot.kernels.json_tokens import ARRAY, NULL, OBJECT, STRING
from ingot.schema.convert.batch import Batch
from ingot.schema.convert.turns import CALLS
from ingot.schema.cursor import Cursor, Ints, Mask, cut, is_text, parse
from ingot.schema.records import TOOL_CALL

Fault = Callable[[Ints, str, Callable[[int], dict[str, object]]], None]
_EMPTY_ARGUMENTS = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Tool calls, each owned by a message; owners ascend."""

    owner: Ints
    id: pa.StringArray
    name: pa.StringArray
    arguments: pa.StringArray


def from_values(calls: Cursor, owner: Ints, fault: Fault, path: str) -> Calls:
    """Calls from their values. fault(places, reason, evidence) reports bad ones by their place among these."""
    kinds = calls.kinds()
    _report(fault, kinds != OBJECT, "wrong_type", lambda k: _seen(path, calls, k, "a tool call object"))
    inner = calls.member("function")
    has_inner = inner.kinds() == OBJECT
    function = Cursor(calls.tape, np.where(has_inner, inner.nodes, calls.nodes))
    name = function.member("name")
    _report(fault, (kinds == OBJECT) & ~is_text(name), "missing_field", lambda k: _seen(f"{path}.name", name, k))
    arguments, _ = function.first(("arguments", "parameters"))
    return Calls(
        owner=owner, id=calls.member("id").scalar(), name=name.text(),
        arguments=_arguments(arguments, fault, f"{path}.arguments"),
    )  # fmt: skip


def from_map(values: Cursor, owner: Ints) -> Calls:
    """Calls written as {"name": {arguments}}: one per member."""
    members, offsets = values.children()
    return Calls(
        owner=np.repeat(owner, np.diff(offsets)), id=pa.nulls(len(members), pa.string()),
        name=tape_ops.keys(members.tape, members.nodes), arguments=members.raw(),
    )  # fmt: skip


def from_texts(texts: pa.StringArray, owner: Ints, fault: Fault, path: str) -> Calls:
    """Calls from JSON text: one object or a list of objects per text."""
    value = parse(texts)
    kinds = value.kinds()
    bad = (kinds != OBJECT) & (kinds != ARRAY)
    _report(fault, bad, "bad_json_in_string", lambda k: {"path": path, "value": cut(texts[k].as_py())})
    calls, source = flatten(value)
    return from_values(calls, owner[source], lambda places, *rest: fault(source[places], *rest), path)


def flatten(values: Cursor) -> tuple[Cursor, Ints]:
    """Objects, and the elements of arrays, in order; and which value each came from."""
    kinds = values.kinds()
    single = np.flatnonzero(kinds == OBJECT)
    elements, offsets = values.where(kinds == ARRAY).children()
    source = np.repeat(np.arange(len(values)), np.diff(offsets))
    if not len(single):
        return elements, source
    order = np.argsort(both := np.concatenate([source, single]), kind="stable")
    return Cursor(values.tape, np.concatenate([elements.nodes, values.nodes[single]])[order]), both[order]


def attach(groups: Sequence[Calls], messages: int) -> pa.ListArray | None:
    """The tool_calls column of so many messages; null where a message has none."""
    groups = [group for group in groups if len(group.owner)]
    if not groups:
        return None
    owner = np.concatenate([group.owner for group in groups])
    order = pa.array(np.argsort(owner, kind="stable"))
    columns = [pa.concat_arrays([getattr(group, name) for group in groups]).take(order) for name in TOOL_CALL.names]
    counts = np.bincount(owner, minlength=messages)
    offsets = np.zeros(messages + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    structs = pa.StructArray.from_arrays(columns, fields=list(TOOL_CALL))
    return pa.ListArray.from_arrays(pa.array(offsets), structs, type=CALLS, mask=pa.array(counts == 0))


def _arguments(values: Cursor, fault: Fault, path: str) -> pa.StringArray:
    """JSON text of arguments, checked where it was a string."""
    kinds = values.kinds()
    text = kinds == STRING
    result = values.where(~text & (kinds != NULL)).raw()
    if text.any():
        strings = values.text()
        empty = text & np.array(pc.equal(pc.fill_null(pc.binary_length(strings), 1), 0))
        bad = text & ~empty & (parse(strings).nodes < 0)
        _report(fault, bad, "bad_json_in_string", lambda k: {"path": path, "value": cut(strings[k].as_py())})
        result = pc.coalesce(pc.if_else(pa.array(empty), None, strings), result)
    _report(
        fault, (kinds != 0) & (kinds != NULL) & ~text & (kinds != OBJECT) & (kinds != ARRAY), "wrong_type",
        lambda k: _seen(path, values, k, "an object or JSON text"),
    )  # fmt: skip
    return pc.fill_null(result, _EMPTY_ARGUMENTS)


def tools_column(batch: Batch, found: Cursor, path: str = "tools") -> pa.StringArray:
    """The list of tools as JSON text, from a list or from a string that holds one; empty text is no tools."""
    kinds = found.kinds()
    if not ((kinds != 0) & (kinds != NULL)).any():
        return pa.nulls(len(found), pa.string())
    lists = found.where(kinds == ARRAY).raw()
    batch.wrong(found, (kinds != 0) & (kinds != NULL) & (kinds != ARRAY) & (kinds != STRING), path, "a list of tools")
    text = kinds == STRING
    if not text.any():
        return lists
    strings = found.text()
    filled = text & ~np.array(pc.equal(pc.fill_null(pc.binary_length(strings), 0), 0))
    inner = parse(strings)
    batch.faults.add_where(
        filled & (inner.nodes < 0), "bad_json_in_string",
        lambda unit: {"path": path, "value": cut(strings[unit].as_py())},
    )  # fmt: skip
    batch.wrong(inner, filled & (inner.nodes >= 0) & (inner.kinds() != ARRAY), path, "a list of tools")
    return pc.coalesce(pc.if_else(pa.array(filled), strings, None), lists)


def _report(fault: Fault, mask: Mask, reason: str, evidence: Callable[[int], dict[str, object]]) -> None:
    places = np.flatnonzero(mask)
    if len(places):
        fault(places, reason, lambda k: evidence(int(places[k])))


def _seen(path: str, found: Cursor, k: int, expected: str | None = None) -> dict[str, object]:
    evidence: dict[str, object] = {"path": path, "value": found.value(k)}
    return evidence if expected is None else {**evidence, "expected": expected}
