"""Refs: the current name of a node -> snapshot id, moved by compare-and-swap, with a history that is never rewritten.

`refs/<node>` is one line, "<snapshot id> <n>": n counts the moves, so that a ref set back to an older id is still
another version. `refs/<node>.log` has one line per move, "<n> <id> <previous>". A move first makes sure that the log
holds the current line (a writer may have died between the two), then swaps the ref, then appends: the log is behind by
at most the move that the ref itself tells, and `history` always shows all. No times here; they are in runs/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ingot.errors import StoreError

if TYPE_CHECKING:
    from ingot.store.lake import Lake

_NODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ID = re.compile(r"[0-9A-Za-z_-]+")
_MAX_NUMBER = 6  # "@123456" is a history number, a longer run of digits the beginning of an id


class Line(NamedTuple):
    """What a ref says: a snapshot id and the number of the move that set it."""

    id: str
    n: int


class Refs:
    """The refs of a lake."""

    __slots__ = ("_store",)

    def __init__(self, lake: Lake) -> None:
        self._store = lake.store

    def names(self) -> list[str]:
        """Nodes that have a ref, sorted."""
        return [path.removeprefix("refs/") for path in self._store.list("refs") if not path.endswith(".log")]

    def get(self, node: str) -> str | None:
        """The snapshot id that the node's name means now; None before its first move."""
        line = self._line(node)[0]
        return line.id if line else None

    def history(self, node: str) -> list[dict[str, object]]:
        """All moves, oldest first: {"n", "id", "previous"}."""
        line = self._line(node)[0]  # before the log: a move seen here is in the log, or is the one to add
        moves = _parse_log(self._read(f"refs/{node}.log"), node)
        if line and line.n == len(moves) + 1:
            moves.append((line.id, moves[-1][0] if moves else None))
        return [{"n": n, "id": new, "previous": old} for n, (new, old) in enumerate(moves, 1)]

    def move(self, node: str, new_id: str, *, expect: str | None) -> None:
        """Make the name mean `new_id`, provided that it still means `expect`; E310 when another run was faster.

        Nothing happens when the name means `new_id` already (also: our own move whose answer got lost).
        """
        if not _ID.fullmatch(new_id):
            raise StoreError("E307", f"{new_id!r} is not a snapshot id", where=node)
        line, content = self._line(node)
        if line and line.id == new_id:
            self._record(node, line)  # the writer that set it may have died before it wrote the log
            return
        if (line.id if line else None) != expect:
            raise self._lost(node, expect, line)
        if line:
            self._record(node, line)
        after = Line(new_id, line.n + 1 if line else 1)
        if not self._store.swap(f"refs/{node}", content, f"{after.id} {after.n}\n".encode()):
            line = self._line(node)[0]
            if line and line.id == new_id:
                return
            raise self._lost(node, expect, line)
        self._record(node, after)

    def resolve(self, ref: str) -> str:
        """The snapshot id that "node", "node@3" (history number) or "node@3fa9…" (beginning of an id) names."""
        node, at, version = ref.partition("@")
        if not at:
            found = self.get(node)
            if found is None:
                known = ", ".join(self.names()) or "none yet"
                raise StoreError("E311", f"no snapshot is named {node!r} (known: {known})", next="ingot status")
            return found
        moves = self.history(node)
        if version.isdecimal() and len(version) <= _MAX_NUMBER:
            if not 1 <= int(version) <= len(moves):
                raise StoreError("E317", f"{node} has {len(moves)} versions, none is number {version}", where=ref)
            return str(moves[int(version) - 1]["id"])
        ids = {str(move["id"]) for move in moves}
        matches = [name for name in sorted(ids) if version and name.startswith(version)]
        if len(matches) != 1:
            what = f"{len(matches)} versions of {node} begin" if matches else f"no version of {node} begins"
            raise StoreError("E317", f"{what} with {version!r}", where=ref, next=f"ingot log {node}")
        return matches[0]

    # -- inside
    def _line(self, node: str) -> tuple[Line | None, bytes | None]:
        if not _NODE.fullmatch(node) or node.endswith(".log"):
            raise StoreError("E307", f"{node!r} cannot be the name of a node")
        data = self._read(f"refs/{node}")
        if data is None:
            return None, None
        words = data.decode("utf-8", "replace").split()
        if len(words) != 2 or not words[1].isdecimal() or not _ID.fullmatch(words[0]):
            raise StoreError("E313", f"refs/{node} is damaged: {data[:80]!r}", where=f"refs/{node}")
        return Line(words[0], int(words[1])), data

    def _read(self, path: str) -> bytes | None:
        try:
            return self._store.read(path)
        except StoreError as error:
            if error.code != "E304":
                raise
            return None

    def _record(self, node: str, line: Line) -> None:
        """Append the move that `line` tells unless it is recorded; several writers may try at once."""
        path = f"refs/{node}.log"
        while True:
            log = self._read(path)
            moves = _parse_log(log, node)
            if len(moves) >= line.n:
                return
            if len(moves) != line.n - 1:
                raise StoreError("E313", f"{path} ends at move {len(moves)}, the ref is at {line.n}", where=path)
            previous = moves[-1][0] if moves else "-"
            if self._store.swap(path, log, (log or b"") + f"{line.n} {line.id} {previous}\n".encode()):
                return

    @staticmethod
    def _lost(node: str, expect: str | None, line: Line | None) -> StoreError:
        found = line.id if line else "nothing"
        return StoreError(
            "E310", f"{node} was moved to {found} by another run (expected {expect or 'nothing'})", where=f"refs/{node}"
        )


def _parse_log(log: bytes | None, node: str) -> list[tuple[str, str | None]]:
    """(id, previous) per move."""
    moves: list[tuple[str, str | None]] = []
    for n, line in enumerate((log or b"").decode("utf-8", "replace").splitlines(), 1):
        words = line.split()
        if len(words) != 3 or words[0] != str(n):
            raise StoreError("E313", f"refs/{node}.log is damaged in line {n}: {line[:80]!r}", where=f"refs/{node}.log")
        moves.append((words[1], None if words[2] == "-" else words[2]))
    return moves
