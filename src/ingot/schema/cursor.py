"""A cursor: one JSON node per unit in a tape, and the ways to move it and to read what is there, column by column.

Converters ask for many keys of the same objects, most of them absent. An indexed cursor has its members' keys encoded
as small numbers in one pass, so that each further question costs a comparison of those, not a walk over the objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from ingot.kernels import tape_ops
from ingot.kernels.json_tokens import KEY_ESCAPED, NULL, OBJECT, STRING
from ingot.kernels.tape import Tape, scan

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Path = tuple[str | int, ...]
CUT = 200  # evidence shows at most this many characters of a value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """The members of a cursor's objects: node, unit and number of the key among `keys`, per member."""

    node: Ints
    unit: Ints
    key: npt.NDArray[np.int16]
    keys: Mapping[bytes, int]


@dataclass(frozen=True, slots=True)
class Cursor:
    """nodes[u] is the node of unit u, -1 where there is none."""

    tape: Tape
    nodes: Ints
    index: _Index | None = None

    def __len__(self) -> int:
        return len(self.nodes)

    def kinds(self) -> npt.NDArray[np.uint8]:
        """Kind of each node, 0 where there is none."""
        return tape_ops.kinds(self.tape, self.nodes)

    def present(self) -> Mask:
        """Where there is a value other than null."""
        kinds = self.kinds()
        result: Mask = (kinds != 0) & (kinds != NULL)
        return result

    def member(self, key: str) -> Cursor:
        """The value of a key in each object."""
        if self.index is None:
            return Cursor(self.tape, tape_ops.member(self.tape, self.nodes, key))
        nodes = np.full(len(self.nodes), -1, np.int64)
        number = self.index.keys.get(key.encode())
        if number is not None:
            here = np.flatnonzero(self.index.key == number)
            nodes[self.index.unit[here]] = self.index.node[here]
        return Cursor(self.tape, nodes)

    def indexed(self) -> Cursor:
        """The same cursor with its members' keys encoded, if they are few enough and none is escaped."""
        objects = self.where(self.kinds() == OBJECT)
        node, offsets = tape_ops.children(self.tape, objects.nodes)
        tape, spans = self.tape, np.empty((_KEYS, 2), np.int64)
        key, count = _encode_keys(tape.data, tape.key_start, tape.key_end, tape.flags, node, spans)
        if count < 0:
            return self
        names = {bytes(tape.data[lo:hi]): number for number, (lo, hi) in enumerate(spans[:count].tolist())}
        unit = np.repeat(np.arange(len(self.nodes)), np.diff(offsets))
        return Cursor(self.tape, self.nodes, _Index(node=node, unit=unit, key=key, keys=names))

    def element(self, index: int) -> Cursor:
        """The element of each array at an index; a negative one counts from the end."""
        elements, offsets = tape_ops.children(self.tape, self.nodes)
        lists = self.kinds() != OBJECT
        at = (offsets[:-1] if index >= 0 else offsets[1:]) + index
        there = lists & (offsets[:-1] <= at) & (at < offsets[1:])
        nodes = np.full(len(self.nodes), -1, np.int64)
        nodes[there] = elements[at[there]]
        return Cursor(self.tape, nodes)

    def walk(self, path: Path) -> Cursor:
        """The value at a path of keys and array indices."""
        here = self
        for step in path:
            here = here.element(step) if isinstance(step, int) else here.member(step)
        return here

    def first(self, keys: Sequence[str]) -> tuple[Cursor, npt.NDArray[np.int8]]:
        """The value of the first key that is there and not null (else a null one), and that key's position or -1."""
        nodes, which = np.full(len(self.nodes), -1, np.int64), np.full(len(self.nodes), -1, np.int8)
        done: Mask = np.zeros(len(self.nodes), np.bool_)
        for k, key in enumerate(keys):
            found = self.member(key)
            here = found.nodes >= 0
            value = found.present() if here.any() else here
            use = ~done & here & (value | (nodes < 0))
            nodes[use], which[use] = found.nodes[use], k
            done |= value
            if done.all():
                break
        return Cursor(self.tape, nodes), which

    def children(self) -> tuple[Cursor, Ints]:
        """Elements of arrays (values of objects), flat, and the offsets of each unit's."""
        nodes, offsets = tape_ops.children(self.tape, self.nodes)
        return Cursor(self.tape, nodes), offsets

    def take(self, index: npt.NDArray[np.intp] | Ints) -> Cursor:
        return Cursor(self.tape, self.nodes[index])

    def where(self, mask: Mask) -> Cursor:
        """The same nodes, -1 where mask is false."""
        return self if mask.all() else Cursor(self.tape, np.where(mask, self.nodes, -1))  # no index: it knows all units

    def text(self) -> pa.StringArray:
        """Decoded strings; null where the value is not a string."""
        return tape_ops.text(self.tape, self.nodes)

    def raw(self) -> pa.StringArray:
        """JSON source text; null where there is no value."""
        return tape_ops.raw(self.tape, self.nodes)

    def scalar(self) -> pa.StringArray:
        """Strings decoded, numbers and booleans as they are written; null otherwise."""
        return tape_ops.scalar_text(self.tape, self.nodes)

    def value(self, unit: int) -> str | None:
        """The JSON source of one value, cut, for evidence."""
        node = int(self.nodes[unit])
        if node < 0:
            return None
        lo, hi = int(self.tape.start[node]), int(self.tape.end[node])
        return cut(bytes(self.tape.data[lo : min(hi, lo + 4 * CUT + 4)]).decode("utf-8", "ignore"))

    def keys(self, unit: int) -> list[str]:
        """The keys of one object, at most 20, for evidence."""
        value = tape_ops.to_python(self.tape, int(self.nodes[unit]))
        return list(value)[:20] if isinstance(value, dict) else []


def cut(text: str | None) -> str | None:
    """At most CUT characters of a value."""
    return text if text is None or len(text) <= CUT else text[:CUT] + "…"


def parse(texts: pa.StringArray) -> Cursor:
    """Cursor to the roots of JSON held in strings; -1 where a string is null or not JSON."""
    tape = scan(texts)
    return Cursor(tape, tape_ops.roots(tape))


def leftover(cursor: Cursor, consumed: Mapping[str, Mask | bool]) -> pa.StringArray | None:
    """The members of each object that no column has taken, as JSON source text; None if there are none at all.

    consumed: key -> True, or where it was taken. Units that took the same keys are read together, so the cost is one
    pass for each of the few combinations that occur.
    """
    always = [key for key, mask in consumed.items() if mask is True or (not isinstance(mask, bool) and mask.all())]
    if cursor.index is not None and _all_taken(cursor.index, always):
        return None
    partly = {
        key: mask for key, mask in consumed.items() if not isinstance(mask, bool) and not mask.all() and mask.any()
    }
    if not partly:
        return _or_none(tape_ops.rest(cursor.tape, cursor.nodes, always))
    group = np.zeros(len(cursor), np.int64)
    for bit, mask in enumerate(partly.values()):
        group |= mask.astype(np.int64) << bit
    pieces, places = [], []
    for code in np.unique(group).tolist():
        units = np.flatnonzero(group == code)
        taken = [key for bit, key in enumerate(partly) if code >> bit & 1]
        pieces.append(tape_ops.rest(cursor.tape, cursor.nodes[units], [*always, *taken]))
        places.append(units)
    back = np.empty(len(cursor), np.int64)
    back[np.concatenate(places)] = np.arange(len(cursor))
    return _or_none(pa.concat_arrays(pieces).take(pa.array(back)))


def _all_taken(index: _Index, keys: Sequence[str]) -> bool:
    """Whether no object has a member under any other key."""
    taken = {key.encode() for key in keys}
    return all(name in taken for name in index.keys)


def _or_none(array: pa.StringArray) -> pa.StringArray | None:
    return None if array.null_count == len(array) else array


def is_text(cursor: Cursor) -> Mask:
    """Where the value is a string."""
    result: Mask = cursor.kinds() == STRING
    return result


def join(pieces: Sequence[pa.Array], between: str) -> pa.StringArray:
    """Texts of each unit with `between` in between, nulls left out; null where all are null.

    Not binary_join_element_wise(null_handling="skip"): in pyarrow 26 that loses rows whose pieces are all null.
    """
    result = pieces[0]
    for piece in pieces[1:]:
        result = pc.coalesce(pc.binary_join_element_wise(result, piece, between), result, piece)
    return result


def blank(texts: pa.StringArray) -> Mask:
    """Where a text is null, empty or white space only; whole texts are read only where they begin with it."""
    lengths = pc.fill_null(pc.binary_length(texts), 0)
    head = pc.fill_null(pc.binary_slice(texts.cast(pa.binary()), 0, 1), b"")
    spacy = pc.is_in(head, value_set=pa.array([b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x0c", b"\xc2", b"\xe2", b"\xe3"]))
    result: Mask = np.array(pc.equal(lengths, 0))
    doubtful = np.flatnonzero(np.array(spacy))
    if len(doubtful):
        stripped = pc.utf8_trim_whitespace(texts.take(pa.array(doubtful)))
        result[doubtful] = np.array(pc.equal(pc.fill_null(pc.binary_length(stripped), 0), 0))
    return result


_KEYS = 64  # distinct keys an index can hold


@njit(nogil=True, cache=True)
def _encode_keys(data: Any, key_start: Any, key_end: Any, flags: Any, nodes: Ints, spans: Ints) -> Any:
    """(key number per member node, count), numbered by appearance; spans[k] is where key k is first seen.

    The count is -1 if there are too many keys or an escaped one. Objects of one source repeat their order of keys, so
    the successor of the last key is tried first.
    """
    codes = np.empty(len(nodes), np.int16)
    after = np.zeros(len(spans) + 1, np.int64)
    count, last = 0, len(spans)
    for n in range(len(nodes)):
        node = nodes[n]
        if flags[node] & KEY_ESCAPED:
            return codes, -1
        lo, hi = key_start[node] + 1, key_end[node] - 1
        size, code = hi - lo, -1
        for attempt in range(-1, count):
            k = after[last] if attempt < 0 else attempt
            if k >= count or spans[k, 1] - spans[k, 0] != size:
                continue
            i, j = spans[k, 0], lo
            while j < hi and data[i] == data[j]:
                i, j = i + 1, j + 1
            if j == hi:
                code = k
                break
        if code < 0:
            if count == len(spans):
                return codes, -1
            code = count
            spans[code, 0], spans[code, 1] = lo, hi
            count += 1
        codes[n] = code
        after[last] = code
        last = code
    return codes, count
