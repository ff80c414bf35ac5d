"""Measuring: work runs in child processes, their CPU time and memory are read from the kernel when they end.

CPU seconds are user + system of the child and of all its descendants, so other work on the machine changes them far
less than it changes wall time. Peak memory is the resident set of the largest process (shared file pages that are
memory-mapped count) and, sampled every 20 ms, the anonymous part of it, which is what the program really asked for.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PR_SET_CHILD_SUBREAPER = 36
PACKAGES = ("pyarrow", "numpy", "numba", "tokenizers", "datasets", "trl", "transformers", "datatrove", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One child process: what it printed last, as JSON, and what it cost."""

    result: Any
    wall: float
    cpu: float
    peak: float  # MB, largest process


def child(module: str, *args: object, env: dict[str, str] | None = None) -> Measured:
    """Run `python -m module args…`; its last line of output is JSON. Its progress goes to this process's stderr."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command = [sys.executable, "-m", module, *map(str, args)]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                               env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", **(env or {})})  # fmt: skip
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    usages = [usage, *_orphans()]
    if process.returncode or not lines:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Measured(result=json.loads(lines[-1]), wall=wall, cpu=sum(one.ru_utime + one.ru_stime for one in usages),
                    peak=max(one.ru_maxrss for one in usages) / 1024)  # fmt: skip


def _orphans() -> list[resource.struct_rusage]:
    """Usage of what the child left behind (a fork server and its workers), which came to us as subreaper."""
    usages = []
    try:
        while True:
            usages.append(os.wait4(-1, 0)[2])
    except ChildProcessError:
        return usages


def cpu_now() -> float:
    """CPU seconds of this process and of its children that ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


class Anonymous:
    """Watches the anonymous memory of this process; `peak` is in MB."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            with open("/proc/self/status", encoding="ascii") as status:
                for line in status:
                    if line.startswith("RssAnon:"):
                        self.peak = max(self.peak, int(line.split()[1]) / 1024)

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return self.peak


def machine() -> str:
    """The facts without which a number means nothing, as one Markdown paragraph."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo", encoding="ascii") as info:
        memory = int(info.readline().split()[1]) / 2**20
    cores = len(os.sched_getaffinity(0))
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return (f"{model}, {cores} cores, {memory:.0f} GB, Linux {platform.release()}, Python {platform.python_version()}; "
            f"load before: {load}; {', '.join(found)}.")  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers are aligned right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head))]
    lines = ["| " + " | ".join(name.ljust(width) for name, width in zip(head, widths, strict=True)) + " |"]
    lines.append("|" + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths)) + "|")
    for row in cells:
        pairs = enumerate(zip(row, widths, strict=True))
        lines.append("| " + " | ".join(text.rjust(width) if i else text.ljust(width) for i, (text, width) in pairs) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
