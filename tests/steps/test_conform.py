"""Laws of conform: rows are conserved, a row's fate is its own, and real files read as their makers meant them."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schema.bronze import conform, from_file, reasons, said, table

from ingot.core.step import RowStep
from ingot.schema.convert.registry import CONVERTERS
from ingot.schema.detect import detect
from ingot.schema.formats import FORMATS as OFFERED
from ingot.schema.records import REJECTS, record_schema
from ingot.steps.conform import Conform, ConformConfig

TEXT = st.sampled_from(
    ["", " ", "a", "b\n", "é", "\n\nHuman: a\n\nAssistant: b", "x #### 4", "{}", "[1]", '{"name":"f"}']
)
ROLE = st.sampled_from(
    ["user", "assistant", "system", "tool", "human", "gpt", "function_call", "observation", "nobody"]
)
VALUE = st.one_of(TEXT, st.none(), st.booleans(), st.integers(), st.just([]), st.just({}), st.lists(TEXT, max_size=2))
TURN = st.fixed_dictionaries(
    {},
    optional={
        "role": ROLE,
        "content": VALUE,
        "from": ROLE,
        "value": VALUE,
        "tool_calls": VALUE,
        "text": VALUE,
        "k": VALUE,
    },
)
TURNS = st.one_of(st.lists(TURN, max_size=4), VALUE)
KEYS = (
    "messages", "conversations", "instruction", "input", "output", "prompt", "completion", "chosen", "rejected",
    "label", "question", "answer", "problem", "solution", "options", "correct", "tests", "instances", "replies",
    "role", "text", "id", "tools", "system", "history", "extra",
)  # fmt: skip
ROW = st.dictionaries(st.sampled_from(KEYS), st.one_of(VALUE, TURN, TURNS), max_size=8)
FORMATS = [(regime, name) for regime, names in CONVERTERS.items() for name in names]


def test_conform_is_a_row_step():
    assert isinstance(Conform(ConformConfig()), RowStep)


@pytest.mark.parametrize(("regime", "name"), FORMATS)
@settings(max_examples=15, deadline=None)
@given(rows=st.lists(ROW, max_size=6), cut=st.integers(0, 6))
def test_any_rows_are_conserved_and_cuts_do_not_matter(regime: str, name: str, rows: list[Any], cut: int):
    bronze = table(rows)
    whole = conform(bronze, name, regime)
    assert whole.kept.schema == record_schema(regime)
    assert whole.rejects.schema == REJECTS
    assert all(json.loads(text) for text in whole.rejects["evidence"].to_pylist())
    parts = [conform(part, name, regime) for part in (bronze.slice(0, cut), bronze.slice(cut))]
    assert pa.concat_tables([part.kept for part in parts]).to_pylist() == whole.kept.to_pylist()
    assert pa.concat_tables([part.rejects for part in parts]).to_pylist() == whole.rejects.to_pylist()


@settings(max_examples=30, deadline=None)
@given(
    turns=st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "system"]), st.text(min_size=1)), min_size=1, max_size=5
    ),
    more=st.dictionaries(
        st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), max_size=3
    ),
)
def test_nothing_of_a_good_conversation_is_lost(turns: list[tuple[str, str]], more: dict[str, Any]):
    more = {
        key: value
        for key, value in more.items()
        if key not in ("conversation", "conversations", "messages", "tools", "functions", "system")
    }
    row = {**more, "messages": [{"role": role, "content": content} for role, content in turns]}
    text = json.dumps(row, ensure_ascii=True)
    if "\\ud" in text:  # lone surrogates are not characters; pairs are, but are not told apart here
        return
    outcome = conform([text], "openai")
    if outcome.kept.num_rows == 0:
        assert set(reasons(outcome)) <= {"empty_turn", "no_assistant_turn"}
        return
    record = outcome.kept.to_pylist()[0]
    assert said(record["messages"]) == turns
    kept = {} if record["meta"] is None else json.loads(record["meta"])
    for key in set(more) - set(kept):
        assert record["source_id"] == (more[key] if isinstance(more[key], str) else json.dumps(more[key]))
        assert key in ("id", "_id", "uid", "message_id", "question_id", "task_id", "name")
    assert {key: more[key] for key in kept} == kept


MAP_TASKMASTER = {"messages": {"field": "utterances", "role": "speaker", "content": "text"}, "id": "conversation_id"}
MAP_SGD = {
    "messages": {
        "field": "turns",
        "role": "speaker",
        "content": "utterance",
        "roles": {"USER": "user", "SYSTEM": "assistant"},
    },
    "id": "dialogue_id",
}
_SHAPE = {
    "content": ["text", "response"],
    "calls": "api",
    "roles": {"agent": "assistant", "user": "user", "api": "tool"},
}
MAP_REWARD = {
    "prompt": {"field": {"json": "context"}, **_SHAPE}, "response": {"field": {"json": "generation"}, **_SHAPE},
    "label": "reward", "id": "conversation_id",
}  # fmt: skip
MAP_PANDALM = {"prompt": ["instruction", "input"], "chosen": "response1", "rejected": "response2", "id": "idx"}
MAP_SVAMP = {"prompt": ["Body", "Question"], "answer": "Answer", "verifier": "math", "id": "ID"}
MAP_ARENA = {"messages": {"field": "messages", "content": ["content.answer", "content"]}, "id": "uid"}

P3 = "sft/self-instruct/t0_templates/wiki_hop_original_generate_object.jsonl.gz"
REFUSED = {"empty_response": 54, "wrong_type": 6}
REAL = [
    ("sft", "sft/gpteacher/codegen-instruct.json.gz", "auto", "alpaca", 4535, {}),
    ("sft", "sft/gpteacher/roleplay-simple-deduped-roleplay-instruct.json.gz", "auto", "alpaca", 1923, {}),
    ("sft", "sft/llama-factory/glaive_toolcall_en_demo.json", "auto", "sharegpt", 300, {}),
    # two observations follow calls that were written as prose
    ("sft", "sft/llama-factory/glaive_toolcall_zh_demo.json", "auto", "sharegpt", 298, {"tool_result_without_call": 2}),
    ("sft", "sft/llama-factory/reason_tool_use_demo_50.jsonl", "auto", "openai", 50, {}),
    ("sft", "sft/self-instruct/seed_tasks.jsonl", "auto", "self_instruct", 175, {}),
    ("sft", P3, "auto", "prompt_completion", 200, {}),
    ("sft", "sft/taskmaster-4/data_00.json.gz", MAP_TASKMASTER, "map", 500, {}),
    ("sft", "sft/sgd/dialogues_001.json.gz", MAP_SGD, "map", 128, {}),
    ("sft", "rlvr/rollouts/tau-bench/gpt-4o-airline.json.gz", {"messages": "traj", "id": "task_id"}, "map", 200, {}),
    ("sft", "preference/arena-hard-v0.1/gpt-4-0314.jsonl.gz", MAP_ARENA, "map", 500, {}),
    ("preference", "preference/hh-rlhf/test.jsonl.gz", "auto", "hh", 2308, {"empty_turn": 4}),
    ("preference", "preference/llama-factory/dpo_en_demo.json.gz", "auto", "sharegpt_preference", 300, {}),
    ("preference", "preference/llama-factory/dpo_zh_demo.json", "auto", "sharegpt_preference", 300, {}),
    ("preference", "preference/llama-factory/kto_en_demo.json", "auto", "kto", 300, {}),
    ("preference", "preference/taskmaster-reward/tm3/reward_00.json.gz", MAP_REWARD, "map", 425, {"empty_turn": 75}),
    ("preference", "preference/taskmaster-reward/tm4/reward_00.json", MAP_REWARD, "map", 500, {}),
    # 6 answers are booleans, 54 rows have an empty one
    ("preference", "annotation/pandalm/testset-v1.json", MAP_PANDALM, "map", 939, REFUSED),
    ("rlvr", "rlvr/gsm8k/train.jsonl.gz", "auto", "gsm8k", 7473, {}),
    ("rlvr", "rlvr/gsm8k/test.jsonl", "auto", "gsm8k", 1319, {}),
    ("rlvr", "rlvr/rllm/train/math/math.json.gz", "auto", "math", 7470, {"no_answer": 4}),
    ("rlvr", "rlvr/rllm/train/code/leetcode.json.gz", "auto", "code_tests", 1889, {}),
    ("rlvr", "rlvr/aqua/dev.json", "auto", "choice", 254, {}),
    ("rlvr", "rlvr/svamp/SVAMP.json", MAP_SVAMP, "map", 1000, {}),
    ("rlvr", "rlvr/reasoning-gym/codeio-hq.jsonl.gz", {"prompt": "prompt", "answer": "output"}, "map", 2750, {}),
    ("rlvr", "eval/math/test.jsonl.gz", "auto", "math", 5000, {}),
]  # fmt: skip


@pytest.mark.parametrize(("regime", "path", "format", "name", "kept", "refused"), REAL, ids=[row[1] for row in REAL])
def test_real_files(shared_data, regime, path, format, name, kept, refused):
    bronze = from_file(shared_data / path)
    manifest = {entry["dest"]: entry["rows"] for entry in json.loads((shared_data / "MANIFEST.json").read_text())}
    assert bronze.num_rows == manifest[path]
    outcome = conform(bronze, detect(bronze, regime).format if format == "auto" else format, regime)
    assert set(outcome.kept["format"].to_pylist()) == {name}
    assert outcome.kept.num_rows == kept
    assert reasons(outcome) == refused


def test_real_trees_equal_a_plain_walk(shared_data):
    def ends(message: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        path = (*path, message["text"])
        below = [p for reply in message["replies"] for p in ends(reply, path)]
        return below or ([path] if message["role"] == "assistant" else [])

    file = shared_data / "sft/oasst/en_100_tree.jsonl"
    expected = [p for line in file.read_text().split("\n") if line for p in ends(json.loads(line)["prompt"])]
    outcome = conform(from_file(file), "oasst")
    assert [tuple(text for _, text in said(m)) for m in outcome.kept["messages"].to_pylist()] == expected
    assert (outcome.kept.num_rows, outcome.added) == (546, 446)
    flat = conform(from_file(shared_data / "sft/oasst/en_100_message.jsonl.gz"), "oasst")
    assert flat.kept.num_rows == 546
    best = conform(from_file(file), {"name": "oasst", "paths": "best"})
    assert (best.kept.num_rows, best.added) == (100, 0)


def test_real_natural_instructions(shared_data):
    file = shared_data / "sft/natural-instructions/task820_protoqa_answer_generation.json.gz"
    bronze = from_file(file, within="Instances")
    source = json.loads(gzip.decompress(file.read_bytes()))
    first = conform(bronze, detect(bronze, "sft").format)
    assert first.kept.num_rows == len(source["Instances"]) == 5000
    assert said(first.kept["messages"][7].as_py()) == [
        ("system", source["Definition"][0]), ("user", source["Instances"][7]["input"]),
        ("assistant", source["Instances"][7]["output"][0]),
    ]  # fmt: skip
    every = conform(bronze, {"name": "natural_instructions", "outputs": "all"})
    assert every.kept.num_rows == sum(len(instance["output"]) for instance in source["Instances"])


def test_real_sharegpt_text_is_what_json_says(shared_data):
    file = shared_data / "sft/llama-factory/glaive_toolcall_en_demo.json"
    rows = json.loads(file.read_text())
    roles = {"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": "tool"}
    kept = conform(from_file(file), "sharegpt").kept.to_pylist()
    for row, record in zip(rows, kept, strict=True):
        assert json.loads(record["tools"] or '""') == json.loads(row["tools"] or '""')
        for turn, message in zip(row["conversations"], record["messages"], strict=True):
            assert message["role"] == roles[turn["from"]]
            if turn["from"] == "function_call":
                call = json.loads(turn["value"])
                assert message["tool_calls"][0]["name"] == call["name"]
                assert json.loads(message["tool_calls"][0]["arguments"]) == call["arguments"]
            else:
                assert message["content"] == turn["value"]


def test_real_transcripts_that_differ_early(shared_data):
    outcome = conform(from_file(shared_data / "preference/hh-rlhf/test.jsonl.gz"), "hh", "preference")
    lengths = [(len(row["chosen"]), len(row["rejected"])) for row in outcome.kept.to_pylist()]
    assert sum(max(pair) > 1 for pair in lengths) == 5


def test_real_line_separator_inside_a_string(shared_data):
    prompts = conform(from_file(shared_data / "rlvr/gsm8k/train.jsonl.gz"), "gsm8k", "rlvr").kept.to_pylist()
    assert sum("\u2028" in json.dumps(row, ensure_ascii=False) for row in prompts) == 1


def test_real_integers_beyond_floats_stay_exact(shared_data):
    file = shared_data / "rlvr/bfcl-v4/data/BFCL_v4_multi_turn_base.json"
    fields = {"messages": "question.0", "verifier_args": "initial_config"}
    outcome = conform(from_file(file), fields, "rlvr")
    big = [number for number in re.findall(r"(?<![\d.\"])\d{16,}(?![\d.\"])", file.read_text()) if int(number) > 2**53]
    kept = "".join(text for name in ("verifier_args", "meta") for text in outcome.kept[name].to_pylist() if text)
    assert (outcome.kept.num_rows, len(big)) == (200, 4)
    assert all(number in kept for number in big)


def test_real_gsm8k_answers(shared_data):
    file = shared_data / "rlvr/gsm8k/test.jsonl"
    expected = [
        json.loads(line)["answer"].rpartition("####")[2].strip() for line in file.read_text().split("\n") if line
    ]
    assert conform(from_file(file), "gsm8k", "rlvr").kept["answer"].to_pylist() == expected


def test_every_format_that_is_offered_has_a_converter() -> None:
    assert {regime: tuple(named) for regime, named in CONVERTERS.items()} == OFFERED
