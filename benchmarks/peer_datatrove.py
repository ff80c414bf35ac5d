"""The job's stages that datatrove has: read, conform and normalise (a reader's adapter), exact dedup, tokenise.

Its exact dedup takes three passes over stored files (signatures, find, filter); tokens are written as it writes them, one
file per task. It has no chat masks and no packing. Two processes, `fork`, so that their CPU time is counted with the
parent's and no imports are repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.job import TOKENIZER
from benchmarks.peer_datasets import SPENT, Stages, TimedCalls, spent_in_library
from benchmarks.peer_text import chatml, conform
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter

PROCESSES = 2


def adapt(_: Any, data: dict[str, Any], _path: str, _line: int | str) -> dict[str, Any]:
    """A raw row as a document: its text is the rendered conversation; empty when the row is bad, which drops it."""
    row = conform(data)
    if row is None:
        return {"text": ""}
    return {"text": chatml(row["messages"]), "id": row["id"], "metadata": {"key": row["key"].hex()}}


def key(document: Document) -> bytes:
    """What must be equal; bytes, since xxhash 4 takes no strings."""
    return bytes.fromhex(document.metadata["key"])


class TimedTokens(DocumentTokenizer):
    """datatrove's tokenizer step with the library's calls timed."""

    @cached_property
    def tokenizer(self) -> Any:
        return TimedCalls(super().tokenizer)


def run(data: Path, work: Path) -> Stages:
    """The four executors, one after another."""
    tasks = len(list(data.glob("*.jsonl")))
    config = ExactDedupConfig(content_getter=key)
    clean = [JsonlReader(str(work / "clean"), compression=None, default_metadata={})]
    steps: dict[str, tuple[int, list[Any]]] = {
        "read, conform, normalize, render, write": (tasks, [
            JsonlReader(str(data), glob_pattern="*.jsonl", adapter=adapt, compression=None),
            JsonlWriter(str(work / "clean"), output_filename="${rank}.jsonl", compression=None),
        ]),
        "exact dedup: signatures": (tasks, [*clean, ExactDedupSignature(str(work / "sigs"), config, PROCESSES)]),
        "exact dedup: find": (PROCESSES, [ExactFindDedups(str(work / "sigs"), str(work / "dups"), config)]),
        "exact dedup: filter; tokenize": (tasks, [
            *clean, ExactDedupFilter(str(work / "dups"), config),
            TimedTokens(str(work / "tokens"), str(TOKENIZER), shuffle_documents=False, save_final_metadata=False),
        ]),
    }  # fmt: skip
    stages = Stages()
    for name, (count, pipeline) in steps.items():
        logs = str(work / "logs" / str(len(stages.spent)))
        LocalPipelineExecutor(pipeline, tasks=count, workers=PROCESSES, logging_dir=logs, start_method="fork").run()
        stages.done(name)
    return stages


def documents(work: Path) -> list[str]:
    """Digests of the tokens of all documents, sorted."""
    found = []
    for path in sorted((work / "tokens").glob("*.ds")):
        tokens = np.fromfile(path, np.uint16).astype(np.int32)
        ends = np.fromfile(f"{path}.index", np.uint64).astype(np.int64)
        found += [hashlib.blake2b(tokens[a:b].tobytes(), digest_size=12).hexdigest()
                  for a, b in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]  # fmt: skip
    return sorted(found)


def main() -> None:
    """Run and print."""
    from benchmarks.measure import Anonymous

    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data.parent) as scratch, tempfile.TemporaryDirectory() as spent:
        os.environ |= {"TOKENIZERS_PARALLELISM": "false", SPENT: spent}
        memory = Anonymous()
        stages = run(given.data, Path(scratch))
        print(json.dumps({
            "stages": stages.spent, "library": spent_in_library(spent), "anonymous": memory.stop(),
            "documents": documents(Path(scratch)),
        }))  # fmt: skip


if __name__ == "__main__":
    from benchmarks import peer_datatrove

    peer_datatrove.main()
