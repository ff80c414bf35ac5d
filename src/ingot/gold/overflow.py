"""What happens to a document longer than `max_length`, and what it costs, per source.

    split      cut into pieces of max_length; nothing is lost, later pieces lose their context (conversations only)
    truncate   keep the head; of a preference row the responses lose their tails, the prompt never does
    drop       reject the document: too_long
    error      stop and list the first ones

A piece in which no token is trained teaches nothing and is not packed; a document without one is rejected as
no_trained_tokens. The first token of a piece is never trained: what precedes it is not in its row. Length of a
preference row is prompt plus longer response, of an RLVR row its prompt.
Cost: counting trained tokens reads one byte per token, at 560-730 million tokens per CPU second (the whole of
`pack_split`, 45 M tokens).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingot.errors import GoldError

Overflow = Literal["split", "truncate", "drop", "error"]
Int64s = npt.NDArray[np.int64]

_ALLOWED: dict[str, tuple[Overflow, ...]] = {
    "sft": ("split", "truncate", "drop", "error"),
    "preference": ("drop", "truncate", "error"),
    "rlvr": ("drop", "error"),
}
_WHY = {
    "split": "a compared pair or a prompt cannot be cut into pieces that mean anything",
    "truncate": "cutting a prompt's end takes away the question and the start of the answer's turn",
}


def overflow_of(regime: str, wanted: Overflow | None) -> Overflow:
    """The policy in force: the first that the regime allows when none is named; GoldError for one it does not."""
    allowed = _ALLOWED[regime]
    if wanted is None:
        return allowed[0]
    if wanted not in allowed:
        raise GoldError("E631", f"overflow {wanted!r} does not fit regime {regime!r}: {_WHY[wanted]}",
                        where="gold.overflow", next=f"set gold.overflow to {' or '.join(allowed)}")  # fmt: skip
    return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """A list column as numpy views: row i is values[begin[i]:end[i]]; a null is empty."""

    values: npt.NDArray[Any]
    begin: Int64s
    end: Int64s

    @classmethod
    def of(cls, table: pa.Table, column: str) -> Lists:
        """View a column of a table; copies only when it has more than one chunk."""
        chunked = table.column(column)
        array = chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()
        offsets = array.offsets.to_numpy().astype(np.int64)
        begin, end = offsets[:-1], offsets[1:]
        if array.null_count:
            end = np.where(array.is_valid().to_numpy(zero_copy_only=False), end, begin)
        return cls(values=array.values.to_numpy(), begin=begin, end=end)

    @property
    def lengths(self) -> Int64s:
        return self.end - self.begin


def lengths(table: pa.Table, regime: str) -> Int64s:
    """Tokens that a document takes in a row of a batch."""
    if regime == "sft":
        return Lists.of(table, "tokens").lengths
    prompt = Lists.of(table, "prompt_tokens").lengths
    if regime == "rlvr":
        return prompt
    return prompt + np.maximum(Lists.of(table, "chosen_tokens").lengths, Lists.of(table, "rejected_tokens").lengths)


def trained(table: pa.Table, regime: str, trainable: npt.NDArray[np.bool_], limit: int | None) -> Int64s:
    """Trained tokens of each document when only its first `limit` tokens are kept.

    For a preference row the smaller count of its responses: a comparison needs both. RLVR prompts train nothing: 1.
    """
    if regime == "rlvr":
        return np.ones(len(table), np.int64)
    if regime == "sft":
        return _within(Lists.of(table, "segments"), np.ones(len(table), np.int64), limit, trainable)
    prompt = Lists.of(table, "prompt_tokens").lengths
    skip = (prompt == 0).astype(np.int64)
    room = None if limit is None else np.maximum(limit - prompt, 0)
    counts = []
    for name in ("chosen", "rejected"):
        count = _within(Lists.of(table, f"{name}_segments"), skip, room, trainable)
        absent = table.column(f"{name}_segments").is_null().to_numpy()
        counts.append(np.where(absent, np.iinfo(np.int64).max, count))
    fewest = np.minimum(*counts)
    return np.where(fewest == np.iinfo(np.int64).max, 0, fewest)


def _within(lists: Lists, skip: Int64s, limit: int | Int64s | None, trainable: npt.NDArray[np.bool_]) -> Int64s:
    from ingot.kernels.packing import count_trained

    end = lists.end if limit is None else np.minimum(lists.end, lists.begin + limit)
    counts: Int64s = count_trained(lists.values, lists.begin + skip, end, trainable)
    return counts


def refused(table: pa.Table, *, regime: str, overflow: Overflow, max_length: int, trainable: npt.NDArray[np.bool_],
            ) -> tuple[npt.NDArray[np.bool_], pa.Array, pa.Array]:  # fmt: skip
    """Documents that the policy rejects: (mask over the table, their reasons, their evidence)."""
    tokens = lengths(table, regime)
    usable = trained(table, regime, trainable, max_length if overflow == "truncate" else None)
    long = (tokens > max_length) if overflow == "drop" else np.zeros(len(table), bool)
    mask = long | (usable == 0)
    reasons = pa.array(np.where(long[mask], "too_long", "no_trained_tokens").tolist(), pa.string())
    bound = {"max": max_length} if overflow in ("drop", "truncate") else {}
    evidence = [json.dumps({"tokens": n, **bound}, sort_keys=True) for n in tokens[mask].tolist()]
    return mask, reasons, pa.array(evidence, pa.string())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Parallel arrays, in the order of documents: the document, its first token, how many, how many of them trained."""

    document: Int64s
    start: Int64s
    length: Int64s
    trained: Int64s


def cut(table: pa.Table, *, overflow: Overflow, max_length: int, trainable: npt.NDArray[np.bool_]) -> Pieces:
    """The pieces of conversations under the policy; untrained ones included, with trained == 0."""
    from ingot.kernels.packing import cut_lists

    lists = Lists.of(table, "segments")
    parts = cut_lists(lists.values, lists.begin, lists.end, trainable, max_length, overflow == "split")
    return Pieces(document=parts[0], start=parts[1], length=parts[2], trained=parts[3])


def whole(table: pa.Table, regime: str, *, max_length: int, trainable: npt.NDArray[np.bool_]) -> Pieces:
    """One piece per preference or RLVR document, cut to max_length."""
    length = np.minimum(lengths(table, regime), max_length)
    n = np.arange(len(table), dtype=np.int64)
    counts = trained(table, regime, trainable, max_length)
    if regime == "preference":
        counts = _both(table, max_length, trainable)
    elif regime == "rlvr":
        counts = np.zeros(len(table), np.int64)
    return Pieces(document=n, start=np.zeros_like(n), length=length, trained=counts)


def _both(table: pa.Table, max_length: int, trainable: npt.NDArray[np.bool_]) -> Int64s:
    """Trained tokens of both responses together."""
    prompt = Lists.of(table, "prompt_tokens").lengths
    room, skip = np.maximum(max_length - prompt, 0), (prompt == 0).astype(np.int64)
    chosen = _within(Lists.of(table, "chosen_segments"), skip, room, trainable)
    return chosen + _within(Lists.of(table, "rejected_segments"), skip, room, trainable)


def refuse_long(
    first: list[tuple[str, str, int]], count: int, *, node: str, regime: str, max_length: int
) -> GoldError:
    """The error of policy "error": how many documents are too long and which come first (record_id, source, tokens)."""
    others = " or ".join(name for name in _ALLOWED[regime] if name != "error")
    many = "1 document is" if count == 1 else f"{count:,} documents are"
    shown = "; ".join(f"{record_id} of {source}: {tokens} tokens" for record_id, source, tokens in first)
    more = f", the first: {shown}" if count > len(first) else f": {shown}"
    return GoldError("E630", f"{many} longer than max_length {max_length}{more}", where=node,
                     next=f"raise gold.max_length, or set gold.overflow to {others}")  # fmt: skip


LEDGER = (
    "documents", "tokens", "documents_over", "documents_dropped", "tokens_dropped", "documents_untrained",
    "tokens_cut", "pieces", "pieces_untrained", "tokens_untrained", "documents_unpacked", "tokens_packed",
    "tokens_trained",
)  # fmt: skip
_LOST = {"too_long": ("documents_dropped", "tokens_dropped"),
         "no_trained_tokens": ("documents_untrained", "tokens_untrained")}  # fmt: skip


def ledger(lost: list[dict[str, dict[str, int]]], packed: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The ledger of a split, by source; `lost`: of rejected documents, `packed`: of the others (`per_source`).

    documents, tokens: what reached the split; documents_over: longer than max_length; documents_dropped and
    documents_untrained: rejects; documents_unpacked: not rejected, yet without a piece in which anything is trained.
    tokens = tokens_packed + tokens_cut (tails under truncate) + tokens_dropped + tokens_untrained (of rejected
    documents and of pieces in which nothing is trained).
    """
    found: dict[str, dict[str, int]] = {}
    for part in (*lost, packed):
        add_ledger(found, part)
    return {source: {name: found[source].get(name, 0) for name in LEDGER} for source in sorted(found)}


def add_ledger(total: dict[str, dict[str, int]], more: dict[str, dict[str, int]]) -> None:
    """Add counts by source."""
    for source, counts in more.items():
        mine = total.setdefault(source, {})
        for name, n in counts.items():
            mine[name] = mine.get(name, 0) + n


def lost_by(source: pa.ChunkedArray, reasons: pa.Array, tokens: Int64s) -> dict[str, dict[str, int]]:
    """The ledger of rejected documents: how many of each source, and their tokens, by what rejected them."""
    table = pa.table({"source": source, "reason": reasons, "tokens": pa.array(tokens)})
    found: dict[str, dict[str, int]] = {}
    for row in table.group_by(["source", "reason"]).aggregate([("tokens", "sum"), ([], "count_all")]).to_pylist():
        documents, its_tokens = _LOST[row["reason"]]
        n, size = row["count_all"], row["tokens_sum"]
        counts = {"documents": n, "tokens": size, documents: n, its_tokens: size}
        add_ledger(found, {row["source"]: counts | ({"documents_over": n} if row["reason"] == "too_long" else {})})
    return dict(sorted(found.items()))


def per_source(table: pa.Table, regime: str, pieces: Pieces, max_length: int) -> dict[str, dict[str, int]]:
    """The ledger of one part of admitted documents: for each source what it has and what the policy cost it."""
    if not len(table):
        return {}
    codes = pc.dictionary_encode(table.column("source").combine_chunks())
    names = codes.dictionary.to_pylist()
    of_document = codes.indices.to_numpy()
    of_piece = of_document[pieces.document]
    tokens = lengths(table, regime)
    used = np.zeros(len(table), np.int64)
    np.add.at(used, pieces.document, pieces.length)
    packed = pieces.trained > 0 if regime == "sft" else np.ones(len(pieces.document), bool)
    in_packs = np.zeros(len(table), bool)
    in_packs[pieces.document[packed]] = True

    def total(group: Any, values: Any) -> list[int]:
        sums: list[int] = np.bincount(group, weights=values, minlength=len(names)).astype(np.int64).tolist()
        return sums

    columns = {
        "documents": total(of_document, np.ones(len(table))),
        "tokens": total(of_document, tokens),
        "documents_over": total(of_document, tokens > max_length),
        "tokens_cut": total(of_document, tokens - used),
        "pieces": total(of_piece, packed),
        "pieces_untrained": total(of_piece, ~packed),
        "tokens_untrained": total(of_piece, np.where(packed, 0, pieces.length)),
        "documents_unpacked": total(of_document, ~in_packs),
        "tokens_packed": total(of_piece, np.where(packed, pieces.length, 0)),
        "tokens_trained": total(of_piece, np.where(packed, pieces.trained, 0)),
    }
    return {name: {key: column[i] for key, column in columns.items()} for i, name in enumerate(names)}
