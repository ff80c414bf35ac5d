"""The same job with Hugging Face `datasets`, transformers and TRL's packing, in two processes.

`load_dataset("text")`, since one bad line makes its JSON loader give up the file; `map` with batched functions and
num_proc=2; a set of keys for duplicates; `apply_chat_template` with its assistant mask; `pack_dataset(..., "bfd_split")`.
Prints the CPU seconds of each stage, those inside the tokenizer library, and digests for the comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.peer_text import CHATML, MAX_LENGTH, conform, parse

PROCESSES = 2
SPENT = "INGOT_BENCH_SPENT"  # a folder: each process adds the CPU seconds it spent in the tokenizer library


class TimedCalls:
    """The library's tokenizer with its calls timed, freeing the last result included."""

    def __init__(self, inner: Any) -> None:
        self.__dict__["inner"], self.__dict__["kept"] = inner, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)

    def encode_batch(self, texts: list[str], **options: Any) -> Any:
        started = time.thread_time()
        self.__dict__["kept"] = None
        self.__dict__["kept"] = self.inner.encode_batch(texts, **options)
        with open(Path(os.environ[SPENT]) / str(os.getpid()), "a", encoding="ascii") as spent:
            spent.write(f"{time.thread_time() - started}\n")
        return self.kept


def spent_in_library(folder: str) -> float:
    """CPU seconds of all processes in timed calls."""
    return sum(float(line) for path in Path(folder).iterdir() for line in path.read_text().split())


@cache
def tokenizer() -> Any:
    """One per process."""
    from benchmarks.job import TOKENIZER
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER))
    made.chat_template = CHATML
    made._tokenizer = TimedCalls(made._tokenizer)  # noqa: SLF001
    return made


def clean(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Conform and normalise; bad rows are left out."""
    rows = [row for row in (conform(parse(line)) for line in batch["text"]) if row is not None]
    return {name: [row[name] for row in rows] for name in ("id", "messages", "key", "split")}


def tokenize(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Tokens, and labels that train the assistant's turns only."""
    out = tokenizer().apply_chat_template(batch["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    labels = [[token if mine else -100 for token, mine in zip(ids, mask, strict=True)]
              for ids, mask in zip(out["input_ids"], out["assistant_masks"], strict=True)]  # fmt: skip
    return {"input_ids": out["input_ids"], "labels": labels}


class Stages:
    """CPU and wall seconds between calls of `done`."""

    def __init__(self) -> None:
        from benchmarks.measure import cpu_now

        self._now = cpu_now
        self._last = (time.perf_counter(), cpu_now())
        self.spent: dict[str, dict[str, float]] = {}

    def done(self, name: str) -> None:
        now = (time.perf_counter(), self._now())
        self.spent[name] = {"wall": now[0] - self._last[0], "cpu": now[1] - self._last[1]}
        self._last = now


def run(files: list[str], cache_dir: str) -> tuple[Any, Any, Stages, int]:
    """The job; returns all tokenised rows with ids, the packs of train, the stages' costs, rows read."""
    from datasets import disable_progress_bars, load_dataset
    from trl import pack_dataset

    disable_progress_bars()
    stages = Stages()
    rows = load_dataset("text", data_files=files, split="train", cache_dir=cache_dir)
    read = len(rows)
    stages.done("load text")
    rows = rows.map(clean, batched=True, num_proc=PROCESSES, remove_columns=["text"])
    stages.done("parse, normalize, key, split (map)")
    seen: set[bytes] = set()
    unique = []
    for i, key in enumerate(rows["key"]):
        if key not in seen:
            seen.add(key)
            unique.append(i)
    rows = rows.select(unique)
    stages.done("exact dedup (set of keys, select)")
    tokens = rows.map(tokenize, batched=True, num_proc=PROCESSES, remove_columns=["messages"])
    stages.done("chat template, tokenize, mask (map)")
    splits = tokens["split"]
    train = tokens.select([i for i, split in enumerate(splits) if split == "train"]).select_columns(["input_ids", "labels"])
    packs = pack_dataset(train, MAX_LENGTH, "bfd_split", map_kwargs={"num_proc": PROCESSES})
    stages.done("pack_dataset (bfd_split)")
    return tokens, packs, stages, read


def main() -> None:
    """Run and print."""
    from benchmarks.compare import digests
    from benchmarks.measure import Anonymous

    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    files = sorted(map(str, given.data.glob("*.jsonl")))
    with tempfile.TemporaryDirectory(dir=given.data.parent) as scratch, tempfile.TemporaryDirectory() as spent:
        os.environ |= {"HF_HOME": scratch, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", SPENT: spent}
        memory = Anonymous()
        tokens, packs, stages, read = run(files, scratch)
        library = spent_in_library(spent)
        anonymous = memory.stop()  # what follows is the comparison, not the job
        table = tokens.with_format("arrow")[:]
        documents = digests(table["id"].to_pylist(), table["key"].to_pylist(), table["input_ids"], table["labels"])
        used = sum(map(len, packs["input_ids"]))
        print(json.dumps({
            "stages": stages.spent, "library": library, "read": read, "kept": len(tokens), "anonymous": anonymous,
            "packs": len(packs), "efficiency": used / (len(packs) * MAX_LENGTH),
            "documents": documents,
        }))  # fmt: skip


if __name__ == "__main__":
    from benchmarks import peer_datasets

    peer_datasets.main()  # from the imported module: functions of __main__ would be pickled by value
