"""Which format a batch of rows has: decided once on a sample, stated in a sentence, never guessed per part.

The formats of a regime are tried from the most to the least specific; the first whose defining fields more than half
of the readable sampled rows have is the answer. Rows of the batch that do not fit it are rejected by `conform`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.errors import ConfigError
from ingot.kernels.json_tokens import ARRAY, FALSE, NUMBER, OBJECT, STRING, TRUE
from ingot.schema.convert.batch import Batch
from ingot.schema.convert.rlvr import ANSWERS, CORRECT, OPTIONS, QUESTIONS, TESTS
from ingot.schema.convert.sft import CHAT_KEYS, COMPLETIONS, PROMPTS
from ingot.schema.cursor import Cursor, Mask
from ingot.schema.formats import Named
from ingot.schema.rows import read_rows

SAMPLE = 200
_SCALAR = (STRING, NUMBER, TRUE, FALSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """format: a concrete one, or None when no sampled row was readable; why: a sentence for people."""

    format: Named | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    name: str
    shape: str
    fits: Callable[[Batch], Mask]


def detect(sample: pa.Table, regime: str) -> Detected:
    """The format of bronze rows (their first 200 are looked at) for a regime; ConfigError E111 when none fits."""
    batch = read_rows(sample.slice(0, SAMPLE), "auto")
    batch = _readable(batch)
    n = len(batch)
    if n == 0:
        return Detected(format=None, why="auto: no readable row in the sample")
    best = (0, "")
    for candidate in _CANDIDATES[regime]:
        count = int(candidate.fits(batch).sum())
        sentence = f"{candidate.name}: {count} of {n} sampled rows have {candidate.shape}"
        if 2 * count > n:
            return Detected(format=Named(name=candidate.name), why=sentence)  # type: ignore[arg-type]
        best = max(best, (count, sentence), key=lambda pair: pair[0])
    keys = batch.root.keys(0)
    fields = ", ".join(keys[:12]) + (", …" if len(keys) > 12 else "") or "none"
    near = f"; nearest: {best[1]}" if best[0] else ""
    raise ConfigError(
        "E111", f"no known format of {regime} fits these rows (fields of the first: {fields}{near})",
        next="declare it: format: NAME (docs/formats.md), or a field map such as {prompt: question, response: answer}",
    )  # fmt: skip


def _readable(batch: Batch) -> Batch:
    keep = np.flatnonzero(batch.ok)
    return Batch(
        format=batch.format, root=batch.root.take(keep), faults=batch.faults.spread(keep), row=batch.row[keep],
        context=None if batch.context is None else batch.context.take(keep), item=batch.item[keep],
    )  # fmt: skip


def _is(found: Cursor, *kinds: int) -> Mask:
    result: Mask = np.isin(found.kinds(), kinds)
    return result


def _any(root: Cursor, keys: Sequence[str], *kinds: int) -> Mask:
    return _is(root.first(keys)[0], *kinds)


def _turns(root: Cursor, keys: Sequence[str], role: str, *content: str) -> Mask:
    """A list under one of the keys whose first element has a speaker and one of the contents."""
    result: Mask = np.zeros(len(root), np.bool_)
    for key in keys:
        first = root.member(key).element(0)
        said = np.zeros(len(root), np.bool_)
        for name in content:
            said |= first.member(name).nodes >= 0
        result |= _is(first.member(role), STRING) & said
    return result


def _oasst(batch: Batch) -> Mask:
    root = batch.root
    tree = root.member("prompt")
    return (_is(tree.member("text"), STRING) & _is(tree.member("replies"), ARRAY)) | (
        _is(root.member("text"), STRING) & _is(root.member("role"), STRING) & _is(root.member("replies"), ARRAY)
    )


def _natural(batch: Batch) -> Mask:
    root = batch.root
    whole = (root.member("Definition").nodes >= 0) & _is(root.member("Instances"), ARRAY)
    if batch.context is None:
        return whole
    around = batch.context.member("Definition").nodes >= 0
    return whole | (around & _is(root.member("input"), STRING) & _is(root.member("output"), ARRAY, STRING))


def _hh(batch: Batch) -> Mask:
    marked: Mask = np.ones(len(batch), np.bool_)
    for key in ("chosen", "rejected"):
        texts = pc.fill_null(batch.root.member(key).text(), "")
        marked &= np.array(pc.starts_with(texts, "\n\nHuman:"))
    return marked


def _kto(batch: Batch) -> Mask:
    root = batch.root
    pair = _is(root.member("prompt"), STRING, ARRAY) & _is(root.member("completion"), STRING, ARRAY, OBJECT)
    return _is(root.member("label"), TRUE, FALSE) & (_turns(root, CHAT_KEYS, "role", "content") | pair)


def _gsm8k(batch: Batch) -> Mask:
    answer = pc.fill_null(batch.root.member("answer").text(), "")
    marked: Mask = np.array(pc.match_substring(answer, "####"))
    return marked & _any(batch.root, QUESTIONS, STRING, ARRAY)


def _sides(batch: Batch) -> Mask:
    kinds = (STRING, ARRAY, OBJECT)
    return _is(batch.root.member("chosen"), *kinds) & _is(batch.root.member("rejected"), *kinds)


_CANDIDATES: dict[str, tuple[_Candidate, ...]] = {
    "sft": (
        _Candidate(name="oasst", shape="text, role and replies[], or a prompt of those", fits=_oasst),
        _Candidate(
            name="self_instruct", shape="instruction and instances[]",
            fits=lambda b: _is(b.root.member("instruction"), STRING) & _is(b.root.member("instances"), ARRAY),
        ),
        _Candidate(name="natural_instructions", shape="input and output[] inside a Definition", fits=_natural),
        _Candidate(
            name="openai", shape="messages[].role/content",
            fits=lambda b: _turns(b.root, CHAT_KEYS, "role", "content", "tool_calls"),
        ),
        _Candidate(
            name="sharegpt", shape="conversations[].from/value",
            fits=lambda b: _turns(b.root, CHAT_KEYS, "from", "value"),
        ),
        _Candidate(
            name="alpaca", shape="instruction and output",
            fits=lambda b: _is(b.root.member("instruction"), STRING) & _any(b.root, ("output", "response"), STRING),
        ),
        _Candidate(
            name="prompt_completion", shape="a prompt and a completion",
            fits=lambda b: _any(b.root, PROMPTS, STRING, ARRAY) & _any(b.root, COMPLETIONS, STRING, ARRAY, OBJECT),
        ),
    ),
    "preference": (
        _Candidate(
            name="sharegpt_preference", shape="conversations[].from/value, chosen and rejected",
            fits=lambda b: _turns(b.root, ("conversations", "conversation"), "from", "value") & _sides(b),
        ),
        _Candidate(name="hh", shape="transcripts under chosen and rejected", fits=_hh),
        _Candidate(name="trl", shape="chosen and rejected", fits=_sides),
        _Candidate(name="kto", shape="messages, or prompt and completion, with a label", fits=_kto),
    ),
    "rlvr": (
        _Candidate(
            name="choice", shape="a question, options[] and the correct one",
            fits=lambda b: _any(b.root, ("question", "problem", "prompt"), STRING)
            & _any(b.root, OPTIONS, ARRAY) & _any(b.root, CORRECT, STRING, NUMBER),
        ),
        _Candidate(
            name="code_tests", shape="a prompt and tests",
            fits=lambda b: _any(b.root, QUESTIONS, STRING, ARRAY) & _any(b.root, TESTS, STRING, ARRAY, OBJECT),
        ),
        _Candidate(name="gsm8k", shape="question and an answer with ####", fits=_gsm8k),
        _Candidate(
            name="math", shape="problem and answer or solution",
            fits=lambda b: _is(b.root.member("problem"), STRING) & _any(b.root, ("answer", "solution"), *_SCALAR),
        ),
        _Candidate(
            name="qa", shape="a question and an answer",
            fits=lambda b: _any(b.root, QUESTIONS, STRING, ARRAY) & _any(b.root, ANSWERS, *_SCALAR, ARRAY),
        ),
    ),
}  # fmt: skip
