"""The same job by Ingot, by Hugging Face `datasets` + TRL, and by datatrove: cost of each, with the results compared.

    python -m benchmarks.peers --size 100MB

Costs are CPU seconds of all processes from the first row read to the last pack written; starting Python and importing
(Ingot about 1 s, transformers + TRL + torch about 8 s) is left out for all. Each program's time inside the tokenizer
library is measured in its own run and taken off in the last column: the programs call it differently.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.compare import verdict
from benchmarks.make_data import size_of
from benchmarks.measure import child, machine, table
from benchmarks.whole_job import data, fresh, megabytes, tokenize_again

FILE = 10 * 10**6


def _row(name: str, size: float, cpu: float, library: float, wall: float, base: tuple[float, float] | None) -> list[Any]:
    ratios = [f"{cpu / base[0]:.2f}", f"{(cpu - library) / base[1]:.1f}"] if base else ["1", "1"]
    return [name, wall, cpu, library, (cpu - library) * 1e3 / size, *ratios]


def report(size: int) -> str:
    """Run all three on the same files."""
    place = data(size, max(2, size // FILE))
    mb = megabytes(place)
    lake = fresh("peers")
    run = child("benchmarks.job", lake, place)
    ours = child("benchmarks.compare", lake).result
    timed = tokenize_again(lake, place)
    cpu = run.result["cpu"] - run.result["nodes"]["gold.tokens"]["cpu"] + timed["cpu"]
    base = (cpu, cpu - timed["library"])
    rows = [_row("Ingot", mb, cpu, timed["library"], run.result["wall"], None)]
    details, sentences = [], []

    hf = child("benchmarks.peer_datasets", place)
    rows.append(_total("datasets + transformers + TRL", mb, hf.result, base))
    details += _stages("datasets", hf.result)
    sentences.append(f"datasets + TRL: {verdict(ours, hf.result['documents'])}. Packs: Ingot "
                     f"{100 * run.result['packing']['gold.train']['efficiency']:.2f} % full, TRL {100 * hf.result['efficiency']:.2f} %.")  # fmt: skip

    trove = child("benchmarks.peer_datatrove", place)
    parts = base[0] - sum(run.result["nodes"][node]["cpu"] for node in ("gold.train", "gold.validation"))
    rows.append(_total("datatrove (no masks, no packing), against Ingot without merge and pack", mb, trove.result,
                       (parts, parts - timed["library"])))  # fmt: skip
    details += _stages("datatrove", trove.result)
    expected = sorted(document[1] for document in hf.result["documents"].values())
    if trove.result["documents"] != expected:
        raise SystemExit(f"datatrove kept other documents: {len(trove.result['documents'])} and {len(expected)}")
    sentences.append(f"datatrove: the same {len(expected):,} documents, token for token, as datasets.")
    head = ["", "wall s", "CPU s", "of it library", "ms/MB without it", "ratio", "ratio without library"]
    return (f"### The same job by others ({mb:,.0f} MB)\n\n{table(head, rows)}\n\n" + "\n".join(f"- {one}" for one in sentences)
            + f"\n\n{table(['stage', 'wall s', 'CPU s'], details)}\n")  # fmt: skip


def _total(name: str, size: float, result: Any, base: tuple[float, float]) -> list[Any]:
    stages = result["stages"].values()
    return _row(name, size, sum(s["cpu"] for s in stages), result["library"], sum(s["wall"] for s in stages), base)


def _stages(name: str, result: Any) -> list[list[Any]]:
    return [[f"{name}: {stage}", spent["wall"], spent["cpu"]] for stage, spent in result["stages"].items()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="100MB", type=size_of)
    given = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    print(report(given.size))
