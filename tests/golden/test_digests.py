"""Golden digests: what each node of the examples holds, and what it was said to be made by.

A digest that changes while the description (step versions, configs) stays the same is a step whose behaviour changed in
silence: caches would serve yesterday's data. Then raise the step's `version`, and write the new digests with

    python -m tests.golden.test_digests
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest

from ingot.core.fingerprint import fingerprint
from ingot.core.snapshots import load_snapshot
from ingot.pipeline import Pipeline
from ingot.store.lake import Lake
from ingot.store.refs import Refs

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = Path(__file__).parent / "digests.json"
REGIMES = ("sft", "preference", "rlvr")


def digests(regime: str, folder: Path) -> dict[str, dict[str, str]]:
    """Node -> content digest and fingerprint of its description."""
    url = str(folder / regime)
    Pipeline.from_yaml(ROOT / "examples" / regime / "ingot.yaml").run(url)
    lake = Lake(url)
    found = {name: load_snapshot(lake, name) for name in Refs(lake).names()}
    return {
        name: {"digest": snapshot.draft.digest, "made by": fingerprint(snapshot.description)}
        for name, snapshot in found.items()
    }


@pytest.mark.parametrize("regime", REGIMES)
def test_examples_hold_what_they_held(regime: str, tmp_path: Path) -> None:
    known, found = json.loads(FILE.read_text())[regime], digests(regime, tmp_path)
    assert found.keys() == known.keys()
    silent = [name for name in known if found[name]["digest"] != known[name]["digest"] and found[name]["made by"] == known[name]["made by"]]
    assert silent == [], "content changed without a new version or config"
    assert found == known, "behaviour changed with a new version or config: write the new digests (see above)"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        FILE.write_text(json.dumps({regime: digests(regime, Path(place)) for regime in REGIMES}, indent=1, sort_keys=True) + "\n")
    sys.stdout.write(f"wrote {FILE.relative_to(ROOT)}\n")
