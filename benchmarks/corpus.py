"""The conversations that benchmark data is made of: real texts from ../shared/data, as lists of (role, content).

Instructions with answers, mathematics, code, long passages with a short answer, and dialogues of many turns. Tool calls
are left out, so that what a peer has to do stays small and comparable. Cost: 2 s for about 70,000 conversations.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Turns = list[tuple[str, str]]


def shared_data() -> Path:
    """Where the real data are: $INGOT_TEST_DATA or ../shared/data."""
    place = Path(os.environ.get("INGOT_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        raise SystemExit(f"no data at {place}: set INGOT_TEST_DATA to the folder that holds sft/ and rlvr/")
    return place


def _text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")


def _lines(path: Path) -> Iterator[Any]:
    return (json.loads(line) for line in _text(path).splitlines() if line.strip())


def _pair(question: str, answer: str, system: str = "") -> Turns:
    turns = [("user", question), ("assistant", answer)]
    return [("system", system), *turns] if system else turns


def _instructions(data: Path) -> Iterator[Turns]:
    for path in sorted((data / "sft" / "gpteacher").glob("*.json.gz")):
        for row in json.loads(_text(path)):
            yield _pair("\n\n".join(filter(None, (row["instruction"], row["input"]))), row["response"])
    for path in sorted((data / "sft" / "natural-instructions").glob("*.json.gz")):
        task = json.loads(_text(path))
        for row in task["Instances"]:
            yield _pair(f"{task['Definition'][0]}\n\n{row['input']}", row["output"][0])
    for row in _lines(data / "sft" / "self-instruct" / "user_oriented_instructions.jsonl"):
        one = row["instances"][0]
        yield _pair("\n\n".join(filter(None, (row["instruction"], one["input"]))), one["output"])
    for path in sorted((data / "sft" / "self-instruct" / "t0_templates").glob("*.jsonl.gz")):
        for row in _lines(path):
            yield _pair(row["prompt"], row["completion"].removesuffix("<|endoftext|>"))


def _reasoning(data: Path) -> Iterator[Turns]:
    rlvr = data / "rlvr"
    for name in ("train.jsonl.gz", "test.jsonl"):
        for row in _lines(rlvr / "gsm8k" / name):
            yield _pair(row["question"], row["answer"])
    for row in _lines(rlvr / "rollouts" / "gsm8k-model-solutions" / "example_model_solutions.jsonl.gz"):
        for model in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"):
            yield _pair(row["question"], row[model]["solution"])
    for row in _lines(rlvr / "rollouts" / "math-cot-100" / "math_cot_100.jsonl.gz"):
        for answer in row["code"]:
            yield _pair(row["question"], answer, row["system"])
    for name, answer in (("math/math.json.gz", "answer"), ("math/aime.json.gz", "solution"), ("code/leetcode.json.gz", "solutions")):
        fence = "```python\n{}\n```" if name.startswith("code") else "{}"
        for row in json.loads(_text(rlvr / "rllm" / "train" / name)):
            yield _pair(row["problem"], fence.format(row[answer]))
    for row in json.loads(_text(rlvr / "reasoning-gym" / "codeio-hq.jsonl.gz")):
        yield _pair(f"{row['task_description']}\n\n{row['input_output_spec']}", f"```python\n{row['code_sample']}\n```")


def _paths(message: dict[str, Any], before: Turns) -> Iterator[Turns]:
    """Each path from the root of a message tree to a leaf."""
    turns = [*before, ("user" if message["role"] == "prompter" else "assistant", message["text"])]
    if not message["replies"]:
        yield turns
    for reply in message["replies"]:
        yield from _paths(reply, turns)


def _dialogues(data: Path) -> Iterator[Turns]:
    for tree in _lines(data / "sft" / "oasst" / "en_100_tree.jsonl"):
        yield from _paths(tree["prompt"], [])
    for path in sorted((data / "sft" / "taskmaster-4").glob("*.json.gz")):
        for row in json.loads(_text(path)):
            yield [("user" if turn["speaker"] == "user" else "assistant", turn["text"]) for turn in row["utterances"]]
    for path in sorted((data / "sft" / "sgd").glob("dialogues_*.json.gz")):
        for row in json.loads(_text(path)):
            yield [("user" if turn["speaker"] == "USER" else "assistant", turn["utterance"]) for turn in row["turns"]]


def conversations() -> list[Turns]:
    """All conversations that have text in every turn and an answer, in a fixed order."""
    data = shared_data()
    found = [turns for part in (_instructions, _reasoning, _dialogues) for turns in part(data)]
    return [turns for turns in found
            if all(text.strip() for _, text in turns) and any(role == "assistant" for role, _ in turns)]  # fmt: skip
