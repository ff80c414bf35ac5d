"""Rows that yield several records: message trees, tasks with instances.

A tree gives one record per path that ends in an assistant's message with no assistant below it, in document order
(`paths: all`), or the one that follows the best-ranked reply at each step (`paths: best`; lowest rank first, messages
without a rank last, then document order). Deleted messages are left out with all below them. Trees are walked level
by level over the tape, all rows at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingot.kernels.json_tokens import ARRAY, NULL, NUMBER, OBJECT, STRING, TRUE
from ingot.schema.convert import dialogue
from ingot.schema.convert.batch import Batch, Converted, finish
from ingot.schema.convert.sft import Consumed, asked, needed, opened
from ingot.schema.convert.turns import ASSISTANT, SYSTEM, USER, Turns, merge, said
from ingot.schema.cursor import Cursor, Ints, Path, blank, leftover

_ROLES = {"prompter": USER, "user": USER, "assistant": ASSISTANT, "system": SYSTEM}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forest:
    """All messages of all trees in document order; parent is a place in these arrays, -1 at a root."""

    nodes: Cursor
    parent: Ints
    unit: Ints
    role: np.ndarray
    rank: np.ndarray


def oasst(batch: Batch, id_path: Path | None, paths: str) -> Converted:
    """Open Assistant: trees (`prompt` holds the root), or root messages with their replies."""
    tree = batch.root.member("prompt")
    flat = tree.nodes < 0
    start = Cursor(tree.tape, np.where(flat, batch.root.nodes, tree.nodes))
    text_at = start.member("text")
    batch.faults.add_where(
        text_at.nodes < 0, "format_mismatch",
        lambda unit: {"format": "oasst", "missing": "text", "fields": start.keys(unit)},
    )  # fmt: skip
    above = batch.root.member("parent_id")
    batch.faults.add_where(
        flat & above.present(), "format_mismatch",
        lambda unit: {"format": "oasst", "path": "parent_id", "expected": "a root message", "value": above.value(unit)},
    )  # fmt: skip
    forest = _forest(batch, start.where(batch.ok))
    leaves = _ends(forest, paths == "best")
    leaves = leaves[np.argsort(forest.nodes.nodes[leaves], kind="stable")]
    counts = np.bincount(forest.unit[leaves], minlength=len(batch))
    batch.faults.add_where(counts == 0, "no_assistant_turn", lambda unit: {"path": "replies"})
    split, _ = batch.split(np.where(batch.ok, counts, 0))
    units = np.flatnonzero(split.ok)
    turns = _climb(forest, leaves[batch.ok[forest.unit[leaves]]], units)
    dialogue.check(split, turns, "path", units=split.ok.copy())
    bare = flat[_parents(split, batch)]
    consumed: Consumed = {"prompt": ~bare, "text": bare, "role": bare, "replies": bare}
    result = finish(split, {"messages": turns.lists(len(split))}, consumed, id_path, ("message_tree_id",))
    # a bare root is itself a message: its fields are in that message's meta already
    meta = pc.if_else(pa.array(bare), pa.scalar(None, pa.string()), result.columns["meta"])
    return Converted(batch=split, source_id=result.source_id, columns={**result.columns, "meta": meta})


def _parents(split: Batch, batch: Batch) -> Ints:
    """The unit of `batch` that each unit of `split` came from (both are ordered by row)."""
    return np.searchsorted(batch.row, split.row)


def _forest(batch: Batch, start: Cursor) -> _Forest:
    """Walk all trees, one level at a time."""
    unit = np.flatnonzero(start.nodes >= 0)
    level, parent = start.nodes[unit], np.full(len(unit), -1, np.int64)
    nodes, units, parents, total = [], [], [], 0
    while len(level):
        here = Cursor(start.tape, level)
        kept = here.member("deleted").kinds() != TRUE
        level, unit, parent = level[kept], unit[kept], parent[kept]
        nodes.append(level)
        units.append(unit)
        parents.append(parent)
        replies = Cursor(start.tape, level).member("replies")
        children, offsets = replies.where(replies.kinds() == ARRAY).children()
        source = np.repeat(np.arange(len(level)), np.diff(offsets))
        level, unit, parent = children.nodes, unit[source], total + source
        total += len(nodes[-1])
    empty = np.zeros(0, np.int64)
    flat, owner = np.concatenate([*nodes, empty]), np.concatenate([*units, empty])
    messages = Cursor(start.tape, flat)
    names = messages.member("role").text()
    index = np.asarray(pc.fill_null(pc.index_in(names, value_set=pa.array(list(_ROLES))), len(_ROLES)))
    role = np.array([*_ROLES.values(), -1], np.int8)[index]
    bad = np.flatnonzero(role < 0)
    batch.faults.add(
        owner[bad], "unknown_role", lambda k: {"path": "role", "value": messages.member("role").value(int(bad[k]))}
    )
    kinds = messages.member("text").kinds()
    wrong = np.flatnonzero(kinds != STRING)
    batch.faults.add(
        owner[wrong], "wrong_type", lambda k: {"path": "text", "value": messages.member("text").value(int(wrong[k]))}
    )
    ranks = messages.member("rank")
    values = pc.cast(pc.if_else(pa.array(ranks.kinds() == NUMBER), ranks.scalar(), None), pa.float64())
    rank = np.asarray(pc.fill_null(values, np.inf))
    return _Forest(nodes=messages, parent=np.concatenate([*parents, empty]), unit=owner, role=role, rank=rank)


def _ends(forest: _Forest, best: bool) -> Ints:
    """Assistant messages with no assistant below them: all, or those on each tree's best-ranked path."""
    size = len(forest.parent)
    keep = np.ones(size, np.bool_)
    if best:
        order = np.lexsort((forest.nodes.nodes, forest.rank, forest.parent))
        first = np.ones(size, np.bool_)
        first[1:] = forest.parent[order][1:] != forest.parent[order][:-1]
        keep[order] = first
        keep[forest.parent < 0] = True
        for place in range(size):  # parents come before their children
            if forest.parent[place] >= 0 and not keep[forest.parent[place]]:
                keep[place] = False
    below = np.zeros(size, np.bool_)  # has an assistant among its descendants
    for place in range(size - 1, -1, -1):
        above = forest.parent[place]
        if above >= 0 and keep[place] and (below[place] or forest.role[place] == ASSISTANT):
            below[above] = True
    return np.flatnonzero(keep & (forest.role == ASSISTANT) & ~below)


def _climb(forest: _Forest, leaves: Ints, units: Ints) -> Turns:
    """The path from the root to each leaf, as turns of these units (one per leaf, in the same order)."""
    places, owners, depth, here, unit = [], [], [], leaves, units
    level = 0
    while len(here):
        places.append(here)
        owners.append(unit)
        depth.append(np.full(len(here), -level))
        up = forest.parent[here]
        here, unit, level = up[up >= 0], unit[up >= 0], level + 1
    empty = np.zeros(0, np.int64)
    place, owner = np.concatenate([*places, empty]), np.concatenate([*owners, empty])
    order = np.lexsort((np.concatenate([*depth, empty]), owner))
    place, owner = place[order], owner[order]
    messages = forest.nodes.take(place)
    return Turns(
        unit=owner, role=forest.role[place], content=messages.member("text").text(),
        place=np.arange(len(owner)) - np.searchsorted(owner, owner),
        meta=leftover(messages, {"text": True, "role": True, "replies": True}),
    )  # fmt: skip


def instances(batch: Batch, id_path: Path | None, join: str) -> Converted:
    """Self-Instruct: an instruction and a list of instances, each with input and output."""
    batch.text(batch.field("instruction")[0], "instruction")
    split, inner = _expand(batch, "instances")
    instruction = split.root.member("instruction").text()
    user = asked(split, instruction, inner.member("input"), join)
    needed(split, user, "instruction", "empty_prompt")
    output = split.text(split.field("output", root=inner)[0], "output")
    needed(split, output, "output", "empty_response")
    turns, used = opened(split, merge([said(USER, user), said(ASSISTANT, output)]))
    extra = leftover(inner, {"input": True, "output": True})
    consumed: Consumed = {"instruction": True, "instances": True, **used}
    return _with_meta(finish(split, {"messages": turns.lists(len(split))}, consumed, id_path), extra)


def natural_instructions(batch: Batch, id_path: Path | None, outputs: str, definition: str, join: str) -> Converted:
    """Super-NaturalInstructions: an instance with a Definition around it, or a whole file in one row.

    The fields of the file (Contributors, Positive Examples …) are not copied into each record; bronze keeps them.
    """
    whole = batch.root.member("Instances").kinds() == ARRAY
    split, inner = _expand(batch, "Instances") if whole.any() else (batch, batch.root)
    inner = Cursor(inner.tape, np.where(whole[_parents(split, batch)], inner.nodes, split.root.nodes))
    around = split.root.member("Definition")
    texts = _definition(around)
    if split.context is not None:
        texts = pc.coalesce(texts, _definition(split.context.member("Definition")))
    split.faults.add_where(
        np.array(texts.is_null()), "format_mismatch",
        lambda unit: {"format": "natural_instructions", "missing": "Definition", "fields": split.root.keys(unit)},
    )  # fmt: skip
    out = split.field("output", root=inner)[0]
    kinds = out.kinds()
    split.wrong(out, (kinds != 0) & (kinds != ARRAY) & (kinds != STRING), "output", "a string or a list of strings")
    answers, offsets = out.where(kinds == ARRAY).children()
    counts = np.diff(offsets)
    split.faults.add_where(
        (kinds == ARRAY) & (counts == 0), "empty_response", lambda unit: {"path": "output", "value": "[]"}
    )
    many = counts > 1
    each = np.where(split.ok & many, counts, 1) if outputs == "all" else np.ones(len(split), np.int64)
    final, parent = split.split(each)
    number = np.arange(len(parent)) - np.searchsorted(parent, parent)
    at = offsets[parent] + number
    listed = (kinds == ARRAY)[parent] & (at < offsets[parent + 1])
    nodes = np.where(listed, -1, out.nodes[parent])
    nodes[listed] = answers.nodes[at[listed]]
    response = final.text(Cursor(out.tape, nodes), "output")
    given = inner.take(parent)
    question = final.text(final.field("input", root=given)[0], "input")
    needed(final, response, "output", "empty_response")
    text = texts.take(pa.array(parent))
    if definition == "user":
        prompt = [said(USER, pc.binary_join_element_wise(text, question, join))]
    else:
        needed(final, question, "input", "empty_prompt")
        prompt = [said(SYSTEM, text), said(USER, question)]
    turns = merge([*prompt, said(ASSISTANT, response)])
    final = _renumber(final)
    consumed: Consumed = {"input": True, "Definition": True, "output": ~(many[parent] & (outputs == "first"))}
    return finish(final, {"messages": turns.lists(len(final))}, consumed, id_path, root=given)


def _definition(found: Cursor) -> pa.StringArray:
    """A definition: a text, or a list of texts that are joined by line breaks."""
    kinds = found.kinds()
    lines, offsets = found.where(kinds == ARRAY).children()
    texts = pc.fill_null(lines.text(), "")
    together = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), texts), "\n")
    joined = pc.if_else(pa.array(kinds == ARRAY), together, found.text())
    return pc.if_else(pa.array(blank(joined)), pa.scalar(None, pa.string()), joined)


def _expand(batch: Batch, key: str) -> tuple[Batch, Cursor]:
    """One unit per element of a list of objects; and those elements."""
    found = batch.field(key)[0] if key == "instances" else batch.root.member(key)
    kinds = found.kinds()
    batch.wrong(found, (kinds != 0) & (kinds != ARRAY) & (kinds != NULL), key, "a list")
    elements, offsets = found.where((kinds == ARRAY) & batch.ok).children()
    counts = np.diff(offsets)
    batch.faults.add_where((kinds == ARRAY) & (counts == 0), "missing_field", lambda unit: {"path": key, "value": "[]"})
    batch.faults.add_where(kinds == NULL, "missing_field", lambda unit: {"path": key, "value": None})
    split, parent = batch.split(counts)
    nodes = np.full(len(parent), -1, np.int64)
    nodes[counts[parent] > 0] = elements.nodes
    inner = Cursor(found.tape, nodes)
    split.wrong(inner, (nodes >= 0) & (inner.kinds() != OBJECT), key, "objects")
    return split, inner


def _renumber(batch: Batch) -> Batch:
    """Number the items of a row again after a second split."""
    first = np.searchsorted(batch.row, batch.row)
    return Batch(
        format=batch.format, root=batch.root, context=batch.context, faults=batch.faults, row=batch.row,
        item=(np.arange(len(batch)) - first).astype(np.int32),
    )  # fmt: skip


def _with_meta(result: Converted, extra: pa.StringArray | None) -> Converted:
    """Put the unknown fields of the item under "instance" in the record's meta."""
    if extra is None:
        return result
    wrapped = pc.binary_join_element_wise('{"instance":', extra, "}", "")
    meta = result.columns["meta"]
    both = pc.binary_join_element_wise(pc.utf8_slice_codeunits(meta, 0, -1), ',"instance":', extra, "}", "")
    return Converted(
        batch=result.batch, source_id=result.source_id,
        columns={**result.columns, "meta": pc.coalesce(both, wrapped, meta)},
    )  # fmt: skip
