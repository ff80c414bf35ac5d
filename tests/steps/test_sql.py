"""`sql`: what a query may do, what it may not, and how its rows are matched back."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.steps.records import GOLDEN, chat, chats, conserved, contents, context, digest, row, same_in_parts, table

from ingot.core.step import Outcome
from ingot.errors import StepError
from ingot.steps.sql import Sql, SqlConfig
from ingot.steps.sql_check import problem

BEFORE = table(
    [row(i, messages=chat("question", *["a", "b"][: i % 2 + 1]), meta=json.dumps({"score": i})) for i in range(1, 7)]
)


def apply(query: str, before: pa.Table = BEFORE) -> Outcome:
    return Sql(SqlConfig(query=query)).apply(before, context())


def test_a_filter_rejects_with_the_query_and_keeps_the_order() -> None:
    query = "select * from input where (meta->>'score')::int > 3 order by line desc"
    outcome = apply(query)
    conserved(BEFORE, outcome)
    assert outcome.kept.equals(BEFORE.slice(3))
    assert {one["reason"] for one in outcome.rejects.to_pylist()} == {"sql_filter"}
    assert json.loads(outcome.rejects["evidence"][0].as_py()) == {"query": query}


def test_changed_and_new_columns() -> None:
    outcome = apply("""
        select * replace (list_transform(messages, lambda m: struct_update(m, content := upper(m.content))) as messages),
               len(messages) as turns, (select count(*) from unnest(messages) as t(m) where m.role = 'user') as users
        from input""")
    assert outcome.kept.column_names == [*BEFORE.column_names, "turns", "users"]
    assert outcome.kept.schema.field("messages").type == BEFORE.schema.field("messages").type
    assert contents(outcome.kept)[0] == ["QUESTION", "A", "B"]
    assert outcome.kept["users"].to_pylist() == [2, 1] * 3


def test_provenance_is_put_back_when_left_out() -> None:
    outcome = apply("with short as (from input where line < 3) select record_id, messages, tools, meta from short")
    assert outcome.kept.equals(BEFORE.slice(0, 2))


def test_identical_rows_are_told_apart_by_their_place() -> None:
    twin = {**row(1, messages=chat("same")), "line": 8}
    before = table([row(1, messages=chat("same")), twin, row(2, messages=chat("other"))])
    outcome = apply("select * from input where line <> 1", before)
    assert outcome.kept["line"].to_pylist() == [8, 2]
    assert outcome.rejects["line"].to_pylist() == [1]
    both = apply("select record_id, messages, tools, meta from input", before)
    assert both.kept.equals(before)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("select *, random() as r from input", "random"),
        ("select *, uuid() as u from input", "uuid"),
        ("select * from input where now() is not null", "now"),
        ("select *, current_timestamp as t from input", "current_timestamp"),
        ("select *, today() as t from input", "today"),
        ("select *, ago(interval 1 day) as t from input", "ago"),
        ("select *, current_setting('threads') as t from input", "current_setting"),
        ("select * from input limit 2", "LIMIT"),
        ("select distinct * from input", "DISTINCT"),
        ("select * from input using sample 1", "sample"),
        ("select * from input tablesample 50%", "sample"),
        ("select max(line) from input", "max"),
        ("select record_id, count(*) from input group by all", "count"),
        ("select *, row_number() over (order by line) as n from input", "row_number"),
        ("select * from input qualify row_number() over () = 1", "QUALIFY"),
        ("select * from input where line > (select avg(line) from input)", "avg"),
        ("select * from input union all select * from input", "set operation"),
        ("select a.* from input a join input b using (record_id)", "exactly once"),
        ("select 1 as record_id", "exactly once"),
        ("select * from read_csv('x.csv'), input", "read_csv"),
        ("select * from 'x.parquet'", "x.parquet"),
        ("select * from input, 'x.parquet' as other", "x.parquet"),
        ("select 1; select 2", "2 statements"),
        ("selec 1", "syntax error"),
        ("copy input to 'x.csv'", "SELECT"),
        ("attach 'x.db'", "SELECT"),
        ("install httpfs", "SELECT"),
        ("set threads = 4", "SELECT"),
        ("create table x as from input", "SELECT"),
    ],
)
def test_queries_that_are_not_row_by_row(query: str, word: str) -> None:
    with pytest.raises(StepError) as caught:
        apply(query)
    assert caught.value.code == "E411"
    assert word in caught.value.message
    assert query.split()[0] in caught.value.message


@pytest.mark.parametrize(
    ("query", "code", "word"),
    [
        ("select nothing from input", "E412", "nothing"),
        ("select messages from input", "E412", "record_id"),
        ("select * exclude (tools) from input", "E412", "tools"),
        ("select * replace (1 as messages) from input", "E412", "messages"),
        ("select *, read_text('/etc/passwd') as t from input", "E412", "read_text"),
        ("select * replace ('x' as record_id) from input", "E413", "invents record_id 'x'"),
        ("select * from input, range(2) t(n)", "E413", "repeats record_id"),
        ("select * replace ('other' as license) from input", "E413", "license"),
        ("select * replace (line + 1 as line) from input", "E413", "invents"),
    ],
)
def test_answers_that_cannot_be_taken(query: str, code: str, word: str) -> None:
    with pytest.raises(StepError) as caught:
        apply(query)
    assert caught.value.code == code
    assert word in caught.value.message


def test_variables_of_the_process_are_out_of_reach() -> None:
    other = BEFORE  # noqa: F841
    with pytest.raises(StepError, match="E411"):
        apply("select input.* from input, other")


def test_no_rows() -> None:
    outcome = apply("select *, 1 as one from input", BEFORE.slice(0, 0))
    assert len(outcome.kept) == len(outcome.rejects) == 0
    assert outcome.kept.schema.names[-1] == "one"


def test_what_is_row_by_row_is_let_through() -> None:
    assert problem("from input") is None
    assert (
        problem("select * from input where len(list_filter(messages, lambda m: m.role = 'user')) > 1 order by uri")
        is None
    )
    assert (
        problem(
            "select *, (select string_agg(m.content, ' ' order by i) from unnest(messages) with ordinality t(m, i)) from input"
        )
        is None
    )


@settings(max_examples=15, deadline=None)  # DuckDB starts anew each time
@given(st.lists(st.text("ab", max_size=4), max_size=6), st.integers(0, 6))
def test_laws(texts: list[str], cut: int) -> None:
    before = chats(*(chat(text) for text in texts))
    query = "select *, len(messages[1].content) as n from input where messages[1].content <> 'a'"
    outcome = apply(query, before)
    conserved(before, outcome)
    same_in_parts(before, min(cut, len(before)), lambda part: apply(query, part))
    assert [one[0] for one in contents(outcome.kept)] == [text for text in texts if text != "a"]


def test_golden() -> None:
    """When this fails on purpose, raise Sql.version with it."""
    assert Sql.version == 1
    outcome = apply("select *, len(messages) as turns from input where len(messages) < 4", GOLDEN["sft"])
    assert (
        digest(outcome.kept) + digest(outcome.rejects)
        == "6754ad7bb53e238bb18b9fa744a77d9593608fd444fca8b4221ee03a71b304f3"
    )
