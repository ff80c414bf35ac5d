"""Cursors, and the small modules around them: batch, turns, calls, parts, dialogue, mapping, rows."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from ingot.schema.convert import calls, parts, turns
from ingot.schema.convert.batch import Faults
from ingot.schema.cursor import Cursor, blank, join, leftover, parse


def rows(*values: object) -> Cursor:
    return parse(pa.array([json.dumps(value) for value in values], pa.string()))


def test_an_indexed_cursor_answers_as_a_plain_one():
    plain = rows({"a": 1, "b": None}, {"b": "x", "c": {"a": 2}}, [1], {"a": None}, "a", {})
    indexed = plain.indexed()
    assert indexed.index is not None
    for key in ("a", "b", "c", "d", ""):
        assert indexed.member(key).nodes.tolist() == plain.member(key).nodes.tolist()
    assert leftover(indexed, {"a": True, "b": True, "c": True}) is None
    assert leftover(indexed, {"a": True}).to_pylist() == leftover(plain, {"a": True}).to_pylist()


def test_escaped_or_very_many_keys_are_not_indexed():
    escaped = parse(pa.array(['{"\\u0061":1}']))
    assert escaped.indexed().index is None
    assert escaped.indexed().member("a").raw().to_pylist() == ["1"]
    many = rows({str(k): k for k in range(100)})
    assert many.indexed().index is None
    assert many.indexed().member("99").raw().to_pylist() == ["99"]


def test_first_prefers_values_over_null_over_nothing():
    found, which = rows({"a": None, "b": 2}, {"b": None}, {"a": 1, "b": 2}, {}).indexed().first(("a", "b"))
    assert found.raw().to_pylist() == ["2", "null", "1", None]
    assert which.tolist() == [1, 1, 0, -1]


def test_leftover_depends_on_what_each_row_gave_away():
    cursor = rows({"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1}, {"b": 2})
    taken = {"a": np.array([True, False, True, False]), "b": np.array([False, False, True, True])}
    assert leftover(cursor, taken).to_pylist() == ['{"b": 2}', '{"a": 1,"b": 2}', None, None]


def test_walk_goes_through_objects_and_lists():
    cursor = rows({"a": [{"b": "x"}, {"b": "y"}]}, {"a": [{"b": "z"}]}, {"a": {"b": 1}}, {})
    assert cursor.walk(("a", 1, "b")).text().to_pylist() == ["y", None, None, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, True),
        ("", True),
        (" \n\t", True),
        ("\u3000\u00a0", True),
        (" a", False),
        ("a", False),
        ("\u00e9", False),
        ("é ", False),
    ],
)
def test_blank(text, expected):
    assert blank(pa.array([text, "other"], pa.string())).tolist() == [expected, False]


def test_join_leaves_nulls_out_and_loses_no_row():
    pieces = [pa.array(["a", None, None, "a"]), pa.array([None, None, "b", "b"])]
    assert join(pieces, "-").to_pylist() == ["a", None, "b", "a-b"]


def test_the_first_fault_counts_and_is_spread_to_items():
    faults = Faults(3)
    faults.add(np.array([1, 1]), "empty_turn", lambda k: {"k": k})
    faults.add_where(np.array([False, True, True]), "no_answer", lambda unit: {"unit": unit})
    assert faults.reason == {1: "empty_turn", 2: "no_answer"}
    assert faults.evidence == {1: {"k": 0}, 2: {"unit": 2}}
    items = faults.spread(np.array([0, 0, 2]))
    assert (items.ok.tolist(), items.reason) == ([True, True, False], {2: "no_answer"})
    with pytest.raises(KeyError, match="not in the catalogue"):
        faults.add(np.array([0]), "no such reason", lambda k: {})


def test_merged_turns_are_ordered_by_unit_then_part():
    first = turns.said(turns.USER, pa.array(["q0", "q1"]))
    second = turns.said(turns.ASSISTANT, pa.array(["a0", "a1"]), np.array([False, True]))
    merged = turns.merge([first, second])
    assert merged.content.to_pylist() == ["q0", "q1", "a1"]
    lists = merged.lists(3, np.array([False, False, True]))
    assert [None if m is None else [t["content"] for t in m] for m in lists.to_pylist()] == [["q0"], ["q1", "a1"], None]


def test_calls_written_as_names_to_arguments():
    found = calls.from_map(rows({"f": {"x": 1}, "g": {}}, {}), np.array([4, 7]))
    assert (found.owner.tolist(), found.name.to_pylist()) == ([4, 4], ["f", "g"])
    assert found.arguments.to_pylist() == ['{"x": 1}', "{}"]


def test_joined_parts_report_by_list():
    seen: list[tuple[int, str]] = []
    lists = rows(["a", {"type": "text", "text": "b"}], [3], [{"type": "audio"}])
    found = parts.joined(lists, lambda places, reason, _: seen.extend((p, reason) for p in places.tolist()), "content")
    assert found.content.to_pylist() == ["ab", None, None]
    assert seen == [(1, "wrong_type")]
