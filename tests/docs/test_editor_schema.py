"""The editors' schema accepts what ingot reads and refuses slips of the pen; a small validator reads it as draft 7 does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ingot.checks.conditions import GATES
from ingot.core.plugins import STEPS
from ingot.core.yamlfile import parse_yaml, read_yaml
from ingot.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = sorted(ROOT.glob("examples/*/*.yaml"))
KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
SAYS_NOTHING = {"$schema", "title", "description", "default", "definitions"}


@cache
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "src" / "ingot" / "ingot.schema.json").read_text(encoding="utf-8"))
    return found


def is_a(value: Any, kind: str) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, KINDS[kind]) and not (kind == "integer" and isinstance(value, bool))


def problems(value: Any, rule: Any, at: str = "") -> Iterator[str]:
    """What a draft-7 validator has against a value; a keyword that is not known here is an error of the schema."""
    if isinstance(rule, bool):
        yield from () if rule else (f"{at}: not allowed",)
        return
    if "$ref" in rule:  # draft 7 leaves out what stands beside it
        yield from problems(value, schema()["definitions"][rule["$ref"].removeprefix("#/definitions/")], at)
        return
    for keyword, wanted in rule.items():
        if keyword in ("anyOf", "oneOf"):
            tries = [list(problems(value, one, at)) for one in wanted]
            fits = sum(not one for one in tries)
            if not fits or (keyword == "oneOf" and fits > 1):
                yield f"{at}: {fits} of {keyword}: {tries}"
        elif keyword in OF_OBJECTS and isinstance(value, dict):
            yield from OF_OBJECTS[keyword](value, rule, at)
        elif keyword == "items" and isinstance(value, list):
            for i, item in enumerate(value):
                yield from problems(item, wanted, f"{at}[{i}]")
        elif keyword in PLAIN and not PLAIN[keyword](value, wanted):
            yield f"{at}: {value!r} against {keyword} {wanted!r}"
        assert keyword in {"anyOf", "oneOf", "items", *OF_OBJECTS, *PLAIN, *SAYS_NOTHING}, keyword


def members(value: dict[str, Any], rule: dict[str, Any], at: str) -> Iterator[str]:
    for name, member in value.items():
        if name in rule.get("properties", {}):
            yield from problems(member, rule["properties"][name], f"{at}.{name}")


def others(value: dict[str, Any], rule: dict[str, Any], at: str) -> Iterator[str]:
    for name in value.keys() - rule.get("properties", {}).keys():
        yield from problems(value[name], rule["additionalProperties"], f"{at}.{name}")


def required(value: dict[str, Any], rule: dict[str, Any], at: str) -> Iterator[str]:
    yield from (f"{at}: {name} is missing" for name in rule["required"] if name not in value)


OF_OBJECTS = {"properties": members, "additionalProperties": others, "required": required}
PLAIN: dict[str, Any] = {
    "type": is_a,
    "enum": lambda value, wanted: any(value == one and type(value) is type(one) for one in wanted),
    "const": lambda value, wanted: value == wanted,
    "pattern": lambda value, wanted: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minLength": lambda value, wanted: not isinstance(value, str) or len(value) >= wanted,
    "maxLength": lambda value, wanted: not isinstance(value, str) or len(value) <= wanted,
    "minItems": lambda value, wanted: not isinstance(value, list) or len(value) >= wanted,
    "minProperties": lambda value, wanted: not isinstance(value, dict) or len(value) >= wanted,
    "maxProperties": lambda value, wanted: not isinstance(value, dict) or len(value) <= wanted,
    "minimum": lambda value, wanted: not is_a(value, "number") or value >= wanted,
    "maximum": lambda value, wanted: not is_a(value, "number") or value <= wanted,
    "exclusiveMinimum": lambda value, wanted: not is_a(value, "number") or value > wanted,
    "exclusiveMaximum": lambda value, wanted: not is_a(value, "number") or value < wanted,
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_examples_fit(path: Path) -> None:
    assert len(EXAMPLES) >= 3
    assert list(problems(read_yaml(path).data, schema())) == []


WHOLE = """
name: all
regime: preference
sources:
  a: {path: [a.jsonl, b/*.json], license: MIT, origin: human, meta: {x: [1]}, container: jsonl, rows: data.rows}
  b: {path: b, license: CC0-1.0, format: {name: trl, id: uid}}
  c: {path: c, license: MIT, format: {prompt: [q, {json: raw, path: text}], first: a, second: b,
      winner: {field: best, first: 1, second: 2}}}
  d: {path: d, license: MIT, format: {messages: {field: turns, role: who, roles: {bot: assistant}}}}
silver:
  - normalize
  - normalize: {unicode: nfkc}
  - length: 5
  - length: {max_turns: 8}
  - split: 0.02
  - exact_dedup
  - exact_dedup: prompt
  - sql: "select * from input"
  - python: mine:keep
  - python: {function: "mine:keep", args: {a: [1, {b: null}]}}
gates:
  - rows: 10
  - rows: {max: 5, node: silver.clean}
  - rejected: 0.5
  - licenses: [MIT]
  - splits: {validation: 1}
gold: {tokenizer: t.json, train_on: [assistant, thinking], max_length: 8192, overflow: drop}
"""


def test_every_form_of_every_key_fits() -> None:
    assert list(problems(parse_yaml(WHOLE, "f").data, schema())) == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("name: all", "name: All of it", ".name"),
        ("regime: preference", "regime: dpo", ".regime"),
        ("regime: preference\n", "", "regime is missing"),
        ("license: MIT, origin: human", "licence: MIT", ".sources.a"),
        ("origin: human", "origin: robots", ".sources.a.origin"),
        ("name: trl", "name: tlr", ".sources.b.format"),
        ("first: 1,", "", ".sources.c.format"),
        ("  - normalize\n", "  - normalise\n", ".silver[0]"),
        ("  - normalize\n", "  - sql\n", ".silver[0]"),
        ("max_turns: 8", "max_turn: 8", ".silver[3]"),
        ("split: 0.02", "split: 2", ".silver[4]"),
        ("exact_dedup: prompt", "exact_dedup: everything", ".silver[6]"),
        ("- exact_dedup: prompt", "- exact_dedup: prompt\n    length: 5", ".silver[6]"),
        ("args: {a", "digest: x, args: {a", ".silver[9]"),
        ("rejected: 0.5", "rejected: 50", ".gates[2]"),
        ("licenses: [MIT]", "licenses: MIT", ".gates[3]"),
        ("max_length: 8192", "max_length: 1", ".gold"),
        ("thinking]", "thoughts]", ".gold"),
        ("tokenizer: t.json, ", "", ".gold"),
        ("gold:", "golden:", ".golden"),
    ],
)
def test_a_slip_of_the_pen_does_not(old: str, new: str, place: str) -> None:
    assert WHOLE.count(old) >= 1
    broken = parse_yaml(WHOLE.replace(old, new, 1), "f").data
    assert any(place in problem for problem in problems(broken, schema()))


def test_steps_and_gates_are_all_there() -> None:
    steps = schema()["properties"]["silver"]["items"]["anyOf"][-1]["properties"]
    gates = schema()["properties"]["gates"]["items"]["anyOf"][-1]["properties"]
    assert set(steps) == STEPS.keys() - {"conform"}
    assert set(gates) == set(GATES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_ingot_and_the_schema_agree_on_examples(path: Path) -> None:
    assert Pipeline.from_yaml(path).graph().nodes
