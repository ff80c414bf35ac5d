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
import ingot.core.ops, ingot.gold.node, ingot.gold.tokenize, ingot.sources.node, ingot.steps.conform, ingot.steps.exact_dedup

def die_at(n):
    place, count = local._place, 0
    def patched(*args):
        nonlocal count
        count += 1
        if count == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return place(*args)
    local._place = patched

config, n, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
while True:
    child = os.fork()
    if child == 0:
        die_at(n)
        Pipeline.from_yaml(config).run(f"{config}-{n}", workers=1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(n, "killed" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}", flush=True)
    if not os.WIFSIGNALED(status):
        sys.exit(os.WEXITSTATUS(status))
    n += step
"""


@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_kill_before_every_commit(tmp_path: Path, first: int) -> None:
    """Every file reaches its place by one rename or link. Kill a run from nothing before each of them (and so after the
    one before); resume; compare every byte."""
    project = small(tmp_path / "p", n=12, files=2)
    project.run(workers=1)
    wanted, names = project.files(), project.digests()
    config = project.folder / "ingot.yaml"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLER, config, str(first), "4"], capture_output=True,
                          text=True, check=False, timeout=900)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    killed = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("killed")]
    assert len(killed) > 10, done.stdout
    for n in killed:
        check_resumed(project, f"{config}-{n}", wanted, names)


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
