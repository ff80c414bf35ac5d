"""`length`: bounds on characters and turns, for the whole record, its prompt side and its response side.

Characters are code points of content, reasoning and tool-call arguments. The prompt side is every turn that the model
did not write; the response side is the assistant turns of a conversation, or chosen and rejected of a preference, each
held to the bounds by itself. A record's whole length is its prompt plus its longest response.
Guarantee: each row depends on itself alone; the first bound that fails, in the order of REASONS, is the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from ingot.core.ops import reject_table
from ingot.core.step import Outcome, StepConfig, StepContext
from ingot.errors import StepError
from ingot.schema.turns import Int64s, Turns, message_turns, offsets_of

REASONS = ("too_few_turns", "too_many_turns", "too_few_characters", "too_many_characters")
_RESPONSES = ("chosen", "rejected")


class LengthConfig(StepConfig):
    """`- length: {max_chars: 40000, max_turns: 50}`; bounds are inclusive."""

    shorthand: ClassVar[str | None] = "max_chars"

    min_chars: int | None = Field(default=None, ge=0, description="Fewest characters of the whole record.")
    max_chars: int | None = Field(default=None, ge=1, description="Most characters of the whole record.")
    min_turns: int | None = Field(default=None, ge=0, description="Fewest turns of the whole record.")
    max_turns: int | None = Field(default=None, ge=1, description="Most turns of the whole record.")
    min_prompt_chars: int | None = Field(default=None, ge=0, description="Fewest characters of the prompt side.")
    max_prompt_chars: int | None = Field(default=None, ge=1, description="Most characters of the prompt side.")
    min_response_chars: int | None = Field(default=None, ge=0, description="Fewest characters of each response.")
    max_response_chars: int | None = Field(default=None, ge=1, description="Most characters of each response.")

    @model_validator(mode="after")
    def _bounds_are_meant(self) -> LengthConfig:
        given = {name: value for name, value in self if value is not None}
        if not given:
            raise ValueError("length needs at least one bound, such as max_chars")
        for name, low in given.items():
            high = given.get(name.replace("min_", "max_"))
            if name.startswith("min_") and high is not None and low > high:
                raise ValueError(f"{name} {low} is greater than {name.replace('min_', 'max_')} {high}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Per row: turns, characters of the prompt side, and of each response (-1 where there is none)."""

    turns: Int64s
    prompt: Int64s
    responses: tuple[Int64s, ...]


class Length:
    """Row-local."""

    name: ClassVar[str] = "length"
    version: ClassVar[int] = 1
    Config: ClassVar[type[StepConfig]] = LengthConfig

    def __init__(self, config: LengthConfig) -> None:
        self.config = config

    def apply(self, table: pa.Table, ctx: StepContext) -> Outcome:
        """Keep the rows within all bounds; evidence names the measure, its value and the bound."""
        config = self.config
        if ctx.regime == "rlvr" and (config.min_response_chars, config.max_response_chars) != (None, None):
            raise StepError("E410", "length bounds responses, but rlvr records have none", where=ctx.node,
                            next="bound chars or prompt_chars instead")  # fmt: skip
        sizes = measure(message_turns(table, ctx.regime), ctx.regime)
        longest = np.maximum.reduce([sizes.prompt * 0, *sizes.responses])
        bounds = [
            ("turns", sizes.turns, REASONS[0], config.min_turns, REASONS[1], config.max_turns),
            ("chars", sizes.prompt + longest, REASONS[2], config.min_chars, REASONS[3], config.max_chars),
            ("prompt_chars", sizes.prompt, REASONS[2], config.min_prompt_chars, REASONS[3], config.max_prompt_chars),
        ]
        for response in sizes.responses:
            few, many = config.min_response_chars, config.max_response_chars
            bounds.append(("response_chars", response, REASONS[2], few, REASONS[3], many))
        return self._cut(table, bounds)

    def _cut(self, table: pa.Table, bounds: list[tuple[str, Int64s, str, int | None, str, int | None]]) -> Outcome:
        """Reject by the first failing bound; a measure of -1 is absent and fails nothing."""
        reason = np.full(len(table), -1, np.int64)
        value, bound, measured = np.zeros((3, len(table)), np.int64)
        for index, (_, sizes, few, low, many, high) in enumerate(bounds):
            for why, limit in ((few, low), (many, high)):
                if limit is None:
                    continue
                fails = (sizes < limit) if why == few else (sizes > limit)
                fails &= (sizes >= 0) & (reason < 0)
                reason[fails], bound[fails], measured[fails] = REASONS.index(why), limit, index
                value[fails] = sizes[fails]
        gone = np.flatnonzero(reason >= 0)
        side = np.array(["max" if name in (REASONS[1], REASONS[3]) else "min" for name in REASONS])
        evidence = pc.binary_join_element_wise(
            '{"', pa.array([name for name, *_ in bounds]).take(pa.array(measured[gone])), '":',
            pc.cast(pa.array(value[gone]), pa.string()), ',"', pa.array(side[reason[gone]].tolist(), pa.string()),
            '":', pc.cast(pa.array(bound[gone]), pa.string()), "}", "",
        )  # fmt: skip
        reasons = pa.array(REASONS).take(pa.array(reason[gone]))
        rejects = reject_table(table.take(pa.array(gone)), self.name, reasons, evidence)
        return Outcome(kept=table.filter(pa.array(reason < 0)), rejects=rejects)


def measure(columns: dict[str, Turns], regime: str) -> Sizes:
    """Turns and characters of every row."""
    chars = {name: characters(turns) for name, turns in columns.items()}
    turns = {name: np.diff(one.offsets) for name, one in columns.items()}
    if regime == "sft":
        wrote = columns["messages"].is_role("assistant")
        both = columns["messages"].offsets
        response = per_row(chars["messages"] * wrote, both)
        prompt = per_row(chars["messages"] * ~wrote, both)
        response[per_row(wrote.astype(np.int64), both) == 0] = -1
        return Sizes(turns=turns["messages"], prompt=prompt, responses=(response,))
    prompt = per_row(chars["prompt"], columns["prompt"].offsets)
    responses, longest = [], np.zeros(len(prompt), np.int64)
    for name in (name for name in _RESPONSES if name in columns):
        one = per_row(chars[name], columns[name].offsets)
        one[columns[name].null] = -1
        responses.append(one)
        longest = np.maximum(longest, turns[name])
    return Sizes(turns=turns["prompt"] + longest, prompt=prompt, responses=tuple(responses))


def characters(turns: Turns) -> Int64s:
    """Characters of each turn: content, reasoning and the arguments of tool calls."""
    total = _lengths(turns.field("content")) + _lengths(turns.field("reasoning"))
    calls = turns.field("tool_calls")
    arguments = calls.flatten().flatten()[calls.type.value_type.get_field_index("arguments")]
    return total + per_row(_lengths(arguments), offsets_of(calls))


def per_row(values: Int64s, offsets: Int64s) -> Int64s:
    """Sum of the values of each row."""
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
    totals: Int64s = sums[offsets[1:]] - sums[offsets[:-1]]
    return totals


def _lengths(strings: pa.StringArray) -> Int64s:
    lengths: Int64s = np.asarray(pc.fill_null(pc.utf8_length(strings), 0)).astype(np.int64)
    return lengths
