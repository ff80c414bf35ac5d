"""Licences: SPDX, hub spellings, and helpful refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ingot
from ingot.errors import ConfigError
from ingot.schema import licenses
from ingot.schema.licenses import ALIASES, check_license


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MIT", "MIT"), ("mit", "MIT"), ("apache-2.0", "Apache-2.0"), ("Apache2", "Apache-2.0"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"), ("openrail", "LicenseRef-openrail"), ("LicenseRef-mine", "LicenseRef-mine"),
        ("mit or apache2", "MIT OR Apache-2.0"), ("(MIT AND cc0)", "MIT AND CC0-1.0"), (" odc-by ", "ODC-By-1.0"),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ],
)  # fmt: skip
def test_known_licences(text, expected):
    assert check_license(text) == expected
    assert check_license(expected) == expected


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_every_alias_means_something_known(alias):
    assert check_license(ALIASES[alias]) == ALIASES[alias]


@pytest.mark.parametrize("text", ["", "MIT OR", "nonsense", "MIT/X", "Apach-2.0", "()"])
def test_unknown_licences(text):
    with pytest.raises(ConfigError, match="E110"):
        check_license(text)


def test_suggestions():
    with pytest.raises(ConfigError, match=r"did you mean Apache-2\.0"):
        check_license("Apach-2.0")


def test_the_library_is_loaded_only_when_needed():
    code = "import sys; from ingot.schema.licenses import check_license; check_license('mit license'); "
    code += "sys.exit('license_expression' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(ingot.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_what_is_known_without_the_library_is_what_the_library_says():
    known = licenses._known()
    assert {name: known.get(name) for name in licenses._COMMON} == licenses._COMMON
