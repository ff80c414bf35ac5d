"""Normalisation of strings: what changes, what must not, and that once is enough."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.kernels.text import RULES, Form, classify, compose, normalize, views

# what tends to interact: ends of lines, code marks, invisible and composing characters, joiners with their neighbours
PIECES = st.sampled_from(
    [
        *"ab1 \t\n\r\x00\x0b\x0c\x1b\x7f`~.",
        "```",
        "~~~",
        "\n```\n",
        "    ",
        "\r\n",
        "\x85",
        "\x9f",
        "\u00a0",
        "\u3000",
        "\u200b",
        "\u200c",
        "\u200d",
        "\ufeff",
        "\u2060",
        "\u0301",
        "e\u0301",
        "é",
        "\u094d",
        "\u0951",
        "क",
        "ष",
        "م",
        "ی",
        "👩",
        "💻",
        "™",
        "½",
        "²",
        "ﬁ",
        "１",
        "｀",
        "\u1fef",
        "\u212b",
        "ᄒ",
        "ᅡ",
        "ᆫ",
        "\u09c7",
        "\u09be",
        "漢",
        "“",
        "𝒳",
    ]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=12)
FORMS = st.sampled_from(["nfc", "nfkc"])


def one(text: str, form: Form = "nfc") -> str:
    result, _ = normalize(pa.array([text], pa.string()), form)
    return str(result[0].as_py())


def rules(text: str) -> set[str]:
    _, done = normalize(pa.array([text], pa.string()))
    return {rule for bit, rule in enumerate(RULES) if done[0] >> bit & 1}


@pytest.mark.parametrize(
    ("text", "expected", "rule"),
    [
        ("a\r\nb\rc", "a\nb\nc", "newlines"),
        ("a\x85b", "a\nb", "newlines"),
        ("a\x00b\x1b[0m\x7f", "ab[0m", "controls"),
        ("a\x90b", "ab", "controls"),
        ("a\x0cb\x0bc", "a\nb\nc", "white_space"),
        ("\ufeffhi\u200b\u2060", "hi", "zero_width"),
        ("a\u200cb\u200dc", "abc", "zero_width"),
        ("e\u0301", "é", "unicode"),
        ("\u212b", "Å", "unicode"),
        ("x  \ny\t\nz", "x\ny\nz", "white_space"),
        ("x\u00a0\u3000\ny", "x\ny", "white_space"),
        (" \n\t\n  x\n\n \n", "  x", "white_space"),
        ("\u00a0 \u2003", "", "white_space"),
        ("e\u200b\u0301", "é", "unicode"),  # composing follows from removing
    ],
)
def test_each_rule(text: str, expected: str, rule: str) -> None:
    assert one(text) == expected
    assert rule in rules(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "two  spaces\tinside",
        "1,000.50  ½ x² −3",
        "a\n\n\nb",
        "  indented first line",
        "می\u200cخواهم",
        "क्\u200dष",
        "ന്\u200d x",
        "👩\u200d💻 👩🏽\u200d🚀",
        "漢字 かな 한글",
        "“quoted” — dashes…",
        "```py\nif x:  \n\n   y \t \n```",
        "~~~\nkept  \n\n~~~",
        "````\n```\nstill code  \n````",
        "- item\n      ```\n      x  \n      ```\nend",
        "    indented code  \n    more  \nend",
        "\tcode  \nend",
        "`span  \nover two lines` end",
        "```\nnever closed  \n\n",
        "line \u2028 separators stay",
    ],
)
def test_what_stays(text: str) -> None:
    assert one(text) == text
    assert rules(text) == set()


def test_code_is_code_only_between_fences() -> None:
    text = "a  \n```  \nb  \n```  \nc  \n``` not ``` a fence  \nd  "
    assert one(text) == "a\n```\nb  \n```\nc\n``` not ``` a fence\nd"


def test_line_ends_change_inside_code_too() -> None:
    assert one("```\r\nx  \r\n```\r\n") == "```\nx  \n```"


def test_nfkc_folds_letters_but_neither_code_nor_numbers() -> None:
    assert one("ＡＢ ﬁ \u00a0x", "nfkc") == "AB fi  x"
    assert one("x² ½ ① H₂O ⁻²", "nfkc") == "x² ½ ① H₂O ⁻²"
    assert one("１２", "nfkc") == "12"
    assert one("```\n\u00a0ﬁ\n```\nﬁ", "nfkc") == "```\n\u00a0ﬁ\n```\nfi"
    assert one("`\u00a0ﬁ` ﬁ", "nfkc") == "`\u00a0ﬁ` fi"
    assert one("｀｀｀", "nfkc") == "｀｀｀"  # would become a fence


def test_nulls_slices_and_order_survive() -> None:
    array = pa.array(["skipped", "a \n", None, "clean", "\u200b", "e\u0301"])
    result, done = normalize(array.slice(1))
    assert result.to_pylist() == ["a", None, "clean", "", "é"]
    assert (done > 0).tolist() == [True, False, False, True, True]
    again, done = normalize(result)
    assert again.equals(result)
    assert not done.any()


def test_nothing_to_do_copies_nothing() -> None:
    array = pa.array(["clean", "auch “sauber”", None])
    result, done = normalize(array)
    assert result is array
    assert not done.any()


def test_empty_column() -> None:
    result, done = normalize(pa.array([], pa.string()))
    assert len(result) == len(done) == 0


@settings(max_examples=300)
@given(st.lists(TEXTS, max_size=4), FORMS)
def test_idempotent(texts: list[str], form: Form) -> None:
    once, done = normalize(pa.array(texts, pa.string()), form)
    twice, again = normalize(once, form)
    assert twice.equals(once)
    assert not again.any()
    changed = [a != b for a, b in zip(texts, once.to_pylist(), strict=True)]
    assert (done > 0).tolist() == changed


@settings(max_examples=150)
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_each_string_by_itself(texts: list[str]) -> None:
    together, _ = normalize(pa.array(texts, pa.string()))
    assert together.to_pylist() == [one(text) for text in texts]


@settings(max_examples=150)
@given(TEXTS)
def test_result_is_clean(text: str) -> None:
    result = one(text)
    assert unicodedata.is_normalized("NFC", result)
    assert not re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\r\u200b\ufeff\u2060]", result)
    if "`" not in result and "~~~" not in result:
        assert not re.search(r"^(?! {4}|\t).*[ \t]\n", result, re.MULTILINE)
        assert result == result.rstrip()


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["x", " ", "  ", "\t", "\n", "é", "1"]), max_size=12).map("".join), TEXTS)
def test_fenced_code_is_preserved(code: str, before: str) -> None:
    """A fence of a length that nothing else has: its content comes out as it went in, whatever stands before it."""
    before = re.sub(r"[`~｀～\u1fef]", "", before)
    result = one(f"{before}\n`````````\n{code}\n`````````\nend")
    assert f"`````````\n{unicodedata.normalize('NFC', code)}\n`````````\nend" in result


@settings(max_examples=100)
@given(st.lists(TEXTS, max_size=5))
def test_classify_misses_nothing(texts: list[str]) -> None:
    array = pa.array(texts, pa.string())
    found = classify(*views(array))
    for text, flag in zip(texts, found, strict=True):
        assert bool(flag & 2) == (not text.isascii())
        if not flag:
            assert one(text) == text


@settings(max_examples=100)
@given(TEXTS)
def test_compose_is_a_projection(text: str) -> None:
    for form in ("nfc", "nfkc"):
        once = compose(text, form)  # type: ignore[arg-type]
        assert unicodedata.is_normalized("NFC", once)
    assert compose(text, "nfc") == unicodedata.normalize("NFC", text)


def test_views_of_a_slice() -> None:
    data, offsets = views(pa.array(["ab", "c", "def"]).slice(1, 2))
    assert [data[a:b].tobytes() for a, b in pairwise(offsets)] == [b"c", b"def"]
    assert np.array_equal(views(pa.array([], pa.string()))[1], [0])


def strings_of(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in strings_of(one)]


@pytest.mark.parametrize(
    ("name", "rule", "at_least"),
    [
        ("preference/llama-factory/dpo_en_demo.json.gz", "zero_width", 1),  # byte order marks inside strings
        ("rlvr/rllm/train/code/leetcode.json.gz", "zero_width", 20),  # zero-width spaces in task statements
        ("rlvr/gsm8k/train.jsonl.gz", "unicode", 0),  # a line separator that stays one character
    ],
)
def test_real_traps(shared_data: Path, name: str, rule: str, at_least: int) -> None:
    content = gzip.decompress((shared_data / name).read_bytes()).decode()
    rows = [json.loads(line) for line in content.split("\n") if line] if ".jsonl" in name else json.loads(content)
    texts = pa.array(strings_of(rows), pa.string())
    result, done = normalize(texts)
    assert np.count_nonzero(done >> RULES.index(rule) & 1) >= at_least
    again, more = normalize(result)
    assert again.equals(result)
    assert not more.any()
    assert not any(mark in text for text in result.to_pylist() for mark in "\u200b\ufeff\r")
    assert sum(text.count("\u2028") for text in result.to_pylist()) == content.count("\u2028") + content.count(
        "\\u2028"
    )
    before, after = ("".join(re.findall("[0-9]", "".join(found.to_pylist()))) for found in (texts, result))
    assert before == after, "digits are never touched"
