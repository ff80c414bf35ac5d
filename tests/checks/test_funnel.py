"""The funnel: order, totals, conservation, and both pictures of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checks.made import entry, pipeline, snapshot

from ingot.checks.funnel import build, funnel_table, render_svg, render_text
from ingot.checks.render import percent
from ingot.checks.stages import Funnel, Stage
from ingot.errors import StepError

SVG = "{http://www.w3.org/2000/svg}"


def one(*entries: dict[str, Any], rows: int | None = None) -> Funnel:
    return build({"silver.clean": snapshot("silver.clean", entries[-1]["rows_out"] if rows is None else rows, entries)})


def test_stages_in_the_order_of_work() -> None:
    funnel = build(pipeline())
    assert [(s.node, s.step) for s in funnel.stages] == [
        ("silver.clean", "conform"),
        ("silver.clean", "normalize"),
        ("silver.unique", "exact_dedup"),
        ("gold.train", "tokenize"),
    ]
    assert funnel.arrived == {"a": 100, "b": 30}
    assert funnel.rows_out == 80
    assert [s.left for s in funnel.stages] == [15, 0, 40, 0]
    assert funnel.stages[0].share_left == pytest.approx(15 / 135)


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (entry("s", 10, 8, rejected=1, reasons={"x": 1}), "10 rows came, 9 are accounted for"),
        (entry("s", 10, 9, rejected=1, reasons={"x": 2}), "the reasons name 2"),
        (
            entry("s", 10, 9, rejected=1, reasons={"x": 1}, sources={"a": {"rows_in": 10, "rows_out": 10}}),
            "rows_out is 9",
        ),
        (entry("s", 10, 10, sources={"a": {"rows_in": 10, "rows_out": 9}}), "of source 'a'"),
    ],
)
def test_lost_rows_are_an_error_with_numbers(broken: dict[str, Any], word: str) -> None:
    with pytest.raises(StepError) as caught:
        one(broken)
    assert caught.value.code == "E402"
    assert word in caught.value.message
    assert caught.value.where == "silver.clean"


def test_rows_lost_between_steps_and_nodes() -> None:
    with pytest.raises(StepError, match="a left 10 rows, 9 came"):
        one(entry("a", 10, 10), entry("b", 9, 9))
    with pytest.raises(StepError, match="the node has 9"):
        one(entry("a", 10, 10), rows=9)
    nodes = pipeline()
    nodes["bronze.a"] = replace(nodes["bronze.a"], draft=replace(nodes["bronze.a"].draft, rows=99))
    with pytest.raises(StepError, match="its inputs have 129 rows, the step saw 130"):
        build(nodes)
    del nodes["bronze.a"]  # a selection of nodes is no loss
    assert build(nodes).arrived == {"b": 30}


def test_table_has_every_count() -> None:
    rows = funnel_table(build(pipeline()))
    assert rows[0]["step"] == "arrived"
    assert rows[0]["rows_out"] == 130
    for row in rows:
        assert row["rows_in"] + row["added"] == row["rows_out"] + row["rejected"] + row["merged"]
    assert rows[1]["sources"]["b"]["reasons"] == {"invalid_json": 5, "unknown_role": 5}


def test_text_says_it_in_100_columns() -> None:
    text = render_text(build(pipeline()))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    (line,) = [line for line in lines if line.strip().startswith("exact_dedup")]
    assert line.split()[1] == "120"
    for part in ("80", "33.3 %", "exact_duplicate 40"):
        assert part in line
    assert "invalid_json 10, unknown_role 5, 5 added" in " ".join(text.split())
    assert "noted: turns_changed 7" in text
    assert "a 100, b 30" in text
    assert "\x1b" not in text


def test_text_wraps_between_reasons_and_aligns() -> None:
    reasons = {f"some_reason_number_{i}": 1 for i in range(9)}
    lines = render_text(one(entry("conform", 10, 1, rejected=9, reasons=reasons))).splitlines()
    column = lines[2].index("some_reason")
    assert len(lines) > 5
    assert all(line[:column].strip() == "" and line[column] != " " for line in lines[3:])
    assert all(line.rstrip(",").endswith(" 1") for line in lines[2:])


def test_svg_is_well_formed_self_contained_and_complete() -> None:
    picture = render_svg(build(pipeline()), title="Rows <of> a & b")
    root = ET.fromstring(picture)
    words = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    for part in (
        "Rows <of> a & b",
        "conform",
        "silver.unique",
        "40 left, 33.3 %",
        "exact duplicate 40",
        "went on",
        "130",
    ):
        assert part in words
    assert "prefers-color-scheme: dark" in picture
    assert not any(word in picture for word in ("http://fonts", "url(http", "<script", "<image", "@import"))
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for bar in root.iter(f"{SVG}rect"):
        assert 0 <= float(bar.attrib.get("x", 0)) + float(bar.attrib["width"]) <= width
        assert float(bar.attrib.get("y", 0)) + float(bar.attrib["height"]) <= height


def test_small_losses_show() -> None:
    funnel = one(entry("length", 100_000, 99_999, rejected=1, reasons={"x": 1}))
    assert "<0.1 %" in render_text(funnel)
    hatched = [r for r in ET.fromstring(render_svg(funnel)).iter(f"{SVG}rect") if r.attrib.get("fill") == "url(#left)"]
    kept = [r for r in ET.fromstring(render_svg(funnel)).iter(f"{SVG}rect") if r.attrib.get("fill") == "var(--kept)"]
    assert float(hatched[0].attrib["width"]) - float(kept[0].attrib["width"]) >= 3


def test_nothing_ran() -> None:
    funnel = build({})
    assert funnel.rows_out == 0
    assert render_text(funnel).startswith("step")
    assert "No step has run yet." in render_svg(funnel)


def test_bronze_steps_show_only_when_they_lost_rows() -> None:
    nodes = {"bronze.a": snapshot("bronze.a", 5, [entry("ingest", 5, 5)])}
    assert "ingest" not in render_text(build(nodes))
    nodes = {"bronze.a": snapshot("bronze.a", 4, [entry("ingest", 5, 4, rejected=1, reasons={"x": 1})])}
    assert "ingest" in render_text(build(nodes))


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0.0 %"), (0.0001, "<0.1 %"), (0.025, "2.5 %"), (0.9999, ">99.9 %"), (1, "100.0 %")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 9)), min_size=1, max_size=6
    )
)
def test_whatever_the_numbers_both_pictures_come_out(steps: list[tuple[int, int, int, int]]) -> None:
    stages, rows = [], 100
    for i, (rejected, merged, added, notes) in enumerate(steps):
        gone = min(rejected, rows + added)
        join = min(merged, rows + added - gone)
        reasons = {k: v for k, v in {"bad": gone, "same": join}.items() if v}
        left = rows + added - gone - join
        stages.append(
            entry(
                f"step{i}",
                rows,
                left,
                rejected=gone,
                merged=join,
                added=added,
                reasons=reasons,
                notes={"n": notes} if notes else {},
            )
        )
        rows = left
    funnel = one(*stages)
    assert isinstance(funnel.stages[0], Stage)
    assert funnel.rows_out == rows
    assert max(map(len, render_text(funnel).splitlines())) <= 100
    ET.fromstring(render_svg(funnel))
