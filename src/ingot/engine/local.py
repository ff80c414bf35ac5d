"""Run tasks on this machine: threads, processes, or one after another in this thread.

Threads are the default: numba kernels, Arrow, DuckDB, hashing and tokenizers all release the interpreter lock, and a
thread needs no second import of them. `processes` starts clean interpreters (forkserver); use it when a user's Python
step or a Jinja template dominates. A task is retried never: it is pure, so it would fail again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ingot.core.task import Json, Task, execute
from ingot.errors import IngotError, StepError

if TYPE_CHECKING:
    from ingot.store.lake import Lake


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEngine:
    """workers: how many tasks at once (default: the cores of this machine); kind: what a worker is."""

    workers: int = 0
    kind: Literal["threads", "processes"] = "threads"

    def run(self, lake: Lake, tasks: Sequence[Task]) -> Iterator[tuple[int, Json]]:
        """Yield (index, result) as tasks finish; at most two tasks per worker are in flight."""
        workers = min(self.workers or cores(), len(tasks))
        if workers <= 1 and self.kind == "threads":
            for i, task in enumerate(tasks):
                yield i, guarded(lake, task)
            return
        with self._pool(workers) as pool:
            yield from _stream(pool, lake, tasks, 2 * workers)

    def _pool(self, workers: int) -> Executor:
        if self.kind == "threads":
            return ThreadPoolExecutor(workers, thread_name_prefix="ingot")
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver"), initializer=_worker)


def _worker() -> None:
    """One core per process: the pool is the parallelism."""
    import pyarrow as pa

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    pa.set_cpu_count(1)


def _stream(pool: Executor, lake: Lake, tasks: Sequence[Task], ahead: int) -> Iterator[tuple[int, Json]]:
    """Submit lazily, so that an error stops the rest and memory does not follow the number of tasks."""
    waiting = list(range(len(tasks)))[::-1]
    running: dict[Future[Json], int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < ahead:
                index = waiting.pop()
                running[pool.submit(guarded, lake, tasks[index])] = index
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=running.__getitem__):
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()


def guarded(lake: Lake, task: Task) -> Json:
    """Execute a task; anything but an IngotError becomes one that names the task."""
    try:
        return execute(lake, task)
    except IngotError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}".split("\n")[0][:300]
        again = f"python -m ingot.engine.worker {lake.url} < task.json   # task {task.key}"
        raise StepError("E404", f"task failed: {what}", where=f"{task.node} ({task.label})", next=again) from error
