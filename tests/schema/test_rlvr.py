"""Prompts with verifiable answers."""

from __future__ import annotations

import json

import pytest
from tests.schema.bronze import conform, reasons, said

from ingot.schema.convert.rlvr import boxed


def record(outcome, row=0):
    return outcome.kept.slice(row, 1).to_pylist()[0]


def test_gsm8k_takes_what_follows_the_mark_and_keeps_the_solution():
    solution = "2 + 2 = <<2+2=4>>4\n#### 4 "
    found = record(conform([{"question": "q", "answer": solution}], "gsm8k", "rlvr"))
    assert (said(found["prompt"]), found["answer"], found["verifier"]) == ([("user", "q")], "4", "gsm8k")
    assert json.loads(found["meta"]) == {"answer": solution}


@pytest.mark.parametrize("answer", ["no mark", "#### ", ""])
def test_gsm8k_without_an_answer(answer):
    assert reasons(conform([{"question": "q", "answer": answer}], "gsm8k", "rlvr")) == {"no_answer": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{4}", "4"),
        (r"\boxed{1} or \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"is $\boxed 7$.", "7"),
        (r"\fbox{x}", "x"),
        (r"\boxed{never closed", None),
        ("nothing", None),
        (None, None),
    ],
)
def test_boxed(text, expected):
    assert boxed(text) == expected


def test_math_answers_from_the_field_or_the_box():
    rows = [
        {"problem": "p", "answer": "5", "solution": r"\boxed{6}"},
        {"problem": "p", "solution": r"\boxed{6}", "level": 1},
        {"problem": "p", "answer": 1.5},
        {"problem": "p", "answer": None, "solution": "none"},
    ]
    outcome = conform(rows, "math", "rlvr")
    assert outcome.kept["answer"].to_pylist() == ["5", "6", "1.5"]
    assert set(outcome.kept["verifier"].to_pylist()) == {"math"}
    assert json.loads(record(outcome, 1)["meta"]) == {"solution": r"\boxed{6}", "level": 1}
    assert reasons(outcome) == {"no_answer": 1}


def test_choice_letters_indices_and_texts():
    options = ["x", "y", "z"]
    rows = [
        {"question": "q", "options": ["A)x", "B)y"], "correct": "B", "rationale": "r"},
        {"question": "q", "choices": options, "answer": 2},
        {"question": "q", "options": options, "correct": "x"},
        {"question": "q", "options": options, "correct": "Q"},
        {"question": "q", "options": ["x"], "correct": "A"},
    ]
    outcome = conform(rows, "choice", "rlvr")
    assert outcome.kept["answer"].to_pylist() == ["B", "C", "A"]
    assert said(record(outcome)["prompt"]) == [("user", "q\nA)x\nB)y")]
    assert said(record(outcome, 1)["prompt"]) == [("user", "q\nA) x\nB) y\nC) z")]
    assert json.loads(record(outcome, 1)["verifier_args"]) == {"options": options}
    assert json.loads(record(outcome)["meta"]) == {"rationale": "r"}
    assert reasons(outcome) == {"no_answer": 1, "missing_field": 1}


def test_code_tests_go_to_the_verifiers_arguments():
    rows = [
        {"problem": "p", "tests": {"functional": "def check(): ..."}, "solutions": "s"},
        {"prompt": "p", "test": "assert f()", "entry_point": "f", "task_id": "HumanEval/0"},
        {"prompt": "p", "tests": []},
    ]
    outcome = conform(rows, "code_tests", "rlvr")
    assert [json.loads(text) for text in outcome.kept["verifier_args"].to_pylist()] == [
        {"tests": {"functional": "def check(): ..."}},
        {"tests": "assert f()", "entry_point": "f"},
    ]
    assert outcome.kept["answer"].to_pylist() == [None, None]
    assert outcome.kept["source_id"].to_pylist() == [None, "HumanEval/0"]
    assert json.loads(record(outcome)["meta"]) == {"solutions": "s"}
    assert reasons(outcome) == {"no_answer": 1}


def test_qa_and_who_verifies():
    rows = [
        {"question": "q", "answer": 51.0},
        {"messages": [{"role": "user", "content": "q"}], "ground_truth": ["a", "b"], "verifier": "ifeval"},
        {"question": "q", "answer": "a", "verifier_args": {"k": 1}},
        {"question": "", "answer": "a"},
        {"question": "q", "answer": {"x": 1}},
        {"question": "q"},
    ]
    outcome = conform(rows, "qa", "rlvr")
    assert outcome.kept["answer"].to_pylist() == ["51.0", '["a", "b"]', "a"]
    assert outcome.kept["verifier"].to_pylist() == ["exact", "ifeval", "exact"]
    assert outcome.kept["verifier_args"].to_pylist() == [None, None, '{"k": 1}']
    assert outcome.kept["meta"].to_pylist() == [None] * 3
    assert reasons(outcome) == {"empty_prompt": 1, "wrong_type": 1, "format_mismatch": 1}
    declared = conform(rows[:2], {"name": "qa", "verifier": "math"}, "rlvr")
    assert declared.kept["verifier"].to_pylist() == ["math", "math"]
    assert json.loads(record(declared, 1)["meta"]) == {"verifier": "ifeval"}
