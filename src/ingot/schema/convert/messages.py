"""Lists of turns, in the shapes of OpenAI, ShareGPT or a field map, become flat `Turns`.

Plain turns (an object of a role and a text, nothing else) take the fast path: their other columns stay absent. Only
turns with more in them are looked at for tool calls, reasoning, parts and unknown fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingot.kernels.json_tokens import ARRAY, NULL, OBJECT, STRING
from ingot.schema.convert import calls
from ingot.schema.convert.batch import Batch
from ingot.schema.convert.calls import Calls, Fault
from ingot.schema.convert.parts import joined
from ingot.schema.convert.turns import ASSISTANT, Turns, scatter
from ingot.schema.cursor import Cursor, Ints, Mask, Path, leftover
from ingot.schema.records import ROLES

REASONING = ("reasoning_content", "reasoning", "thinking")
CALL = "call"  # pseudo-role: an assistant turn whose content is the JSON text of its tool calls
_CALL_CODE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Where a turn keeps its parts. roles: the names that occur -> our roles (or CALL).

    content: the first of these paths that has a value; calls: a path with tool calls in any known form.
    """

    role: Path
    content: tuple[Path, ...]
    roles: Mapping[str, str]
    calls: Path | None = None


_OPENAI_ROLES = {role: role for role in ROLES} | {"function": "tool"}
_SHAREGPT_ROLES = _OPENAI_ROLES | {
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "bot": "assistant", "model": "assistant", "function_call": CALL, "tool_call": CALL, "observation": "tool",
    "function_response": "tool", "tool_response": "tool", "ipython": "tool",
}  # fmt: skip
OPENAI = Shape(role=("role",), content=(("content",),), roles=_OPENAI_ROLES)
SHAREGPT = Shape(role=("from",), content=(("value",),), roles=_SHAREGPT_ROLES)


def read_turns(batch: Batch, lists: Cursor, shape: Shape, path: str) -> Turns:
    """The turns of each unit's list (a single object counts as a list of one); faults go to the batch."""
    kinds = lists.kinds()
    batch.wrong(
        lists, (kinds != 0) & (kinds != NULL) & (kinds != ARRAY) & (kinds != OBJECT), path, "a list of messages"
    )
    turns, unit = calls.flatten(lists)
    turns = turns.indexed()
    first = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(np.bincount(unit, minlength=len(lists)), out=first[1:])
    place = np.arange(len(unit)) - first[unit]
    reader = _Reader(batch=batch, turns=turns, unit=unit, place=place, path=path, shape=shape)
    return reader.read()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    batch: Batch
    turns: Cursor
    unit: Ints
    place: Ints
    path: str
    shape: Shape

    def read(self) -> Turns:
        self.fault_where(self.turns.kinds() != OBJECT, "wrong_type", "", self.turns, "a message object")
        role_at = self.turns.walk(self.shape.role)
        role, is_call = self.roles(role_at)
        content_at = self.turns.walk(self.shape.content[0])
        for other in self.shape.content[1:]:
            missing = ~content_at.present()
            if missing.any():
                second = self.turns.where(missing).walk(other)
                content_at = Cursor(self.turns.tape, np.where(second.present(), second.nodes, content_at.nodes))
        content = content_at.text()
        kinds = content_at.kinds()
        # a role and a text and nothing else: object, two scalars
        span = self.turns.tape.skip[self.turns.nodes] - self.turns.nodes if len(self.turns) else self.turns.nodes
        rich = np.flatnonzero((span != 3) | (kinds != STRING) | (role_at.nodes < 0) | is_call)
        plain = Turns(unit=self.unit, role=role, content=content, place=self.place)
        return plain if not len(rich) else self.enrich(plain, rich, content_at, is_call)

    def roles(self, role_at: Cursor) -> tuple[npt.NDArray[np.int8], Mask]:
        names = role_at.text()
        known = list(self.shape.roles)
        target = [self.shape.roles[name] for name in known]
        codes = np.array([_CALL_CODE if name == CALL else ROLES.index(name) for name in target] + [-1], np.int8)
        index = pc.fill_null(pc.index_in(names, value_set=pa.array(known, pa.string())), len(known))
        role = codes[np.asarray(index)]
        bad = role < 0
        if bad.any():
            name = ".".join(map(str, self.shape.role))
            kinds = role_at.kinds()
            objects = self.turns.kinds() == OBJECT
            self.fault_where(bad & objects & ((kinds == 0) | (kinds == NULL)), "missing_field", name, role_at)
            self.fault_where(bad & (kinds != 0) & (kinds != STRING), "wrong_type", name, role_at, "a string")
            self.fault_where(bad & (kinds == STRING), "unknown_role", name, role_at)
        is_call: Mask = role == _CALL_CODE
        return np.where(is_call, np.int8(ASSISTANT), role), is_call

    def enrich(self, plain: Turns, rich: Ints, content_at: Cursor, is_call: Mask) -> Turns:
        """Everything that the turns at `rich` hold besides a role and a text."""
        here, size = self.turns.take(rich).indexed(), len(plain)
        text_at = content_at.take(rich)
        kinds = text_at.kinds()
        path = ".".join(map(str, self.shape.content[0]))
        content = plain.content
        groups: list[Calls] = []
        consumed: dict[str, Mask | bool] = {
            str(p[0]): True for p in (self.shape.role, *self.shape.content) if len(p) == 1
        }
        other = (kinds != 0) & (kinds != NULL) & (kinds != STRING) & (kinds != ARRAY)
        containers = len(self.shape.content) > 1  # a field map that offers alternatives may point at objects
        if containers:
            content = pc.coalesce(
                content, scatter_or(text_at.where((kinds == OBJECT) | (kinds == ARRAY)).raw(), rich, size)
            )
            other &= kinds != OBJECT
        self.fault_where(_spread(other, rich, size), "wrong_type", path, content_at, "a string or a list of parts")
        reasoning, used = self.optional(here, REASONING)
        consumed.update(used)
        parts = None
        lists = np.flatnonzero(kinds == ARRAY) if not containers else np.zeros(0, np.int64)
        if len(lists):
            found = joined(text_at.take(lists), self.at(rich[lists]), path)
            content = pc.coalesce(content, scatter_or(found.content, rich[lists], size))
            reasoning = pc.coalesce(reasoning, scatter_or(found.reasoning, lists, len(rich)))
            parts = scatter(found.parts, rich[lists], size)
            groups.append(_owned(found.calls, rich[lists]))
        call_texts = np.flatnonzero(is_call)
        if len(call_texts):
            texts = content.take(pa.array(call_texts))
            groups.append(calls.from_texts(texts, call_texts, self.at(call_texts), path))
            content = pc.if_else(pa.array(is_call), pa.scalar(None, pa.string()), content)
        more, used = self.found_calls(here, rich)
        groups += more
        consumed.update(used)
        name, used_name = self.optional(here, ("name",))
        call_id, used_id = self.optional(here, ("tool_call_id",))
        consumed.update(used_name | used_id)
        meta = leftover(here, consumed)
        return Turns(
            unit=plain.unit, role=plain.role, content=content, place=plain.place, parts=parts,
            reasoning=scatter(reasoning, rich, size), tool_calls=calls.attach(groups, size),
            tool_call_id=scatter(call_id, rich, size), name=scatter(name, rich, size),
            meta=None if meta is None else scatter(meta, rich, size),
        )  # fmt: skip

    def optional(self, here: Cursor, keys: Sequence[str]) -> tuple[pa.StringArray, dict[str, Mask | bool]]:
        """A text under the first of these keys; a value of another type stays an unknown field."""
        found, which = here.first(keys)
        held = np.isin(found.kinds(), (STRING, NULL))
        return found.text(), {key: held & (which == k) for k, key in enumerate(keys) if (which == k).any()}

    def found_calls(self, here: Cursor, rich: Ints) -> tuple[list[Calls], dict[str, Mask | bool]]:
        """Tool calls in members of their own: tool_calls, the older function_call, or the map's path."""
        groups: list[Calls] = []
        consumed: dict[str, Mask | bool] = {}
        own = () if self.shape.calls is None else (self.shape.calls,)
        for path in dict.fromkeys((("tool_calls",), ("function_call",), *own)):
            found, label = here.walk(path), ".".join(map(str, path))
            kinds = found.kinds()
            there = np.flatnonzero((kinds != 0) & (kinds != NULL))
            if len(there):
                groups += _any_form(found.take(there), rich[there], self.at(rich[there]), label)
            if len(path) == 1 and (kinds != 0).any():
                consumed[str(path[0])] = _lossless(found, np.isin(kinds, (ARRAY, OBJECT, NULL)))
        return groups, consumed

    def at(self, messages: Ints) -> Fault:
        """Report faults of the messages at these places."""

        def fault(places: Ints, reason: str, evidence: Callable[[int], dict[str, object]]) -> None:
            index = messages[places]
            self.batch.faults.add(self.unit[index], reason, lambda k: self.located(int(index[k]), evidence(k)))

        return fault

    def fault_where(self, mask: Mask, reason: str, key: str, found: Cursor, expected: str | None = None) -> None:
        index = np.flatnonzero(mask)

        def evidence(k: int) -> dict[str, object]:
            seen: dict[str, object] = {"path": key, "value": found.value(int(index[k]))}
            return self.located(int(index[k]), seen if expected is None else {**seen, "expected": expected})

        if len(index):
            self.batch.faults.add(self.unit[index], reason, evidence)

    def located(self, message: int, evidence: dict[str, object]) -> dict[str, object]:
        inner = str(evidence.get("path", ""))
        return {**evidence, "path": f"{self.path}[{int(self.place[message])}]{'.' if inner else ''}{inner}"}


def scatter_or(values: pa.StringArray, places: Ints, size: int) -> pa.StringArray:
    """As `scatter`, but always an array."""
    spread = scatter(values, places, size)
    return pa.nulls(size, pa.string()) if spread is None else spread


def _spread(mask: Mask, places: Ints, size: int) -> Mask:
    result: Mask = np.zeros(size, np.bool_)
    result[places] = mask
    return result


def _owned(group: Calls, owners: Ints) -> Calls:
    return Calls(owner=owners[group.owner], id=group.id, name=group.name, arguments=group.arguments)


def _any_form(found: Cursor, owner: Ints, fault: Fault, path: str) -> list[Calls]:
    """Tool calls as a list, an object, an object of name -> arguments, or JSON text."""
    kinds = found.kinds()
    named = (found.member("name").kinds() == STRING) | (found.member("function").kinds() == OBJECT)
    mapped = np.flatnonzero((kinds == OBJECT) & ~named)
    texts = np.flatnonzero(kinds == STRING)
    groups: list[Calls] = []
    others = np.flatnonzero((kinds != OBJECT) & (kinds != STRING) & (kinds != ARRAY))
    if len(others):
        fault(others, "wrong_type", lambda k: {"path": path, "value": found.value(int(others[k]))})
    if len(mapped):
        groups.append(calls.from_map(found.take(mapped), owner[mapped]))
    if len(texts):
        at = lambda places, *rest: fault(texts[places], *rest)  # noqa: E731
        groups.append(calls.from_texts(found.take(texts).text(), owner[texts], at, path))
    listed = np.flatnonzero((kinds == ARRAY) | ((kinds == OBJECT) & named))
    if len(listed):
        values, source = calls.flatten(found.take(listed))
        at = lambda places, *rest: fault(listed[source[places]], *rest)  # noqa: E731
        groups.append(calls.from_values(values, owner[listed[source]], at, path))
    return groups


def _lossless(found: Cursor, structured: Mask) -> Mask:
    """Where our columns hold all there was (always, if names map to arguments); elsewhere meta has the member as
    well.
    """
    values, source = calls.flatten(found)
    whole: Mask = structured.copy()
    extra = leftover(values, {"id": True, "type": True, "name": True, "arguments": True, "function": True})
    inner = leftover(values.member("function"), {"name": True, "arguments": True})
    for column in (extra, inner):
        if column is not None:
            whole[source[np.array(column.is_valid())]] = False
    named = (found.member("name").kinds() == STRING) | (found.member("function").kinds() == OBJECT)
    whole |= structured & (found.kinds() == OBJECT) & ~named
    return whole
