"""Rows that yield several records: message trees, instances."""

from __future__ import annotations

import json

from tests.schema.bronze import conform, reasons, said, table

from ingot.kernels.hashing import item_ids


def node(role, text, *replies, **more):
    return {"message_id": text, "role": role, "text": text, "replies": list(replies), **more}


TREE = node(
    "prompter", "q",
    node(
        "assistant", "a",
        node("prompter", "q2", node("assistant", "a2", rank=1), node("assistant", "a3", rank=0)),
        rank=1,
    ),
    node("assistant", "b", node("prompter", "open"), rank=0),
    node("assistant", "c", rank=None),
    node("prompter", "odd"),
)  # fmt: skip


def paths(outcome):
    return [[text for _, text in said(m)] for m in outcome.kept["messages"].to_pylist()]


def test_every_path_that_ends_with_the_assistant_in_document_order():
    bronze = table([{"message_tree_id": "t", "tree_state": "ok", "prompt": TREE}])
    outcome = conform(bronze, "oasst")
    assert paths(outcome) == [["q", "a", "q2", "a2"], ["q", "a", "q2", "a3"], ["q", "b"], ["q", "c"]]
    assert outcome.added == 3
    assert outcome.kept["item"].to_pylist() == [0, 1, 2, 3]
    assert outcome.kept["source_id"].to_pylist() == ["t"] * 4
    assert outcome.kept["meta"].to_pylist() == ['{"tree_state": "ok"}'] * 4
    first = bronze["record_id"].combine_chunks()
    expected = item_ids(first.take([0] * 4), outcome.kept["item"].combine_chunks().to_numpy())
    assert outcome.kept["record_id"].to_pylist() == expected.to_pylist()
    assert outcome.kept["record_id"][0].as_py() == first[0].as_py()


def test_the_best_ranked_path():
    assert paths(conform([{"prompt": TREE}], {"name": "oasst", "paths": "best"})) == [["q", "b"]]


def test_flat_root_messages_are_trees_too():
    outcome = conform([TREE, node("prompter", "x")], "oasst")
    assert len(paths(outcome)) == 4
    assert reasons(outcome) == {"no_assistant_turn": 1}
    turn = outcome.kept["messages"][0].as_py()[1]
    assert json.loads(turn["meta"]) == {"message_id": "a", "rank": 1}
    assert outcome.kept["meta"].to_pylist() == [None] * 4


def test_messages_without_their_tree_and_deleted_ones():
    rows = [
        {**node("assistant", "reply"), "parent_id": "elsewhere"},
        node("prompter", "q", node("assistant", "gone", deleted=True), node("assistant", "stays")),
        node("prompter", "q", node("narrator", "x")),
    ]
    outcome = conform(rows, "oasst")
    assert paths(outcome) == [["q", "stays"]]
    assert reasons(outcome) == {"format_mismatch": 1, "unknown_role": 1}


def test_an_empty_message_rejects_only_the_paths_through_it():
    row = node("prompter", "q", node("assistant", ""), node("assistant", "good"), node("assistant", " "))
    outcome = conform([row], "oasst")
    assert paths(outcome) == [["q", "good"]]
    assert reasons(outcome) == {"empty_turn": 2}
    assert [json.loads(text).get("item") for text in outcome.rejects["evidence"].to_pylist()] == [None, 2]
    assert len(set(outcome.rejects["record_id"].to_pylist() + outcome.kept["record_id"].to_pylist())) == 3


def test_self_instruct_instances():
    row = {
        "id": "s", "name": "n", "instruction": "i", "is_classification": False,
        "instances": [
            {"input": "", "output": "o1"}, {"input": "x", "output": "o2", "note": 1}, {"input": "y", "output": ""},
        ],
    }  # fmt: skip
    outcome = conform([row, {"instruction": "i", "instances": []}], "self_instruct")
    assert [said(m) for m in outcome.kept["messages"].to_pylist()] == [
        [("user", "i"), ("assistant", "o1")], [("user", "i\nx"), ("assistant", "o2")],
    ]  # fmt: skip
    assert [json.loads(text) for text in outcome.kept["meta"].to_pylist()] == [
        {"name": "n", "is_classification": False},
        {"name": "n", "is_classification": False, "instance": {"note": 1}},
    ]
    assert reasons(outcome) == {"empty_response": 1, "missing_field": 1}
    assert outcome.added == 2


def test_natural_instructions_inside_their_file():
    rows = [{"id": "t-1", "input": "x", "output": ["o1", "o2"]}, {"id": "t-2", "input": "y", "output": ["o3"]}]
    bronze = table(rows, container="wrapped", context={"Definition": ["Do it.", "Well."], "URL": "u"})
    outcome = conform(bronze, "natural_instructions")
    assert [said(m) for m in outcome.kept["messages"].to_pylist()] == [
        [("system", "Do it.\nWell."), ("user", "x"), ("assistant", "o1")],
        [("system", "Do it.\nWell."), ("user", "y"), ("assistant", "o3")],
    ]
    assert outcome.kept["meta"].to_pylist() == ['{"output": ["o1", "o2"]}', None]
    assert outcome.kept["source_id"].to_pylist() == ["t-1", "t-2"]
    every = conform(bronze, {"name": "natural_instructions", "outputs": "all", "definition": "user"})
    assert [said(m) for m in every.kept["messages"].to_pylist()] == [
        [("user", "Do it.\nWell.\nx"), ("assistant", "o1")],
        [("user", "Do it.\nWell.\nx"), ("assistant", "o2")],
        [("user", "Do it.\nWell.\ny"), ("assistant", "o3")],
    ]
    assert every.kept["item"].to_pylist() == [0, 1, 0]
    assert every.kept["meta"].to_pylist() == [None] * 3


def test_natural_instructions_as_one_row_equal_those_inside_a_file():
    rows = [{"id": "t-1", "input": "x", "output": ["o1", "o2"]}, {"id": "t-2", "input": "y", "output": []}]
    whole = conform([{"Definition": ["D"], "Instances": rows}], {"name": "natural_instructions", "outputs": "all"})
    apart = conform(table(rows, context={"Definition": ["D"]}), {"name": "natural_instructions", "outputs": "all"})
    assert whole.kept["messages"].to_pylist() == apart.kept["messages"].to_pylist()
    assert whole.kept["item"].to_pylist() == [0, 1]
    assert reasons(whole) == reasons(apart) == {"empty_response": 1}
    assert reasons(conform(rows, "natural_instructions")) == {"format_mismatch": 2}
