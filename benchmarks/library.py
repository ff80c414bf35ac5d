"""What the tokenizer library alone costs on the documents of a lake: the same renderings, the same call, nothing else.

`python -m benchmarks.library LAKE` encodes silver.unique in ChatML with `encode_batch_fast`, as Ingot does, in calls of
as many bytes, and times (CPU seconds of all threads) the call, and apart from it the reading of `.ids`, the only way to
get tokens out of the library's objects. `--offsets` times `encode_batch`, which transformers calls, instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from benchmarks.job import TOKENIZER
from benchmarks.measure import cpu_now

CHUNK = 4 << 20


def rendered(table: Any) -> Iterator[str]:
    """The rows in ChatML."""
    for messages in table.column("messages").to_pylist():
        yield "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages)


def chunks(texts: Iterator[str]) -> Iterator[list[str]]:
    """Lists of about CHUNK characters."""
    now: list[str] = []
    size = 0
    for text in texts:
        now.append(text)
        size += len(text)
        if size >= CHUNK:
            yield now
            now, size = [], 0
    if now:
        yield now


def main() -> None:
    """Encode and print the costs."""
    import pyarrow.parquet as pq
    from tokenizers import Tokenizer

    from ingot.pipeline import snapshot_of

    parser = argparse.ArgumentParser()
    parser.add_argument("lake")
    parser.add_argument("--offsets", action="store_true")
    given = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    encode = tokenizer.encode_batch if given.offsets else tokenizer.encode_batch_fast
    encode_cpu = ids_cpu = 0.0
    tokens = characters = 0
    for part in snapshot_of(given.lake, "silver.unique").draft.parts:
        table = pq.read_table(f"{given.lake}/{part.path}", columns=["messages"])
        for texts in chunks(rendered(table)):
            start = cpu_now()
            batch = encode(texts, add_special_tokens=False)
            middle = cpu_now()
            counted = sum([len(encoding.ids) for encoding in batch])
            end = cpu_now()
            del batch  # freeing the library's objects is the library's work
            encode_cpu += middle - start + cpu_now() - end
            ids_cpu += end - middle
            tokens += counted
            characters += sum(map(len, texts))
    print(json.dumps({"encode": encode_cpu, "ids": ids_cpu, "tokens": tokens, "characters": characters}))


if __name__ == "__main__":
    main()
