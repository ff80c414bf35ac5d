"""Conversations: a miniature of each format and of each trap, read into messages."""

from __future__ import annotations

import json

import pytest
from tests.schema.bronze import conform, reasons, said


def messages(outcome, row=0):
    return outcome.kept["messages"][row].as_py()


def evidence(outcome, row=0):
    return json.loads(outcome.rejects["evidence"][row].as_py())


def chat(*turns, **more):
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def test_openai_messages_keep_roles_and_texts():
    outcome = conform([chat(("system", "s"), ("user", "né 🙂"), ("assistant", "a\nb"), id=7, score=0.10)], "openai")
    assert said(messages(outcome)) == [("system", "s"), ("user", "né 🙂"), ("assistant", "a\nb")]
    assert outcome.kept["source_id"].to_pylist() == ["7"]
    assert outcome.kept["meta"].to_pylist() == ['{"score": 0.1}']
    assert outcome.kept["format"].to_pylist() == ["openai"]


@pytest.mark.parametrize("key", ["messages", "conversation", "conversations"])
def test_openai_turns_are_found_under_each_usual_key(key):
    outcome = conform([{key: chat(("user", "q"), ("assistant", "a"))["messages"]}], "openai")
    assert said(messages(outcome)) == [("user", "q"), ("assistant", "a")]
    assert outcome.kept["meta"].to_pylist() == [None]


def test_unknown_fields_are_kept_as_they_are_written():
    meta = '"n":12345678901234567890123,"f":1.0,"o":{"b":null,"a":[ ]}}'
    turns = '{"messages":[{"role":"user","content":"q","weight":1e3},{"role":"assistant","content":"a"}],'
    outcome = conform([turns + meta], "openai")
    assert outcome.kept["meta"][0].as_py() == "{" + meta
    assert messages(outcome)[0]["meta"] == '{"weight":1e3}'


def test_tool_calls_with_arguments_as_text_or_object():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    other = {"function": {"name": "g", "arguments": {"y": [2]}}}
    none = {"function": {"name": "h"}}
    row = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "tool_calls": [call, other, none]},
            {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "3"},
            {"role": "assistant", "content": "done"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    outcome = conform([row], "openai")
    turns = messages(outcome)
    assert turns[1]["content"] is None
    assert [(c["id"], c["name"], json.loads(c["arguments"])) for c in turns[1]["tool_calls"]] == [
        ("c1", "f", {"x": 1}), (None, "g", {"y": [2]}), (None, "h", {}),
    ]  # fmt: skip
    assert (turns[2]["role"], turns[2]["tool_call_id"], turns[2]["name"]) == ("tool", "c1", "f")
    assert json.loads(outcome.kept["tools"][0].as_py()) == row["tools"]
    assert turns[1]["meta"] is None


def test_members_of_a_tool_call_that_no_column_holds_stay_in_meta():
    call = {"index": 0, "function": {"name": "f", "arguments": "{}", "strict": True}}
    row = chat(("user", "q"), ("assistant", "a"))
    row["messages"][1]["tool_calls"] = [call]
    assert json.loads(messages(conform([row], "openai"))[1]["meta"]) == {"tool_calls": [call]}


def test_null_members_of_known_names_are_absence():
    row = chat(("user", "q"), ("assistant", "a"))
    row["messages"][0] |= {"name": None, "tool_calls": None, "refusal": None}
    turn = messages(conform([row], "openai"))[0]
    assert (turn["name"], turn["tool_calls"], turn["meta"]) == (None, None, '{"refusal": null}')


def test_legacy_function_call_and_function_role():
    row = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"},
            {"role": "assistant", "content": "a"},
        ]
    }
    turns = messages(conform([row], "openai"))
    assert turns[1]["tool_calls"] == [{"id": None, "name": "f", "arguments": "{}"}]
    assert (turns[2]["role"], turns[2]["name"]) == ("tool", "f")


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_has_its_own_column(key):
    row = chat(("user", "q"), ("assistant", "a"))
    row["messages"][1][key] = "hm"
    turn = messages(conform([row], "openai"))[1]
    assert (turn["reasoning"], turn["content"], turn["meta"]) == ("hm", "a", None)


def test_think_tags_inside_content_stay_content():
    turn = messages(conform([chat(("user", "q"), ("assistant", "<think>x</think>a"))], "openai"))[1]
    assert (turn["content"], turn["reasoning"]) == ("<think>x</think>a", None)


def test_parts_are_joined_and_kept():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, "c"]
    image = [{"type": "image_url", "image_url": {"url": "u"}}]
    turns = messages(conform([chat(("user", parts), ("user", image), ("assistant", "x"))], "openai"))
    assert turns[0]["content"] == "abc"
    assert json.loads(turns[0]["parts"]) == parts
    assert (turns[1]["content"], json.loads(turns[1]["parts"])) == (None, image)


def test_typed_parts_become_reasoning_and_tool_calls():
    parts = [
        {"type": "reasoning", "value": "hm"},
        {"type": "tool_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        {"type": "tool_call", "value": '{"name": "g", "arguments": {}}'},
    ]
    row = chat(("user", "q"), ("assistant", parts), ("tool", "r"), ("assistant", "a"))
    turn = messages(conform([row], "openai"))[1]
    assert (turn["content"], turn["reasoning"]) == (None, "hm")
    assert [c["name"] for c in turn["tool_calls"]] == ["f", "g"]


def test_sharegpt_with_system_tools_as_text_and_calls():
    row = {
        "system": "be kind", "tools": '[{"name": "f"}]',
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 12345678901234567890}}'},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "a"},
        ],
    }  # fmt: skip
    outcome = conform([row], "sharegpt")
    turns = messages(outcome)
    assert said(turns) == [("system", "be kind"), ("user", "q"), ("assistant", None), ("tool", "3"), ("assistant", "a")]
    assert turns[2]["tool_calls"] == [{"id": None, "name": "f", "arguments": '{"x": 12345678901234567890}'}]
    assert outcome.kept["tools"].to_pylist() == ['[{"name": "f"}]']
    assert outcome.kept["meta"].to_pylist() == [None]


def test_sharegpt_empty_system_and_tools_are_absence():
    row = {"system": "", "tools": "", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    outcome = conform([row], "sharegpt")
    assert said(messages(outcome)) == [("user", "q"), ("assistant", "a")]
    assert outcome.kept["tools"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"from": "function_call", "value": "{not json"}, "bad_json_in_string"),
        ({"from": "function_call", "value": '{"arguments": {}}'}, "missing_field"),
        ({"from": "narrator", "value": "x"}, "unknown_role"),
        ({"from": 3, "value": "x"}, "wrong_type"),
        ({"value": "x"}, "missing_field"),
        ({"from": "gpt", "value": 3}, "wrong_type"),
        ({"from": "gpt", "value": " \n\t"}, "empty_turn"),
        ({"from": "gpt"}, "empty_turn"),
        ("text", "wrong_type"),
    ],
)
def test_bad_turns_are_named(turn, reason):
    good = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    bad = {"conversations": [{"from": "human", "value": "q"}, turn]}
    outcome = conform([good, bad], "sharegpt")
    assert reasons(outcome) == {reason: 1}
    assert outcome.rejects["line"].to_pylist() == [2]
    assert evidence(outcome)["path"].startswith("conversations[1]")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "no_messages"),
        ({"messages": None}, "missing_field"),
        ({"messages": "hi"}, "wrong_type"),
        ({"text": "hi"}, "format_mismatch"),
        (chat(("user", "q")), "no_assistant_turn"),
        (chat(("user", ""), ("assistant", "a")), "empty_turn"),
        (chat(("user", "q"), ("assistant", [])), "empty_turn"),
        (chat(("user", "q"), ("assistant", [{"type": "text", "text": ""}])), "empty_turn"),
        (chat(("user", "q"), ("assistant", [{"type": "text"}])), "missing_field"),
        (chat(("user", "q"), ("assistant", [{"type": "text", "text": 1}])), "wrong_type"),
        (chat(("user", "q"), ("assistant", [1])), "wrong_type"),
        (chat(("user", "q"), ("assistant", "a"), tools="nope"), "bad_json_in_string"),
        (chat(("user", "q"), ("assistant", "a"), tools={"a": 1}), "wrong_type"),
        (chat(("user", "q"), ("assistant", "a"), ("tool", "r"), ("assistant", "b")), "tool_result_without_call"),
        ("[1]", "wrong_type"),
        ("{", "invalid_json"),
        ('{"a":1,"a":2}', "duplicate_key"),
        ('{"a":NaN}', "non_finite_number"),
        (b'{"a":"\xff"}', "invalid_utf8"),
        ('{"a":"\\ud800"}', "lone_surrogate"),
        ("[" * 100_000, "too_deep"),
    ],
)
def test_rows_that_cannot_be_conversations(row, reason):
    outcome = conform([row], "openai")
    assert reasons(outcome) == {reason: 1}
    assert evidence(outcome)


def test_evidence_names_the_path_and_cuts_the_value():
    row = chat(("user", "q"), ("assistant", "a"))
    row["messages"][1]["content"] = {"deep": "x" * 1000}
    seen = evidence(conform([row], "openai"))
    assert seen["path"] == "messages[1].content"
    assert seen["value"].startswith('{"deep"')
    assert len(seen["value"]) == 201


def test_a_tool_call_needs_its_result_unless_it_is_last():
    call = [{"function": {"name": "f", "arguments": "{}"}}]
    open_ = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": call}]}
    lost = {
        "messages": [*open_["messages"], {"role": "user", "content": "well?"}, {"role": "assistant", "content": "a"}]
    }
    outcome = conform([open_, lost], "openai")
    assert outcome.kept.num_rows == 1
    assert reasons(outcome) == {"tool_call_without_result": 1}
    assert evidence(outcome)["path"] == "messages[1]"


def test_a_result_after_a_call_written_in_text_is_no_orphan():
    row = chat(("user", "q"), ("assistant", '<tool_call>{"name":"f"}</tool_call>'), ("tool", "r"), ("assistant", "a"))
    assert conform([row], "openai").kept.num_rows == 1


@pytest.mark.parametrize("arguments", ["{oops", 5])
def test_arguments_that_are_not_json(arguments):
    row = chat(("user", "q"), ("assistant", "x"))
    row["messages"][1]["tool_calls"] = [{"function": {"name": "f", "arguments": arguments}}]
    assert set(reasons(conform([row], "openai"))) <= {"bad_json_in_string", "wrong_type"}


def test_alpaca_input_joins_the_instruction_and_empty_input_is_absence():
    rows = [
        {"instruction": "do", "input": "this", "output": "done"},
        {"instruction": "do", "input": "", "output": "done"},
        {"instruction": "do", "input": None, "response": "done", "k": 1},
        {"instruction": "do", "context": "that", "response": "done", "system": "s"},
    ]
    outcome = conform(rows, "alpaca")
    assert [said(m) for m in outcome.kept["messages"].to_pylist()] == [
        [("user", "do\nthis"), ("assistant", "done")],
        [("user", "do"), ("assistant", "done")],
        [("user", "do"), ("assistant", "done")],
        [("system", "s"), ("user", "do\nthat"), ("assistant", "done")],
    ]
    assert outcome.kept["meta"].to_pylist() == [None, None, '{"k": 1}', None]


def test_alpaca_history_and_joiner():
    row = {"instruction": "i", "input": "x", "output": "o", "history": [["q1", "a1"], ["q2", "a2"]]}
    turns = messages(conform([row], {"name": "alpaca", "join": "\n\n"}))
    assert said(turns) == [("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2"),
                           ("user", "i\n\nx"), ("assistant", "o")]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output": True}, "wrong_type"),
        ({"output": ""}, "empty_response"),
        ({"output": None}, "missing_field"),
        ({"instruction": " "}, "empty_prompt"),
        ({"input": ["x"]}, "wrong_type"),
        ({"history": [["q"]]}, "wrong_type"),
        ({"history": [["q", 1]]}, "wrong_type"),
    ],
)
def test_alpaca_rows_that_are_refused(change, reason):
    assert reasons(conform([{"instruction": "i", "output": "o", **change}], "alpaca")) == {reason: 1}


def test_prompt_completion_as_texts_and_as_messages():
    rows = [
        {"prompt": "q", "completion": "a<|endoftext|>"},
        {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]},
        {"question": "q", "answer": "a", "level": 3},
        {"instruction": "q", "input": "x", "completion": "a"},
    ]
    outcome = conform(rows, "prompt_completion")
    assert [said(m) for m in outcome.kept["messages"].to_pylist()] == [
        [("user", "q"), ("assistant", "a<|endoftext|>")],
        [("user", "q"), ("assistant", "a")],
        [("user", "q"), ("assistant", "a")],
        [("user", "q\nx"), ("assistant", "a")],
    ]
    assert outcome.kept["meta"].to_pylist() == [None, None, '{"level": 3}', None]


def test_the_first_usable_id_wins_and_the_others_stay():
    rows = [
        chat(("user", "q"), ("assistant", "a"), id=12345678901234567890, name="n"),
        chat(("user", "q"), ("assistant", "a"), id={"x": 1}, uid="u"),
        chat(("user", "q"), ("assistant", "a"), name="only"),
        chat(("user", "q"), ("assistant", "a"), id=""),
        chat(("user", "q"), ("assistant", "a")),
    ]
    outcome = conform(rows, "openai")
    assert outcome.kept["source_id"].to_pylist() == ["12345678901234567890", "u", "only", None, None]
    assert outcome.kept["meta"].to_pylist() == ['{"name": "n"}', '{"id": {"x": 1}}', None, '{"id": ""}', None]


def test_a_declared_id_wins():
    row = chat(("user", "q"), ("assistant", "a"), id="x", meta={"uid": 5})
    outcome = conform([row], {"name": "openai", "id": "meta.uid"})
    assert outcome.kept["source_id"].to_pylist() == ["5"]
    assert json.loads(outcome.kept["meta"][0].as_py()) == {"id": "x", "meta": {"uid": 5}}
