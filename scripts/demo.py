"""The demo: three example pipelines, end to end, through the same command line that a user has.

For each regime it runs the pipeline, shows what was rejected and why, and the first batch as a person can check it; then
it runs once more (nothing to do) and traces one row. The lakes are left in .demo/ for looking around.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAKES = ROOT / ".demo"


def ingot(*words: str) -> None:
    """Print a command and run it; stop at the first that fails."""
    shown = " ".join(f'"{word}"' if " " in word or "[" in word else word for word in words)
    print(f"\n$ ingot {shown}", flush=True)
    done = subprocess.run([sys.executable, "-m", "ingot.cli.main", *words], cwd=ROOT, check=False)
    if done.returncode != 0:
        raise SystemExit(done.returncode)


def main() -> None:
    """Run the demo from empty lakes."""
    shutil.rmtree(LAKES, ignore_errors=True)
    os.environ.setdefault("COLUMNS", "110")
    for regime in ("sft", "preference", "rlvr"):
        print(f"\n{'=' * 30} {regime} {'=' * 30}")
        where = ("-f", f"examples/{regime}/ingot.yaml", "--lake", f".demo/{regime}")
        ingot("run", "-q", *where)
        ingot("rejects", "-n", "6", *where)
        ingot("show", "gold.train", *where)
    where = ("-f", "examples/sft/ingot.yaml", "--lake", ".demo/sft")
    print(f"\n{'=' * 30} once more {'=' * 30}")
    ingot("run", *where)
    ingot("trace", "gold.train[0:0]", *where)
    query = "select source, count(*) from silver.unique group by 1"
    print(f"\nThe lakes are in .demo/. Try: .venv/bin/ingot sql '{query}' --lake .demo/sft")


if __name__ == "__main__":
    main()
