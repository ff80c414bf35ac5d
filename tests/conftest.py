"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# no deadline: the first call of a kernel may compile it; in CI the same examples every time, so that red means a change
settings.register_profile("ingot", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ingot")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that use it are skipped, visibly, where it is absent."""
    path = Path(os.environ.get("INGOT_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (path / "MANIFEST.json").is_file():
        pytest.skip(f"real data not found at {path}; set INGOT_TEST_DATA to run this test")
    return path
