"""Execute one task in a bare interpreter: `python -m ingot.engine.worker LAKE < task.json`.

This is all that a remote engine has to do. The lake's location and the task's JSON are the only inputs; the result is
committed to the lake and printed.
"""

from __future__ import annotations

import sys

from ingot.core.task import Task, canonical_json
from ingot.errors import IngotError


def main(argv: list[str]) -> int:
    """Read a task from standard input, run it, print its result; 2 on an error."""
    from ingot.engine.local import guarded
    from ingot.store.lake import Lake

    if len(argv) != 1:
        sys.stderr.write("usage: python -m ingot.engine.worker LAKE < task.json\n")
        return 2
    try:
        result = guarded(Lake.open(argv[0]), Task.from_json(sys.stdin.read()))
    except IngotError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(canonical_json(result).decode() + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
