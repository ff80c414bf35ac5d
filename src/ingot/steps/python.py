"""`python`: a user's function as a row-local step.

The function takes a `pa.Table` of records and returns either a table (rows may be fewer, columns may change or be
added) or one boolean per row (Arrow or numpy), true for the rows to keep; null counts as false. Rows that are not in
the answer are rejected as `python_filter`. The record's identity is not the function's to invent: an unknown or
repeated row is an error (E413). Cost: the function's own, plus one hash join on record ids when it returns a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from ingot.core.step import Outcome, StepConfig, StepContext
from ingot.errors import StepError
from ingot.steps.answers import Asked
from ingot.steps.functions import Captured, Function, capture, restore

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa


class PythonConfig(StepConfig):
    """`- python: {function: "mysteps:keep_short", args: {max_chars: 4000}}`."""

    shorthand: ClassVar[str | None] = "function"

    function: str = Field(description='The function as "module:name"; module.py lies beside the pipeline.')
    args: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments, part of the fingerprint.")
    digest: SkipJsonSchema[str] = Field(
        default="", description="Identity of the function's source; filled in by ingot."
    )


class Python:
    """A user's function over one part; row-local by contract."""

    name: ClassVar[str] = "python"
    version: ClassVar[int] = 1
    Config: ClassVar[type[PythonConfig]] = PythonConfig

    def __init__(self, config: PythonConfig, assets: Mapping[str, bytes] | None = None) -> None:
        self.config, self.assets = config, dict(assets or {})

    @classmethod
    def bind(cls, config: PythonConfig, base: Path, function: Function | None = None) -> Python:
        """Capture the function's source, so that the step can run anywhere."""
        captured: Captured = capture(function or config.function, base)
        bound = config.model_copy(update={"function": captured.name, "digest": captured.digest})
        return cls(bound, {captured.digest: captured.source})

    def apply(self, table: pa.Table, ctx: StepContext) -> Outcome:
        """Call the function and account for every row."""
        function = _restored(ctx.asset(self.config.digest))
        where = f"{ctx.node}, step python"
        asked = Asked(step=self.name, reason="python_filter", shown=self.config.function, where=where,
                      regime=ctx.regime, evidence={"function": self.config.function})  # fmt: skip
        try:
            answer = function(table, **self.config.args)
        except Exception as error:
            what = f"{type(error).__name__}: {error}".split("\n")[0]
            raise StepError("E405", f"{self.config.function} raised {what}", where=where) from error
        return self._outcome(table, answer, asked)

    def _outcome(self, table: pa.Table, answer: Any, asked: Asked) -> Outcome:
        import numpy as np
        import pyarrow as pa

        if isinstance(answer, pa.Table):
            return asked.reconcile(table, answer.replace_schema_metadata(None))
        mask = answer.combine_chunks() if isinstance(answer, pa.ChunkedArray) else answer
        if isinstance(mask, np.ndarray) and mask.ndim == 1 and mask.dtype == bool:
            mask = pa.array(mask)
        if isinstance(mask, pa.BooleanArray) and len(mask) == len(table):
            return asked.keep(table, mask)
        what = f"{len(mask)} {mask.type} values" if isinstance(mask, pa.Array) else type(answer).__name__
        raise asked.error("E412", f"is {what}, for {len(table)} rows", "return a pa.Table, or one boolean per row")


@cache
def _restored(source: bytes) -> Function:
    return restore(source)
