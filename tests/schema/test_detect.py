"""Detection says what it saw; the same rows read as CSV, wrapped JSON or lines."""

from __future__ import annotations

import json

import pytest
from tests.schema.bronze import conform, reasons, said, table

from ingot.errors import ConfigError
from ingot.schema.detect import detect

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SHARED = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
ROOT = {"role": "prompter", "text": "q", "replies": [{"role": "assistant", "text": "a", "replies": []}]}


@pytest.mark.parametrize(
    ("row", "regime", "name"),
    [
        ({"messages": TURNS}, "sft", "openai"),
        ({"conversations": TURNS}, "sft", "openai"),
        ({"conversations": SHARED, "tools": "[]"}, "sft", "sharegpt"),
        ({"instruction": "i", "input": "", "output": "o"}, "sft", "alpaca"),
        ({"instruction": "i", "instances": [{"input": "", "output": "o"}]}, "sft", "self_instruct"),
        ({"prompt": "p", "completion": "c"}, "sft", "prompt_completion"),
        ({"question": "q", "answer": "a"}, "sft", "prompt_completion"),
        (ROOT, "sft", "oasst"),
        ({"message_tree_id": "t", "prompt": ROOT}, "sft", "oasst"),
        ({"Definition": ["d"], "Instances": []}, "sft", "natural_instructions"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}, "preference", "hh"),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "preference", "trl"),
        ({"chosen": TURNS, "rejected": TURNS}, "preference", "trl"),
        ({"conversations": SHARED, "chosen": SHARED[1], "rejected": SHARED[1]}, "preference", "sharegpt_preference"),
        ({"messages": TURNS, "label": True}, "preference", "kto"),
        ({"prompt": "p", "completion": "c", "label": False}, "preference", "kto"),
        ({"question": "q", "answer": "x #### 5"}, "rlvr", "gsm8k"),
        ({"problem": "p", "answer": "5"}, "rlvr", "math"),
        ({"question": "q", "options": ["a", "b"], "correct": "A"}, "rlvr", "choice"),
        ({"problem": "p", "tests": {"functional": "x"}}, "rlvr", "code_tests"),
        ({"question": "q", "answer": "5"}, "rlvr", "qa"),
    ],
)
def test_each_format_is_detected(row, regime, name):
    found = detect(table([row] * 3), regime)
    assert found.format is not None
    assert found.format.name == name
    assert found.why.startswith(f"{name}: 3 of 3 sampled rows have ")


def test_the_majority_decides_and_bad_rows_do_not_count():
    rows = ["{", {"messages": TURNS}, {"messages": TURNS}, {"conversations": SHARED}]
    found = detect(table(rows), "sft")
    assert found.why == "openai: 2 of 3 sampled rows have messages[].role/content"
    assert reasons(conform(rows, "openai")) == {"invalid_json": 1, "missing_field": 1}


def test_only_the_sample_is_looked_at():
    rows = [{"messages": TURNS}] * 200 + [{"conversations": SHARED}] * 500
    assert detect(table(rows), "sft").why.startswith("openai: 200 of 200")


def test_nothing_readable_is_no_error_but_no_answer_either():
    found = detect(table(["{", ""]), "sft")
    assert found.format is None
    assert reasons(conform(["{", "", {"messages": TURNS}], "auto")) == {
        "invalid_json": 1,
        "empty_row": 1,
        "format_mismatch": 1,
    }


def test_unknown_shapes_are_an_error_that_names_the_fields():
    with pytest.raises(ConfigError, match=r"E111 .*fields of the first: text, lang") as caught:
        detect(table([{"text": "t", "lang": "en"}]), "sft")
    assert "field map" in caught.value.next
    with pytest.raises(ConfigError, match="nearest: alpaca: 1 of 2"):
        detect(table([{"text": "t"}, {"instruction": "i", "output": "o"}]), "sft")


def test_wrapped_rows_are_detected_by_what_is_around_them():
    found = detect(table([{"input": "x", "output": ["o"]}], container="wrapped", context={"Definition": ["d"]}), "sft")
    assert found.why == "natural_instructions: 1 of 1 sampled rows have input and output[] inside a Definition"


CSV = {"header": ["question", "answer", "", "answer"], "delimiter": ";", "quote": '"', "encoding": "utf-8"}


def test_delimited_rows_become_objects():
    rows = [b'"a;b ""c""";4;x;y', "né;5;;".encode(), b"only;two", b"bad;\xd5;;"]
    bronze = table(rows, container="csv", context=CSV)
    assert detect(bronze, "sft").why.startswith("prompt_completion: 2 of 2")
    outcome = conform(bronze, {"prompt": "question", "response": "answer"})
    assert [said(m) for m in outcome.kept["messages"].to_pylist()] == [
        [("user", 'a;b "c"'), ("assistant", "4")], [("user", "né"), ("assistant", "5")],
    ]  # fmt: skip
    assert json.loads(outcome.kept["meta"][0].as_py()) == {"column_3": "x", "column_4": "y"}
    assert reasons(outcome) == {"ragged_row": 1, "invalid_utf8": 1}


def test_delimited_rows_in_their_own_encoding():
    bronze = table(
        ["日本;語".encode("shift_jis")],
        container="csv",
        context={"header": ["a", "b"], "delimiter": ";", "encoding": "shift_jis"},
    )
    assert said(conform(bronze, {"prompt": "a", "response": "b"}).kept["messages"][0].as_py()) == [
        ("user", "日本"),
        ("assistant", "語"),
    ]


def test_what_bronze_could_not_read_is_rejected_with_its_detail():
    bronze = table([b"junk", {"messages": TURNS}], problems={0: ("invalid_utf8", "byte 3")})
    outcome = conform(bronze, "openai")
    assert reasons(outcome) == {"invalid_utf8": 1}
    assert json.loads(outcome.rejects["evidence"][0].as_py()) == {"detail": "byte 3", "raw": "junk"}
    assert outcome.kept.num_rows == 1


def test_evidence_of_bad_json_points_at_the_byte():
    seen = json.loads(conform(['{"a": tru}'], "openai").rejects["evidence"][0].as_py())
    assert (seen["byte"], seen["near"]) == (9, '{"a": tru}')
