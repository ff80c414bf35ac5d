"""Train the byte-level BPE tokenizer of the examples: the same files give the same bytes, on any machine.

    python scripts/train_tokenizer.py [FILE OR FOLDER ...]     default: examples/*/raw, into examples/tokenizer.json

Texts are the strings inside JSON, JSONL, CSV and plain text files, plain or compressed; what is not UTF-8 is left out.
They are sorted and deduplicated first, so that the order of files does not matter. The result is Apache-2.0 like the
project; the texts it was trained on are listed, with their licences, beside them.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import gzip
import io
import json
import lzma
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = 8192
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TAGS = [
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tools>",
    "</tools>",
]  # ordinary vocabulary, one token each
# Words with their leading space, numbers by up to three digits, punctuation, line ends, other white space.
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"
_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def strings(value: object) -> Iterator[str]:
    """Every text inside a JSON value, keys left out."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def read_text(path: Path) -> str:
    """The file's text, decompressed; bytes that are not UTF-8 are left out, and so is a damaged archive.

    How much of a damaged archive can be read differs between versions of Python.
    """
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        return path.read_bytes().decode("utf-8", "ignore")
    try:
        with opener(path, "rb") as file:
            content: bytes = file.read()
    except (EOFError, OSError, lzma.LZMAError) as error:
        print(f"{path}: {error} It is left out.", file=sys.stderr)
        return ""
    return content.decode("utf-8", "ignore")


def texts(path: Path) -> Iterator[str]:
    """The texts of one file: JSON strings, CSV fields, or lines."""
    name = path.name.removesuffix(path.suffix) if path.suffix in _OPENERS else path.name
    content = read_text(path)
    if name.endswith((".csv", ".tsv")):
        csv.field_size_limit(1 << 30)
        for row in csv.reader(io.StringIO(content.replace("\0", "")), delimiter="\t" if name.endswith(".tsv") else ","):
            yield from row
        return
    try:
        yield from strings(json.loads(content))
    except (ValueError, RecursionError):
        for line in content.splitlines():
            try:
                yield from strings(json.loads(line))
            except (ValueError, RecursionError):
                yield line


def collect(paths: list[Path]) -> list[str]:
    """All texts of files and folders, sorted, each once; binary formats and documentation are left out."""
    files = [
        file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()
    ]
    known = (".json", ".jsonl", ".csv", ".tsv", ".txt")
    chosen = [f for f in files if (f.stem if f.suffix in _OPENERS else f.name).endswith(known)]
    unique: set[str] = set()
    for file in chosen:
        unique.update(text.encode("utf-8", "ignore").decode() for text in texts(file))
    return sorted(unique)


def train(corpus: list[str], size: int) -> str:
    """tokenizer.json of a byte-level BPE over the corpus."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(TAGS),
        min_frequency=2,
        special_tokens=CONTROL,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in TAGS])
    return tokenizer.to_str(pretty=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders of text")
    parser.add_argument("--output", type=Path, default=ROOT / "examples" / "tokenizer.json")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    args = parser.parse_args()
    paths = args.paths or sorted((ROOT / "examples").glob("*/raw"))
    corpus = collect(paths)
    if not corpus:
        parser.error(f"no text in {', '.join(map(str, paths)) or 'examples/*/raw'}")
    args.output.write_text(train(corpus, args.vocabulary) + "\n", encoding="utf-8")
    print(f"{args.output}: {len(corpus)} texts, {sum(map(len, corpus)):,} characters", file=sys.stderr)


if __name__ == "__main__":
    main()
