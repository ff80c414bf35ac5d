"""The job that is measured, through Ingot's public API: ingest, conform, normalize, split, exact_dedup, tokenize, pack.

Run as `python -m benchmarks.job LAKE DATA ...` it is one measured process; it prints what each node cost as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Anonymous, cpu_now

MAX_LENGTH = 4096
VALIDATION = 0.02
TOKENIZER = ROOT / "examples" / "tokenizer.json"
STAGES = {
    "bronze.chat": "ingest",
    "silver.clean": "conform, normalize, split",
    "silver.unique": "exact_dedup",
    "gold.tokens": "tokenize (render, encode, class)",
    "gold.train": "merge, pack",
    "gold.validation": "merge, pack (validation)",
}


def pipeline(data: Path) -> Any:
    """The pipeline over all .jsonl files of a folder."""
    import ingot

    p = ingot.Pipeline("bench", regime="sft", base=data)
    raw = p.source("chat", path="*.jsonl", format="openai", license="Apache-2.0", origin="synthetic")
    clean = p.silver("clean", raw, [ingot.normalize(), ingot.split(validation=VALIDATION)])
    unique = p.silver("unique", clean, [ingot.exact_dedup()])
    p.gold(unique, tokenizer=str(TOKENIZER), max_length=MAX_LENGTH)
    return p


class _Clock:
    """CPU and wall seconds between events."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, float]] = {}
        self._from = (time.perf_counter(), cpu_now())

    def __call__(self, event: dict[str, Any]) -> None:
        now = (time.perf_counter(), cpu_now())
        if event["event"] == "node_started":
            self._from = now
        elif event["event"] == "node_done":
            wall, cpu = now[0] - self._from[0], now[1] - self._from[1]
            self.nodes[event["node"]] = {"wall": wall, "cpu": cpu, "tasks": event["tasks"], "rows": event["rows"]}


def main() -> None:
    """Run the pipeline and print its costs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lake")
    parser.add_argument("data", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--kind", default="threads")
    given = parser.parse_args()
    memory, clock = Anonymous(), _Clock()
    started = time.perf_counter(), cpu_now()
    report = pipeline(given.data).run(given.lake, workers=given.workers, kind=given.kind, listeners=(clock,))
    wall, cpu = time.perf_counter() - started[0], cpu_now() - started[1]
    nodes = {node.node: node.snapshot.draft for node in report.nodes}
    print(json.dumps({
        "nodes": clock.nodes, "wall": wall, "cpu": cpu, "anonymous": memory.stop(), "tasks": report.tasks,
        "digests": {name: draft.digest for name, draft in nodes.items()},
        "rows": {name: draft.rows for name, draft in nodes.items()},
        "packing": {name: draft.stats for name, draft in nodes.items() if name in ("gold.train", "gold.validation")},
    }))  # fmt: skip


if __name__ == "__main__":
    main()
