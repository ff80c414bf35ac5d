"""`split`: train, validation or test, by a hash of what must stay together.

The key of a row (by default its opening user turns, white space and case folded) is hashed with the seed to 64 bits;
the hash falls below the shares' thresholds or not. Copies of a prompt and all answers to it therefore land in one
split, whatever the other rows are, and a row never changes sides when data are added.
Guarantee: the split depends on the row, the key and the seed alone; shares are met on average over keys, not rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from ingot.core.ops import reject_table
from ingot.core.step import Outcome, StepConfig, StepContext
from ingot.errors import StepError
from ingot.schema.records import message_columns
from ingot.schema.turns import Bools, as_mask, lay_flat, one

if TYPE_CHECKING:
    from ingot.kernels.keys import Keys

COLUMN = "split"
KEYS = ("prompt", "conversation", "source_id")


class SplitConfig(StepConfig):
    """`- split: {validation: 0.02, test: 0.01}`."""

    shorthand: ClassVar[str | None] = "validation"

    validation: float | None = Field(default=None, gt=0, lt=1, description="Share of keys for validation.")
    test: float | None = Field(default=None, gt=0, lt=1, description="Share of keys for test.")
    key: str = Field(
        default="prompt",
        description="What stays together: prompt, conversation, source_id, or a field of meta as "
        "meta.NAME (meta.A.B for a nested one). Rows without the field go by their prompt.",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Another seed gives another, unrelated split.")

    @field_validator("key")
    @classmethod
    def _known(cls, key: str) -> str:
        if key in KEYS or (key.startswith("meta.") and all(key.split("."))):
            return key
        raise ValueError(f"{key!r} is not one of {', '.join(KEYS)} or meta.FIELD")

    @model_validator(mode="after")
    def _something_is_left(self) -> SplitConfig:
        shares = [share for share in (self.validation, self.test) if share is not None]
        if not shares:
            raise ValueError("split needs a share for validation or test")
        if sum(shares) >= 1:
            raise ValueError(f"the shares sum to {sum(shares)}: nothing is left to train on")
        return self

    def names(self) -> list[str]:
        """The splits that this step makes, train first."""
        return ["train", *(name for name in ("validation", "test") if getattr(self, name) is not None)]


class Split:
    """Row-local."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 1
    Config: ClassVar[type[StepConfig]] = SplitConfig

    def __init__(self, config: SplitConfig) -> None:
        self.config = config

    def apply(self, table: pa.Table, ctx: StepContext) -> Outcome:
        """Add the column `split`; no row is rejected."""
        from ingot.kernels.keys import joint_keys, text_keys

        if COLUMN in table.column_names:
            raise StepError("E414", f"there is already a column {COLUMN!r}", where=f"{ctx.node}, step split",
                            next="keep one split step, or rename the column in a sql step before it")  # fmt: skip
        keys, has = self._keys(table, ctx.regime)
        seed = text_keys(pa.array([f"split {self.config.seed}"]), "exact")
        # the last mixing step spreads the pair over one word; shares are compared with its whole range
        word = joint_keys(np.broadcast_to(seed, keys.shape), keys)[:, 0]
        names = np.full(len(table), 0)
        bound = 0
        for index, share in enumerate((self.config.validation, self.config.test), 1):
            if share is not None:
                low, bound = bound, bound + round(share * 2**64)
                names[(word >= np.uint64(low)) & (word < np.uint64(min(bound, 2**64 - 1)))] = index
        column = pa.array(["train", "validation", "test"]).take(pa.array(names))
        none = pa.array([], pa.string())
        rejects = reject_table(table.slice(0, 0), self.name, none, none)
        missing = int(np.count_nonzero(~has))
        notes = {"rows_without_key": missing} if missing else {}
        return Outcome(kept=table.append_column(COLUMN, column), rejects=rejects, notes=notes)

    def _keys(self, table: pa.Table, regime: str) -> tuple[Keys, Bools]:
        """(key, whether the row has the field asked for)."""
        from ingot.kernels.keys import text_keys

        everyone = np.ones(len(table), bool)
        if self.config.key == "prompt":
            return prompt_keys(table, regime), everyone
        if self.config.key == "conversation":
            return conversation_keys(table, regime), everyone
        values = self._field(table)
        has = as_mask(pc.is_valid(values))
        return np.where(has[:, None], text_keys(values, "exact"), prompt_keys(table, regime)), has

    def _field(self, table: pa.Table) -> pa.StringArray:
        if self.config.key == "source_id":
            return one(table.column("source_id"))
        from ingot.kernels import tape_ops
        from ingot.kernels.tape import scan

        tape = scan(one(table.column("meta")))
        nodes = tape_ops.roots(tape)
        for name in self.config.key.split(".")[1:]:
            nodes = tape_ops.member(tape, nodes, name)
        return tape_ops.scalar_text(tape, nodes)


def prompt_keys(table: pa.Table, regime: str) -> Keys:
    """The user turns before the first answer, of any regime alike; the whole conversation where there are none."""
    from ingot.kernels.keys import sequence_keys, text_keys

    turns = lay_flat(table.column(message_columns(regime)[0]))
    asked = turns.before(turns.is_role("assistant")) & turns.is_role("user")
    counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(asked)])[turns.offsets]
    keys = sequence_keys(text_keys(turns.field("content").filter(pa.array(asked)), "loose"), counts)
    silent = np.flatnonzero(np.diff(counts) == 0)
    if len(silent):
        keys[silent] = conversation_keys(table.take(pa.array(silent)), regime)
    return keys


def conversation_keys(table: pa.Table, regime: str) -> Keys:
    """The contents of all turns of all message columns."""
    from ingot.kernels.keys import joint_keys, sequence_keys, text_keys

    sides = []
    for name in message_columns(regime):
        turns = lay_flat(table.column(name))
        sides.append(sequence_keys(text_keys(turns.field("content"), "loose"), turns.offsets))
    return joint_keys(*sides)
