"""Records made by hand, for the tests of steps and checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from ingot.core.step import Outcome, StepContext
from ingot.schema.digest import content_sums
from ingot.schema.records import REJECTS, record_schema


def turn(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("reasoning", "tool_calls", "tool_call_id", "name", "parts", "meta"))
    return {"role": role, "content": content, **empty, **more}


def chat(*contents: str | None, first: str = "user") -> list[dict[str, Any]]:
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [turn(roles[i % 2], content) for i, content in enumerate(contents)]


def row(number: int, regime: str = "sft", **own: Any) -> dict[str, Any]:
    provenance = {
        "record_id": f"{number:032x}",
        "source_id": f"id-{number}",
        "source": "made",
        "license": "MIT",
        "origin": "human",
        "uri": "made.jsonl",
        "line": number,
        "item": 0,
        "format": "openai",
    }
    return {**dict.fromkeys(record_schema(regime).names), **provenance, **own}


def table(rows: Sequence[dict[str, Any]], regime: str = "sft") -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=record_schema(regime))


def chats(*conversations: Sequence[dict[str, Any]]) -> pa.Table:
    return table([row(i + 1, messages=list(turns)) for i, turns in enumerate(conversations)])


def context(regime: str = "sft") -> StepContext:
    return StepContext(regime=regime, node="silver.clean", asset=lambda sha: b"")


def contents(kept: pa.Table, column: str = "messages") -> list[list[str | None]]:
    return [[one["content"] for one in turns] for turns in kept.column(column).to_pylist()]


def conserved(before: pa.Table, outcome: Outcome) -> None:
    """Every row is kept or rejected, rejects have their schema, and kept rows keep their order."""
    assert len(before) + outcome.added == len(outcome.kept) + len(outcome.rejects)
    assert outcome.rejects.schema.equals(REJECTS)
    place = {
        pair: i for i, pair in enumerate(zip(*(before[n].to_pylist() for n in ("record_id", "line")), strict=True))
    }
    order = [place[pair] for pair in zip(*(outcome.kept[n].to_pylist() for n in ("record_id", "line")), strict=True)]
    assert order == sorted(order)


def same_in_parts(before: pa.Table, cut: int, apply: Callable[[pa.Table], Outcome]) -> None:
    """The law of cuts: a table in two parts gives what it gives whole."""
    whole, parts = apply(before), [apply(before.slice(0, cut)), apply(before.slice(cut))]
    assert pa.concat_tables([part.kept for part in parts]).to_pylist() == whole.kept.to_pylist()
    assert pa.concat_tables([part.rejects for part in parts]).to_pylist() == whole.rejects.to_pylist()
    names = {name for part in parts for name in part.notes}
    assert {name: sum(part.notes.get(name, 0) for part in parts) for name in names} == whole.notes


def digest(found: pa.Table) -> str:
    """A short form of a table's content, for golden tests."""
    return "".join(content_sums(found)["sums"])[:32]


# One table of each regime with something for every step: what golden digests are computed from.
GOLDEN = {
    "sft": table(
        [
            row(1, messages=chat("Hello\r\n", "Hi  \nthere\u200b")),
            row(2, messages=chat("Hello", "Hi\nthere")),
            row(7, messages=chat("Hello ", "Hi\n\nthere")),
            row(3, messages=chat("Cafe\u0301 ```py\nx  \n```", "```\n  y  \n```  ")),
            row(4, messages=chat("\u200b", "empty")),
            row(5, messages=[turn("system", "Be brief."), *chat("Hello", None, "more", "x" * 50)], tools="[]"),
            row(
                6,
                messages=[
                    *chat("weather?"),
                    turn("assistant", None, tool_calls=[{"id": "c1", "name": "get", "arguments": '{"a": 1}'}]),
                    turn("tool", "", tool_call_id="c1"),
                ],
                meta='{"topic": {"name": "sky"}}',
            ),
        ]
    ),
    "preference": table(
        [
            row(
                1,
                "preference",
                prompt=chat("2+2?"),
                chosen=chat("4", first="assistant"),
                rejected=chat("5", first="assistant"),
            ),
            row(
                2,
                "preference",
                prompt=chat("2+2?"),
                chosen=chat("5", first="assistant"),
                rejected=chat("4", first="assistant"),
            ),
            row(
                3,
                "preference",
                prompt=chat("2+2? "),
                chosen=chat("4", first="assistant"),
                rejected=chat("5", first="assistant"),
            ),
            row(4, "preference", prompt=chat("2+2?"), chosen=chat("4", first="assistant"), rejected=None),
        ],
        "preference",
    ),
    "rlvr": table(
        [
            row(1, "rlvr", prompt=chat("2+2?"), verifier="math", answer="4"),
            row(2, "rlvr", prompt=chat("2+2?\n"), verifier="math", answer="4"),
            row(3, "rlvr", prompt=chat("2+2?"), verifier="math", answer="5"),
            row(4, "rlvr", prompt=chat("2-2?"), verifier="math", answer="0"),
        ],
        "rlvr",
    ),
}
