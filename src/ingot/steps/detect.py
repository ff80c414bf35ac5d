"""Which format an arrival has, detected once from the first rows of its first part when its source says `auto`.

A task of its own, so that the answer is cached, stated (`ingot run` prints it, the manifest keeps it) and the same
however many parts the arrival has. Cost: one row group of one part per file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from ingot.core.plugins import describe_step
from ingot.errors import ConfigError
from ingot.schema.detect import Detected, detect
from ingot.schema.records import BRONZE
from ingot.steps.conform import Conform, ConformConfig

if TYPE_CHECKING:
    from ingot.core.task import Json, Task
    from ingot.store.lake import Lake

SAMPLE = 200


def detect_part(lake: Lake, task: Task) -> Json:
    """params: input (first part of an arrival), format (auto, with options), regime.

    Result: the `conform` step, why, and `unknown`: a sentence when there are readable rows that no known format fits.
    """
    config = ConformConfig(format=task.params["format"])
    try:
        found, unknown = detect(first_rows(lake, task.params["input"]), task.params["regime"]), None
    except ConfigError as error:  # the node decides: one such file among others is rejected, not fatal
        found, unknown = Detected(format=None, why=f"auto: {error.message}"), error.message
    named = config.format if found.format is None else config.format.model_copy(update={"name": found.format.name})
    step = describe_step(Conform(ConformConfig(format=named)))
    return {"step": step, "format": str(named), "why": found.why, "unknown": unknown}


def first_rows(lake: Lake, path: str) -> pa.Table:
    """Up to SAMPLE rows of a bronze part."""
    batch = next(lake.parquet_file(path).iter_batches(batch_size=SAMPLE, use_threads=False), None)
    return BRONZE.empty_table() if batch is None else pa.Table.from_batches([batch]).select(BRONZE.names)
