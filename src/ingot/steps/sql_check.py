"""Whether a query is a function of each row alone: DuckDB's own syntax tree, walked before anything runs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Tree = dict[str, Any]

_ROW_SOURCES = frozenset({"unnest", "range", "generate_series"})  # table functions of a row's own values
_CLOCKS = frozenset({
    "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user", "session_user",
    "user", "current_role", "current_catalog", "current_schema",
})  # fmt: skip
_PLACES = frozenset({"version", "getenv", "current_query", "pragma_version"})


@dataclass(frozen=True, slots=True)
class Names:
    """Tables that a query reads, and the names of its WITH parts."""

    tables: list[str] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)


def problem(query: str) -> str | None:
    """What makes the query more than a row-wise SELECT over `input`; None when nothing does."""
    import duckdb

    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        row = connection.execute("select json_serialize_sql(?)", [query]).fetchone()
    tree: Tree = json.loads(str(row[0])) if row else {"error": True}
    if tree.get("error"):
        return f"is not one SELECT: {tree.get('error_message', 'not understood')}"
    if len(tree["statements"]) != 1:
        return f"holds {len(tree['statements'])} statements"
    seen = Names()
    found = _walk(tree["statements"][0]["node"], local=False, seen=seen)
    if found:
        return found
    if unknown := sorted(set(seen.tables) - seen.parts - {"input"}):
        return f"reads {unknown[0]!r}, but there is no table besides input"
    if seen.tables.count("input") != 1 or len(set(seen.tables)) != len(seen.tables):
        return "must read the table input exactly once, and each WITH part at most once"
    return None


@cache
def _functions() -> tuple[frozenset[str], frozenset[str]]:
    """(functions whose value is not decided by their arguments, aggregates) of this DuckDB."""
    import duckdb

    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        rows = connection.execute(
            "select function_name, function_type, stability, macro_definition from duckdb_functions()"
        ).fetchall()
    moody = {name for name, _, stability, _ in rows if stability not in (None, "CONSISTENT")} | _PLACES
    words = re.compile(r"\w+")
    for name, kind, _, body in rows:
        if kind in ("macro", "table_macro") and (moody | _CLOCKS) & set(words.findall(str(body).lower())):
            moody.add(name)
    scalar = {name for name, kind, _, _ in rows if kind in ("scalar", "macro")}
    aggregates = {name for name, kind, _, _ in rows if kind == "aggregate"} - scalar
    return frozenset(moody), frozenset(aggregates)


def _walk(tree: Any, *, local: bool, seen: Names) -> str | None:
    """The first problem below this node. local: inside a subquery over the row's own lists, where anything goes."""
    if isinstance(tree, list):
        return next((found for item in tree if (found := _walk(item, local=local, seen=seen))), None)
    if not isinstance(tree, dict):
        return None
    kind = tree.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE"):
        seen.parts.update(part["key"] for part in (tree.get("cte_map") or {}).get("map", []))
        source = tree.get("from_table") or {}
        local = source.get("type") == "TABLE_FUNCTION"
        if found := _node(tree, kind, local=local):
            return found
    if found := _expression(tree, local=local, seen=seen):
        return found
    return next((found for item in tree.values() if (found := _walk(item, local=local, seen=seen))), None)


def _node(tree: Tree, kind: str, *, local: bool) -> str | None:
    """What a SELECT as a whole may not do."""
    if kind != "SELECT_NODE":
        return f"uses {kind.removesuffix('_NODE').replace('_', ' ').lower()}, which mixes rows"
    if local:
        return None
    modifiers = [one["type"].removesuffix("_MODIFIER") for one in tree.get("modifiers", [])]
    mixing = [one for one in modifiers if one != "ORDER"]
    if mixing:
        return f"uses {mixing[0]}, which depends on other rows"
    for clause in ("group_expressions", "having", "qualify"):
        if tree.get(clause):
            return f"uses {clause.removesuffix('_expressions').upper()}, which depends on other rows"
    return None


def _expression(tree: Tree, *, local: bool, seen: Names) -> str | None:
    """What an expression or a table reference may not be."""
    moody, aggregates = _functions()
    kind, name = tree.get("class") or tree.get("type"), str(tree.get("function_name", "")).lower()
    if tree.get("sample"):
        return "samples rows"
    if kind == "BASE_TABLE":
        seen.tables.append(str(tree["table_name"]))
    elif kind == "TABLE_FUNCTION" and tree["function"]["function_name"].lower() not in _ROW_SOURCES:
        return f"reads {tree['function']['function_name']}(), which is not the row"
    elif kind == "WINDOW" and not local:
        return f"uses the window function {name}(), which depends on other rows"
    elif kind == "FUNCTION" and name in moody:
        return f"calls {name}(), whose value is not decided by the row"
    elif kind == "FUNCTION" and name in aggregates and not local:
        return f"uses the aggregate {name}(), which depends on other rows"
    elif kind == "COLUMN_REF" and tree["column_names"][-1:][0].lower() in _CLOCKS:
        return f"reads {tree['column_names'][-1]}, which is not in the row"
    return None
