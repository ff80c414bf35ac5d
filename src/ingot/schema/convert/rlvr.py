"""Prompts with a verifiable answer: question and answer, GSM8K, MATH, multiple choice, code with tests.

The ground truth becomes `answer`; what verifiers need besides becomes `verifier_args`. A worked solution from which
the answer was taken stays, whole, in meta.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.kernels.json_tokens import ARRAY, NULL, NUMBER, OBJECT, STRING
from ingot.schema.convert.batch import Batch, Converted, finish
from ingot.schema.convert.sft import Consumed, opened, prompted, tools_of, which_keys
from ingot.schema.convert.turns import USER, Turns
from ingot.schema.cursor import Cursor, Path, blank, cut, join

QUESTIONS = ("question", "problem", "prompt", "query", "instruction", "text", "messages")
ANSWERS = ("answer", "ground_truth", "final_answer", "target", "solution")
TESTS = ("tests", "test_list", "test", "test_cases", "unit_tests")
CODE_ARGS = ("entry_point", "test_setup_code", "test_imports", "challenge_test_list", "starter_code")
OPTIONS = ("options", "choices")
CORRECT = ("correct", "answer", "answerKey", "label")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """verifier: a literal for all rows, else the row's own `verifier`, else `default`."""

    id: Path | None
    verifier: str | None
    default: str


def question(batch: Batch) -> tuple[Turns, Consumed]:
    """The prompt: a text or messages, with the row's own system text before it."""
    found, which = batch.field(*QUESTIONS)
    turns, consumed = prompted(batch, found, which, QUESTIONS)
    turns, used = opened(batch, turns)
    return turns, consumed | used


def record(
    batch: Batch, asked: Asked, prompt: Turns, answer: pa.Array, arguments: pa.Array | None, consumed: Consumed
) -> Converted:
    """Assemble, with the verifier."""
    verifier, used = _verifier(batch, asked)
    users = np.bincount(prompt.unit[prompt.role == USER], minlength=len(batch))
    batch.faults.add_where(users == 0, "empty_prompt", lambda unit: {"path": "prompt", "value": None})
    own = batch.root.member("verifier_args")
    if arguments is None and (own.kinds() == OBJECT).any():
        arguments = own.where(own.kinds() == OBJECT).raw()
        used = {**used, "verifier_args": own.kinds() == OBJECT}
    tools, used_tools = tools_of(batch)
    columns = {
        "prompt": prompt.lists(len(batch)), "verifier": verifier, "answer": answer, "tools": tools,
        "verifier_args": pa.nulls(len(batch), pa.string()) if arguments is None else arguments,
    }  # fmt: skip
    return finish(batch, columns, consumed | used | used_tools, asked.id)


def _verifier(batch: Batch, asked: Asked) -> tuple[pa.StringArray, Consumed]:
    literal = pa.array([asked.verifier or asked.default]).take(pa.array(np.zeros(len(batch), np.int64)))
    found = batch.root.member("verifier")
    named = found.kinds() == STRING
    if asked.verifier is not None or not named.any():
        return literal, {}
    return pc.coalesce(found.text(), literal), {"verifier": named}


def truth(batch: Batch, found: Cursor, path: str) -> pa.StringArray:
    """A ground truth as text: scalars, or a list of accepted answers as JSON text."""
    kinds = found.kinds()
    batch.wrong(found, kinds == OBJECT, path, "a scalar or a list")
    texts = found.scalar()
    if (kinds == ARRAY).any():
        texts = pc.coalesce(texts, found.where(kinds == ARRAY).raw())
    missing = (kinds == 0) | (kinds == NULL) | blank(texts)
    batch.faults.add_where(missing, "no_answer", lambda unit: {"path": path, "value": found.value(unit)})
    return texts


def qa(batch: Batch, asked: Asked) -> Converted:
    prompt, consumed = question(batch)
    found, which = batch.field(*ANSWERS)
    return record(batch, asked, prompt, truth(batch, found, "answer"), None, consumed | which_keys(ANSWERS, which))


def gsm8k(batch: Batch, asked: Asked) -> Converted:
    """The answer is what follows the last `####` of the worked solution."""
    prompt, consumed = question(batch)
    texts = batch.text(batch.field("answer")[0], "answer")
    return record(batch, asked, prompt, after_mark(batch, texts, "####", "answer"), None, consumed)


def after_mark(batch: Batch, texts: pa.StringArray, mark: str, path: str) -> pa.StringArray:
    """The text after the last mark, without white space around it."""
    split = pc.split_pattern(pc.fill_null(texts, ""), mark, max_splits=1, reverse=True)
    found = np.array(pc.equal(pc.list_value_length(split), 2))
    offsets = np.asarray(split.offsets)
    final = pc.utf8_trim_whitespace(split.values.take(pa.array(offsets[1:] - 1)))
    batch.faults.add_where(
        ~found | blank(final), "no_answer", lambda u: {"path": path, "expected": mark, "value": cut(texts[u].as_py())}
    )
    return final


def math(batch: Batch, asked: Asked) -> Converted:
    r"""The answer is `answer`, else the last \boxed{…} of `solution`."""
    prompt, consumed = question(batch)
    found, which = batch.root.first(ANSWERS[:-1])
    given = found.present()
    texts = found.scalar()
    kinds = found.kinds()
    batch.wrong(found, given & ((kinds == OBJECT) | (kinds == ARRAY)), "answer", "a string or a number")
    if not given.all():
        solution = batch.root.where(~given).member("solution").text()
        texts = pc.coalesce(texts, pa.array([boxed(text) for text in solution.to_pylist()], pa.string()))
    batch.faults.add_where(
        blank(texts), "no_answer", lambda unit: {"path": "answer or solution", "value": found.value(unit)}
    )
    return record(batch, asked, prompt, texts, None, consumed | which_keys(ANSWERS, np.where(given, which, -1)))


def boxed(text: str | None) -> str | None:
    r"""The content of the last \boxed{…}, braces balanced; `\boxed x` and \fbox are read too."""
    if text is None:
        return None
    at = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if at < 0:
        return None
    at += len("\\boxed") if text.startswith("\\boxed", at) else len("\\fbox")
    rest = text[at:].lstrip()
    if not rest.startswith("{"):
        word = rest.split("$")[0].split()
        return word[0] if word else None
    depth = 0
    for place, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:place].strip()
    return None


def choice(batch: Batch, asked: Asked) -> Converted:
    """A question with options; the answer is a letter, an index or the text of an option."""
    stem = batch.text(batch.field("question", "problem", "prompt")[0], "question")
    at, which = batch.field(*OPTIONS)
    kinds = at.kinds()
    batch.wrong(at, (kinds != 0) & (kinds != ARRAY), "options", "a list")
    options, offsets = at.where(kinds == ARRAY).children()
    owner = np.repeat(np.arange(len(batch)), np.diff(offsets))
    odd = np.flatnonzero((options.kinds() != STRING) & (options.kinds() != NUMBER))
    batch.faults.add(owner[odd], "wrong_type", lambda k: {"path": "options", "value": options.value(int(odd[k]))})
    texts = pc.fill_null(options.scalar(), "")
    number = np.arange(len(options)) - offsets[owner]
    lines = _lettered(texts, number)
    block = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), lines), "\n")
    batch.faults.add_where(blank(stem), "empty_prompt", lambda unit: {"path": "question", "value": stem[unit].as_py()})
    batch.faults.add_where(
        np.diff(offsets) < 2, "missing_field", lambda unit: {"path": "options", "value": at.value(unit)}
    )
    prompt = Turns(
        unit=np.arange(len(batch)), role=np.full(len(batch), USER, np.int8), place=np.full(len(batch), -1, np.int64),
        content=pc.binary_join_element_wise(stem, block, "\n"),
    )  # fmt: skip
    correct_at, which_correct = batch.field(*CORRECT)
    answer = _letter(batch, correct_at, texts, offsets)
    prompt, used = opened(batch, prompt)
    stems = ("question", "problem", "prompt")
    consumed = which_keys(stems, batch.root.first(stems)[1]) | which_keys(OPTIONS, which) | used
    consumed |= which_keys(CORRECT, which_correct)
    return record(batch, asked, prompt, answer, json_object({"options": at.raw()}), consumed)


def _lettered(texts: pa.StringArray, number: np.ndarray) -> pa.StringArray:
    """Options with their letter before them, unless they begin with it already, as in "A)12"."""
    letters = pa.array([*LETTERS, "?"]).take(pa.array(np.minimum(number, len(LETTERS))))
    begins = pc.equal(pc.utf8_slice_codeunits(texts, 0, 1), letters)
    marked = pc.is_in(pc.utf8_slice_codeunits(texts, 1, 2), value_set=pa.array([")", ".", ":"]))
    own = pc.and_(begins, marked)
    return pc.if_else(own, texts, pc.binary_join_element_wise(letters, texts, ") "))


def _letter(batch: Batch, correct: Cursor, options: pa.StringArray, offsets: np.ndarray) -> pa.StringArray:
    """The letter of the right option; rows whose answer is none of the options are faults."""
    counts, given, kinds = np.diff(offsets), correct.scalar(), correct.kinds()
    letter = np.asarray(
        pc.fill_null(pc.index_in(pc.utf8_trim_whitespace(given), value_set=pa.array(list(LETTERS))), -1)
    )
    index = np.where((kinds == STRING) & (letter < counts), letter, -1)
    for unit in np.flatnonzero((index < 0) & batch.ok).tolist():  # an index, or an option's own text
        text = given[unit].as_py()
        own = options[int(offsets[unit]) : int(offsets[unit + 1])].to_pylist()
        if kinds[unit] == NUMBER and text.isdigit() and int(text) < len(own):
            index[unit] = int(text)
        elif kinds[unit] == STRING and text in own:
            index[unit] = own.index(text)
    batch.faults.add_where(
        index < 0, "no_answer",
        lambda unit: {"path": "correct", "expected": "one of the options", "value": correct.value(unit)},
    )  # fmt: skip
    return pa.array(list(LETTERS)).take(pa.array(np.clip(index, 0, 25)))


def code_tests(batch: Batch, asked: Asked) -> Converted:
    """A task with unit tests, which go to verifier_args as they are."""
    prompt, consumed = question(batch)
    at, which = batch.field(*TESTS)
    kinds = at.kinds()
    batch.wrong(
        at, (kinds != 0) & (kinds != NULL) & (kinds != STRING) & (kinds != ARRAY) & (kinds != OBJECT), "tests", "tests"
    )
    empty = (kinds == NULL) | np.isin(np.array(pc.fill_null(at.raw(), "")), ('""', "[]", "{}"))
    batch.faults.add_where(empty, "no_answer", lambda unit: {"path": "tests", "value": at.value(unit)})
    arguments = {"tests": at.raw()}
    for key in CODE_ARGS:
        found = batch.root.member(key)
        if (found.nodes >= 0).any():
            arguments[key] = found.raw()
            consumed[key] = True
    none = pa.nulls(len(batch), pa.string())
    return record(batch, asked, prompt, none, json_object(arguments), consumed | which_keys(TESTS, which))


def json_object(members: dict[str, pa.StringArray]) -> pa.StringArray:
    """One JSON object per unit from members given as JSON text; null members are left out."""
    pieces = [pc.binary_join_element_wise(f'"{key}"', values, ":") for key, values in members.items()]
    return pc.binary_join_element_wise("{", join(pieces, ","), "}", "")
