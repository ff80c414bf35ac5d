"""The whole job on generated data: what each stage costs, memory, scaling, a second run, one new file, engines.

    python -m benchmarks.whole_job --size 1GB        (prints Markdown; --size 20MB for a quick look)

Every run is a child process with an empty lake. "MB/s per core" is input bytes of JSONL per CPU second, user + system,
summed over all threads and processes. The tokenizer library's share is measured in the same session by encoding the
same renderings with the same call (benchmarks/library.py) and subtracted.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.job import STAGES
from benchmarks.make_data import size_of
from benchmarks.measure import ROOT, Measured, child, machine, table

DATA = ROOT / "benchmarks" / "data"
FILES = 100


def data(size: int, files: int) -> Path:
    """Generated data of this size, made when absent."""
    out = DATA / f"{size}-{files}"
    child("benchmarks.make_data", "--size", f"{size / 10**6}MB", "--files", files, "--out", out)
    return out


def megabytes(place: Path) -> float:
    return sum(path.stat().st_size for path in place.glob("*.jsonl")) / 1e6


def fresh(name: str) -> Path:
    """An empty place for a lake."""
    place = DATA / "lakes" / name
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def linked(source: Path, name: str, count: int) -> Path:
    """A folder with the first `count` files of another."""
    place = DATA / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in sorted(source.glob("*.jsonl"))[:count]:
        os.link(path, place / path.name)
    return place


def stage_rows(size: float, run: Measured, timed: dict[str, float]) -> list[list[Any]]:
    """The stage table: wall, CPU seconds, CPU ms per MB, MB/s per core. timed: the tokenize stage done again."""
    def row(name: str, cpu: float, wall: float | None = None) -> list[Any]:
        return [name, wall, cpu, cpu * 1e3 / size, size / cpu if cpu > 0 else None]

    nodes = run.result["nodes"]
    rows = []
    for node, name in STAGES.items():
        rows.append(row(name, nodes[node]["cpu"], nodes[node]["wall"]))
        if node == "gold.tokens":
            rows.append(row("· in the library's encode_batch_fast", timed["library"]))
            rows.append(row("· ours", timed["cpu"] - timed["library"]))
    rest = sum(node["cpu"] for name, node in nodes.items() if name != "gold.tokens")
    start = run.cpu - rest - nodes["gold.tokens"]["cpu"]
    rows.append(row("start of Python, plan, names", start))
    rows.append(row("**whole job**", run.cpu, run.wall))
    rows.append(row("**whole job without the library**", rest + start + timed["cpu"] - timed["library"]))
    return rows


def tokenize_again(lake: Path, place: Path) -> dict[str, float]:
    """Drop the tokens and make them again with the library's calls timed: CPU seconds of the stage and in the library."""
    shutil.rmtree(lake / "gold" / "tokens")
    run = child("benchmarks.job", lake, place, "--select", "gold.tokens", "--time-library",
                env={"TOKENIZERS_PARALLELISM": "false"})  # fmt: skip
    return {"cpu": run.result["nodes"]["gold.tokens"]["cpu"], "library": run.result["library"]}


def large(size: int) -> tuple[str, Measured]:
    """Stages, memory, second run and one new file, over 99 and then 100 files of one data set."""
    place = data(size, FILES)
    most, lake = linked(place, "most", FILES - 1), fresh("large")
    mb = megabytes(most)
    first = child("benchmarks.job", lake, most)
    again = child("benchmarks.job", lake, most)
    timed = tokenize_again(lake, most)
    new = child("benchmarks.job", lake, linked(place, "most", FILES))
    tokens = first.result["nodes"]["gold.tokens"]
    packing = first.result["packing"]["gold.train"]
    facts = [
        ["input", f"{mb:,.0f} MB, {first.result['rows']['bronze.chat']:,} rows, {FILES - 1} files"],
        ["rows kept", f"{first.result['rows']['silver.unique']:,}"],
        ["tokens", f"{packing['totals']['tokens']:,}, packs {100 * packing['efficiency']:.2f} % full"],
        ["cores busy while tokenizing", f"{tokens['cpu'] / tokens['wall']:.2f}"],
        ["peak memory", f"{first.peak:,.0f} MB resident, {first.result['anonymous']:,.0f} MB of it anonymous"],
        ["second run", f"{again.result['wall']:.2f} s ({again.result['cpu']:.2f} CPU s), {again.wall:.2f} s with start of Python, "
                       f"{again.result['tasks']} tasks"],
        ["one new file of 100", f"{new.result['cpu']:.1f} CPU s, {new.result['wall']:.1f} s, {new.result['tasks']} tasks "
                                f"({100 * new.result['cpu'] / first.result['cpu']:.1f} % of the first run)"],
    ]  # fmt: skip
    stages = table(["stage", "wall s", "CPU s", "CPU ms/MB", "MB/s per core"], stage_rows(mb, first, timed))
    shutil.rmtree(lake)
    return f"### The whole job\n\n{stages}\n\n{table(['', ''], facts)}\n", first


def scaling(size: int, first: Measured) -> str:
    """A tenth of the input, by threads and by processes; how the time grew."""
    place = data(size // 10, FILES // 10)
    mb = megabytes(place)
    rows = []
    small = None
    for kind in ("threads", "processes"):
        run = child("benchmarks.job", fresh("small"), place, "--kind", kind)
        small = small or run
        if run.result["digests"] != small.result["digests"]:
            raise SystemExit("threads and processes gave different data")
        rows.append([kind, run.wall, run.cpu, mb / run.wall, run.peak])
    assert small is not None
    factor = size * (FILES - 1) / FILES / (mb * 1e6)
    engines = table(["engine", "wall s", "CPU s", "MB/s wall", "peak MB of largest process"], rows)
    return (f"### Growth and engines\n\n{factor:.1f} times the input cost {first.cpu / small.cpu:.1f} times the CPU seconds and "
            f"{first.wall / small.wall:.1f} times the wall time.\nThe smaller input ({mb:,.0f} MB), by engine:\n\n{engines}\n")  # fmt: skip


def report(size: int) -> str:
    """All of it as Markdown."""
    text, first = large(size)
    return f"{text}\n{scaling(size, first)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="1GB", type=size_of)
    given = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    print(report(given.size))
