"""Records to tokens, with one segment class per token: render, encode, prove, cut.

Every document is rendered once and encoded whole. Where the tokens' bytes are the rendering's bytes, classes follow by
position; documents in which a user typed a control token, or whose tokens are not their bytes (normalizing tokenizers),
are encoded again with the guarded twin and, if needed, the library's offsets. What cannot be proven is rejected.

A preference row's prompt is stored once. Both sides are encoded whole; the prompt's tokens are the longest common prefix
that lies inside the prompt's text, so that prompt + chosen and prompt + rejected are exactly the tokens of the two
renderings. A token that crosses the boundary belongs to the response.

Cost: see `measure` in benchmarks; without the tokenizer library 150+ MB/s for ChatML on one thread.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.gold.chatml import ChatmlPool, Documents, Problem, Rendering, list_parts, whole
from ingot.gold.render import JinjaRenderer, char_bytes
from ingot.gold.template import ChatTemplate, TemplateSource
from ingot.gold.tokenizer import RESERVED, Encoded, Tokenizer
from ingot.kernels.segments import (
    ASSISTANT,
    CONTROL,
    MISMATCH,
    OK,
    OWNED,
    THINKING,
    TOOL_CALL,
    classify,
    common_prefix,
    count_trained,
    gather,
    place,
    tokens_before,
)
from ingot.schema.records import REJECTS, message_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 4 << 20  # bytes of content per call of the tokenizer: bounds its memory, which is about 100 bytes a token
_TRAINED = np.zeros(256, np.bool_)
_TRAINED[[ASSISTANT, THINKING, TOOL_CALL]] = True
_BLANK = np.zeros(256, np.bool_)
_BLANK[list(b" \t\r\n")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizeSpec:
    """What gold makes of records: the regime and the chat template."""

    regime: str
    template: TemplateSource


class _Renderer(Protocol):
    def render(self, docs: Documents) -> Rendering: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized:
    """Documents as tokens: document d has tokens[at[d]:at[d + 1]]; inside[d]: how many lie in the prompt's text."""

    tokens: NDArray[np.int32]
    segments: NDArray[np.uint8]
    at: NDArray[np.int64]
    inside: NDArray[np.int64]
    problems: dict[int, Problem]
    notes: dict[str, int]


def tokenize_table(table: pa.Table, spec: TokenizeSpec, tokenizer: Tokenizer) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """(tokens, rejects, notes) of conformed records; both tables are sorted by record_id, then by input order."""
    order = _order(table["record_id"])
    docs, row_docs = _documents(table, spec.regime, order)
    renderer: _Renderer
    if spec.template.source is None:
        renderer = ChatmlPool(docs.messages, docs.tools, tokenizer)
    else:
        renderer = JinjaRenderer(docs.messages, docs.tools, ChatTemplate(spec.template, tokenizer))
    done = _concatenate([tokenize_documents(renderer.render(docs.slice(a, b)), tokenizer) for a, b in _chunks(docs)])
    problems = _row_problems(table, spec.regime, order, row_docs, done.problems)
    notes = Counter(done.notes)
    lists = _lists(done, spec.regime, row_docs, notes)
    for row in _untrained(lists, spec.regime, done, row_docs):
        problems.setdefault(row, ("no_trained_tokens", {"message": "no token of an assistant's text, thinking or tool call"}))
    keep = np.ones(len(order), np.bool_)
    keep[list(problems)] = False
    kept = table.take(pa.array(order[keep]))
    columns: dict[str, Any] = {name: kept[name] for name in ("record_id", "source")}
    columns["split"] = kept["split"] if "split" in table.column_names else pa.array(["train"] * len(kept), pa.string())
    for name, (starts, ends) in lists.items():
        prefix = f"{name}_" if name else ""
        columns[f"{prefix}tokens"] = _list_array(done.tokens, starts[keep], ends[keep])
        columns[f"{prefix}segments"] = _list_array(done.segments, starts[keep], ends[keep])
    if spec.regime == "rlvr":
        columns |= {name: kept[name] for name in ("verifier", "answer", "verifier_args")}
    notes.update(rows=len(order), tokens=sum(len(columns[name].values) for name in columns if name.endswith("tokens")))
    return pa.table(columns), _rejects(table, order, problems), {name: n for name, n in sorted(notes.items()) if n}


def _order(record_id: pa.ChunkedArray) -> NDArray[np.int64]:
    keys = pa.table({"id": record_id, "row": np.arange(len(record_id))})
    order: NDArray[np.int64] = pc.sort_indices(keys, [("id", "ascending"), ("row", "ascending")]).to_numpy().astype(np.int64)
    return order


def _documents(table: pa.Table, regime: str, order: NDArray[np.int64]) -> tuple[Documents, NDArray[np.int64]]:
    """The documents of rows in `order`, and which they are: int64[rows, 1], or [rows, 2] (chosen, rejected; -1 absent)."""
    columns = [whole(table[name]) for name in message_columns(regime)]
    flat = [list_parts(column) for column in columns]
    base = np.cumsum([0, *(len(values) for values, _ in flat)])
    spans = [(at[:-1][order] + base[i], at[1:][order] + base[i]) for i, (_, at) in enumerate(flat)]
    pool = flat[0][0] if len(flat) == 1 else pa.concat_arrays([values for values, _ in flat])
    rows = np.arange(len(order))
    if regime != "preference":
        starts, ends = spans[0]
        row_docs = rows[:, None].astype(np.int64)
        doc_rows, respond = rows, np.full(len(rows), -1, np.int64)
    else:
        valid = np.stack([column.is_valid().to_numpy(zero_copy_only=False)[order] for column in columns[1:]], axis=1)
        row_docs = np.where(valid, np.cumsum(valid.ravel()).reshape(valid.shape) - 1, -1)
        doc_rows, side = np.nonzero(valid)
        respond = (spans[0][1] - spans[0][0])[doc_rows]
        starts = np.stack([spans[0][0][doc_rows], np.stack([s for s, _ in spans[1:]], 1)[doc_rows, side]], 1).ravel()
        ends = np.stack([spans[0][1][doc_rows], np.stack([e for _, e in spans[1:]], 1)[doc_rows, side]], 1).ravel()
    ids, at = gather(np.arange(len(pool)), starts.astype(np.int64), ends.astype(np.int64))
    docs = Documents(messages=pool, tools=whole(table["tools"]), order=ids, respond=respond,
                     at=at[::2] if regime == "preference" else at, tool_row=order[doc_rows],
                     generate=np.full(len(doc_rows), regime == "rlvr"))
    return docs, row_docs.astype(np.int64)


def _chunks(docs: Documents) -> list[tuple[int, int]]:
    """Ranges of documents with about _CHUNK bytes of text each."""
    fields = dict(zip((f.name for f in docs.messages.type), docs.messages.flatten(), strict=True))
    sizes = sum(pc.fill_null(pc.binary_length(fields[name]), 0).to_numpy(zero_copy_only=False).astype(np.int64)
                for name in ("content", "reasoning"))
    total = np.concatenate([[0], np.cumsum(np.asarray(sizes)[docs.order] + 32)])[docs.at]
    cuts = np.flatnonzero(np.diff(total[:-1] // _CHUNK)) + 1 if len(docs) else np.empty(0, np.int64)
    edges = [0, *cuts.tolist(), len(docs)]
    return list(pairwise(edges))


def tokenize_documents(rendering: Rendering, tokenizer: Tokenizer) -> Tokenized:
    """Encode a rendering and class its tokens; proven by comparing bytes, see the module."""
    done, status = _placed(rendering, tokenizer.encode(rendering.texts(0, len(rendering.offsets) - 1)), tokenizer)
    bad = np.flatnonzero(status != OK)
    return _splice(done, bad, _guarded(_subset(rendering, bad), tokenizer)) if len(bad) else done


def _limits(rendering: Rendering) -> NDArray[np.int64]:
    """Where each document's prompt ends in the data; far away when it is not split."""
    return np.where(rendering.boundary >= 0, rendering.offsets[:-1] + rendering.boundary, np.int64(2**62))


def _placed(rendering: Rendering, encoded: Encoded, tokenizer: Tokenizer) -> tuple[Tokenized, NDArray[np.uint8]]:
    text = (rendering.data, rendering.classes, rendering.offsets)
    segments, status, inside, crossing = place(encoded.tokens, encoded.at, *tokenizer.piece, text, _limits(rendering),
                                               tokenizer.control)
    notes = Counter(rendering.notes)
    notes["boundary_tokens"] += int(crossing[status == OK].sum())
    return Tokenized(tokens=encoded.tokens, segments=segments, at=encoded.at, inside=inside, notes=dict(notes),
                     problems=dict(rendering.problems)), status


def _subset(rendering: Rendering, docs: NDArray[np.int64]) -> Rendering:
    starts, ends = rendering.offsets[:-1][docs], rendering.offsets[1:][docs]
    data, offsets = gather(rendering.data, starts, ends)
    return Rendering(data=data, classes=gather(rendering.classes, starts, ends)[0], offsets=offsets,
                     boundary=rendering.boundary[docs])


def _guarded(rendering: Rendering, tokenizer: Tokenizer) -> Tokenized:
    """Encode with the template's control tokens respelled, so that those that a user typed are text."""
    n = len(rendering.offsets) - 1
    problems: dict[int, Problem] = {}
    guarded = [_respell(rendering, d, tokenizer, problems) for d in range(n)]
    texts = [text for text, _, _ in guarded]
    done, status = _placed(rendering, tokenizer.encode_guarded(texts), tokenizer)
    problems |= _control_problems(status)
    bad = np.flatnonzero(status == MISMATCH)
    if len(bad):
        by_offsets = _by_offsets(_subset(rendering, bad), [texts[d] for d in bad], [guarded[d][1] for d in bad], tokenizer)
        done = _splice(done, bad, by_offsets)
    notes = Counter(done.notes)
    notes["special_literals"] += sum(literals > 0 for _, _, literals in guarded)
    notes["located_by_offsets"] += len(bad)
    return Tokenized(tokens=done.tokens, segments=done.segments, at=done.at, inside=done.inside,
                     problems=done.problems | problems, notes=dict(notes))


def _respell(rendering: Rendering, d: int, tokenizer: Tokenizer,
             problems: dict[int, Problem]) -> tuple[str, NDArray[np.int64], int]:
    """The guarded text of a document, its bytes' positions per character, and how many control tokens were typed."""
    text = rendering.text(d)
    if found := RESERVED.search(text):
        problems[d] = ("reserved_characters", {"character": ascii(found[0])})
        return "", np.zeros(1, np.int64), 0
    at = char_bytes(text)
    classes = rendering.classes[rendering.offsets[d]:rendering.offsets[d + 1]]
    names = sorted(tokenizer.specials, key=lambda name: (-len(name), name))
    pattern = re.compile("|".join(re.escape(name) for name in names) or r"(?!)")
    pieces: list[str] = []
    where: list[NDArray[np.int64]] = []
    literals = last = look = 0
    while match := pattern.search(text, look):
        start, end = match.span()
        if not (classes[at[start]:at[end]] & OWNED).all():
            literals, look = literals + 1, start + 1
            continue
        spelled = tokenizer.guard(match[0])
        pieces += [text[last:start], spelled]
        where += [at[last:start], np.full(len(spelled), at[start], np.int64)]
        last = look = end
    return "".join([*pieces, text[last:]]), np.concatenate([*where, at[last:]]), literals


def _by_offsets(rendering: Rendering, texts: list[str], where: list[NDArray[np.int64]], tokenizer: Tokenizer) -> Tokenized:
    """Place tokens by the library's own offsets; every byte but white space must be covered, or normalized away."""
    encoded = tokenizer.encode_guarded(texts, offsets=True)
    starts, ends = np.empty(len(encoded.tokens), np.int64), np.empty(len(encoded.tokens), np.int64)
    problems: dict[int, Problem] = {}
    for d, position in enumerate(where):
        low, high, base = encoded.at[d], encoded.at[d + 1], rendering.offsets[d]
        starts[low:high] = position[encoded.starts[low:high]] + base
        ends[low:high] = position[encoded.ends[low:high]] + base
        covered = np.zeros(rendering.offsets[d + 1] - base + 1, np.int64)
        np.add.at(covered, starts[low:high] - base, 1)
        np.add.at(covered, ends[low:high] - base, -1)
        lost = (np.cumsum(covered)[:-1] <= 0) & ~_BLANK[rendering.data[base:rendering.offsets[d + 1]]]
        if lost.any() and not _normalized(rendering.text(d), encoded.tokens[low:high], tokenizer):
            at = int(np.argmax(lost))
            near = rendering.data[base + at:base + at + 40].tobytes().decode("utf-8", "replace")
            problems[d] = ("tokens_lose_text", {"byte": at, "near": near})
    segments, status, crossing = classify(encoded.tokens, encoded.at, starts, ends, rendering.classes, tokenizer.control)
    return Tokenized(tokens=encoded.tokens, segments=segments, at=encoded.at,
                     inside=tokens_before(encoded.at, ends, _limits(rendering)),
                     notes={"boundary_tokens": int(crossing.sum())}, problems=problems | _control_problems(status))


def _normalized(text: str, tokens: NDArray[np.int32], tokenizer: Tokenizer) -> bool:
    """Do the tokens' bytes spell the text as the tokenizer's normalizer writes it (a composed character, say)?"""
    pieces, at = tokenizer.piece
    return b"".join(pieces[at[token]:at[token + 1]].tobytes() for token in tokens) == tokenizer.normalize(text).encode()


def _control_problems(status: NDArray[np.uint8]) -> dict[int, Problem]:
    return {d: ("special_literal", {"message": "content becomes a control token"})
            for d in np.flatnonzero(status == CONTROL).tolist()}


def _splice(whole: Tokenized, docs: NDArray[np.int64], again: Tokenized) -> Tokenized:
    """Put documents that were encoded again in their places."""
    tokens: list[NDArray[np.int32]] = []
    segments: list[NDArray[np.uint8]] = []
    sizes = np.diff(whole.at)
    inside = whole.inside.copy()
    last = 0
    for i, d in enumerate(docs):
        a, b = again.at[i], again.at[i + 1]
        tokens += [whole.tokens[last:whole.at[d]], again.tokens[a:b]]
        segments += [whole.segments[last:whole.at[d]], again.segments[a:b]]
        last = whole.at[d + 1]
        sizes[d], inside[d] = b - a, again.inside[i]
    problems = {int(docs[i]): problem for i, problem in again.problems.items()} | whole.problems
    return Tokenized(tokens=np.concatenate([*tokens, whole.tokens[last:]]), inside=inside, problems=problems,
                     segments=np.concatenate([*segments, whole.segments[last:]]),
                     at=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
                     notes=dict(Counter(whole.notes) + Counter(again.notes)))


def _concatenate(parts: list[Tokenized]) -> Tokenized:
    docs = np.cumsum([0, *(len(part.inside) for part in parts)]).tolist()
    sizes = np.concatenate([np.empty(0, np.int64), *(np.diff(part.at) for part in parts)])
    notes: Counter[str] = Counter()
    for part in parts:
        notes.update(part.notes)
    return Tokenized(
        tokens=np.concatenate([np.empty(0, np.int32), *(part.tokens for part in parts)]),
        segments=np.concatenate([np.empty(0, np.uint8), *(part.segments for part in parts)]),
        at=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), notes={k: v for k, v in notes.items() if v},
        inside=np.concatenate([np.empty(0, np.int64), *(part.inside for part in parts)]),
        problems={docs[i] + d: problem for i, part in enumerate(parts) for d, problem in part.problems.items()})


Lists = dict[str, tuple["NDArray[np.int64]", "NDArray[np.int64]"]]  # output column -> start and end of each row's tokens


def _lists(done: Tokenized, regime: str, row_docs: NDArray[np.int64], notes: Counter[str]) -> Lists:
    """Where the tokens of each output column of each row are."""
    if regime != "preference":
        return {"" if regime == "sft" else "prompt": (done.at[:-1], done.at[1:])}
    absent = row_docs < 0
    at, end, inside = (np.append(values, 0)[row_docs] for values in (done.at[:-1], done.at[1:], done.inside))
    inside[absent] = end[absent] = at[absent] = 0
    both = ~absent.any(axis=1)
    shared = inside.max(axis=1)
    shared[both] = common_prefix(done.tokens, at[both, 0].copy(), at[both, 1].copy(), inside[both].min(axis=1))
    notes["prompt_boundary_moved"] += int((shared < inside.max(axis=1)).sum())
    first = np.where(absent[:, 0], at[:, 1], at[:, 0])
    begin = np.where(absent, 0, at + shared[:, None])
    return {"prompt": (first, first + shared), "chosen": (begin[:, 0].copy(), end[:, 0].copy()),
            "rejected": (begin[:, 1].copy(), end[:, 1].copy())}


def _untrained(lists: Lists, regime: str, done: Tokenized, row_docs: NDArray[np.int64]) -> list[int]:
    """Rows in which a document that is there has no token of the assistant's own."""
    names = [] if regime == "rlvr" else [name for name in lists if name != "prompt"]
    poor = np.zeros(len(row_docs), np.bool_)
    for side, name in enumerate(names):
        poor |= (count_trained(done.segments, *lists[name], _TRAINED) == 0) & (row_docs[:, side] >= 0)
    rows: list[int] = np.flatnonzero(poor | ((row_docs < 0).all(axis=1))).tolist()
    return rows


def _list_array(values: NDArray[Any], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> pa.ListArray:
    if len(starts) and starts[0] == 0 and ends[-1] == len(values) and (starts[1:] == ends[:-1]).all():
        flat, at = values, np.append(starts, ends[-1])  # every token in its place: nothing to copy
    else:
        flat, at = gather(values, starts, ends)
    return pa.ListArray.from_arrays(pa.array(at.astype(np.int32)), pa.array(flat))


def _row_problems(table: pa.Table, regime: str, order: NDArray[np.int64], row_docs: NDArray[np.int64],
                  found: dict[int, Problem]) -> dict[int, Problem]:
    """Problems by output row: content that is not text first, then those of its documents."""
    problems: dict[int, Problem] = {}
    position = np.argsort(order, kind="stable")
    for name in message_columns(regime):
        messages, at = list_parts(table[name])
        parts = messages.flatten()[messages.type.get_field_index("parts")]
        for i in np.flatnonzero(parts.is_valid().to_numpy(zero_copy_only=False)).tolist():
            kinds = [part.get("type") if isinstance(part, dict) else None for part in json.loads(parts[i].as_py())]
            other = next((kind for kind in kinds if kind != "text"), "text")
            if other != "text":
                row = int(position[np.searchsorted(at, i, side="right") - 1])
                problems.setdefault(row, ("non_text_part", {"column": name, "type": other}))
    owner = {doc: row for row, own in enumerate(row_docs.tolist()) for doc in own if doc in found} if found else {}
    for doc in sorted(found):
        problems.setdefault(owner[doc], found[doc])
    return problems


def _rejects(table: pa.Table, order: NDArray[np.int64], problems: dict[int, Problem]) -> pa.Table:
    """The rejected rows, in output order, with reason and evidence."""
    rows = sorted(problems)
    taken = table.take(pa.array(order[rows] if rows else [], pa.int64()))
    columns = {name: taken[name] for name in ("record_id", "source_id", "source", "uri", "line")}
    columns["step"] = pa.array(["tokenize"] * len(rows), pa.string())
    columns["reason"] = pa.array([problems[row][0] for row in rows], pa.string())
    columns["evidence"] = pa.array([json.dumps(problems[row][1], sort_keys=True, ensure_ascii=False) for row in rows],
                                   pa.string())
    return pa.table(columns, schema=REJECTS)
