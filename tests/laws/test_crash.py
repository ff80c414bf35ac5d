"""Law 5, atomic: kill -9 at any commit point; the lake reads as before or after, and the next run gives the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.project import Project, small

KILLER = """
import os, signal, sys
import ingot.store.local as local
from ingot.pipeline import Pipeline

def die_at(n, when):
    count = 0
    def wrap(name):
        original = getattr(os, name)
        def patched(*args, **more):
            nonlocal count
            count += 1
            if count == n and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = original(*args, **more)
            if count == n and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        setattr(local.os, name, patched)
    for name in ("rename", "replace", "link"):
        wrap(name)

config, first, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
import ingot.core.ops, ingot.gold.node, ingot.gold.tokenize, ingot.sources.node, ingot.steps.conform, ingot.steps.exact_dedup
n = first
while True:
    for when in ("before", "after"):
        child = os.fork()
        if child == 0:
            die_at(n, when)
            Pipeline.from_yaml(config).run(f"{config}-{n}-{when}", workers=1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(n, when, "killed" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}", flush=True)
        if not os.WIFSIGNALED(status):
            sys.exit(os.WEXITSTATUS(status))
    n += step
"""


@pytest.mark.parametrize(("first", "step"), [(1, 2), (2, 2)])
def test_kill_at_every_commit_point(tmp_path: Path, first: int, step: int) -> None:
    """Kill before and after each rename or link of a run from nothing; resume; compare every byte."""
    project = small(tmp_path / "p", n=12, files=2)
    project.run(workers=1)
    wanted, names = project.files(), project.digests()
    config = project.folder / "ingot.yaml"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLER, config, str(first), str(step)], capture_output=True,
                          text=True, check=False, timeout=600)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    killed = [line for line in done.stdout.splitlines() if line.endswith("killed")]
    assert len(killed) > 20, done.stdout
    for line in killed:
        n, when, _ = line.split()
        check_resumed(project, f"{config}-{n}-{when}", wanted, names)


def check_resumed(project: Project, lake: str, wanted: dict[str, bytes], names: dict[str, str]) -> None:
    """After the kill every name means a complete snapshot or nothing; after a resumed run the lake is the wanted one."""
    from ingot.core.snapshots import load_snapshot
    from ingot.store.lake import Lake
    from ingot.store.refs import Refs

    place = Lake(lake)
    for name in Refs(place).names():
        assert load_snapshot(place, name).draft.digest == names[name]
    project.pipeline().run(lake, workers=1)
    files = {p: place.store.read(p) for p in place.store.list() if not p.startswith(("runs/", "cache/"))}
    assert files == wanted, lake


def test_sigkill_from_outside(tmp_path: Path) -> None:
    """A run killed by the system at an arbitrary instant is finished by the next one."""
    project, other = small(tmp_path / "p"), small(tmp_path / "q")
    other.run()
    command = [sys.executable, "-m", "ingot.cli.main", "run", "-q", "-f", str(project.folder / "ingot.yaml")]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run.wait(timeout=2.5)
    except subprocess.TimeoutExpired:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    project.run()
    assert project.files() == other.files()
