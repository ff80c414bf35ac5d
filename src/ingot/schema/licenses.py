"""Licences as SPDX expressions: checked, normalised, and with the hubs' own spellings understood.

`check_license("apache-2.0")` is "Apache-2.0". SPDX knowledge comes from the license-expression library, loaded on the
first call. Licences that SPDX does not list (model and data licences of the hubs) become LicenseRef- identifiers.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Any

from ingot.errors import ConfigError

# Hub identifiers and common spellings, lower case -> SPDX expression.
ALIASES: dict[str, str] = {
    "apache2": "Apache-2.0", "apache2.0": "Apache-2.0", "apache-2": "Apache-2.0", "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0", "apache": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "mit license": "MIT", "the mit license": "MIT", "expat": "MIT",
    "bsd": "BSD-3-Clause", "bsd-3": "BSD-3-Clause", "bsd 3-clause": "BSD-3-Clause", "bsd-2": "BSD-2-Clause",
    "bsd 2-clause": "BSD-2-Clause", "bsd-3-clause-clear": "BSD-3-Clause-Clear",
    "gpl-2": "GPL-2.0-only", "gpl-2.0": "GPL-2.0-only", "gpl-3": "GPL-3.0-only", "gpl-3.0": "GPL-3.0-only",
    "gplv2": "GPL-2.0-only", "gplv3": "GPL-3.0-only", "lgpl-3": "LGPL-3.0-only", "lgpl-3.0": "LGPL-3.0-only",
    "lgpl-2.1": "LGPL-2.1-only", "agpl-3": "AGPL-3.0-only", "agpl-3.0": "AGPL-3.0-only", "mpl": "MPL-2.0",
    "cc0": "CC0-1.0", "cc0 1.0": "CC0-1.0", "cc-zero": "CC0-1.0", "cc-by": "CC-BY-4.0", "cc by": "CC-BY-4.0",
    "cc by 4.0": "CC-BY-4.0", "cc-by 4.0": "CC-BY-4.0", "ccby4": "CC-BY-4.0", "cc-by-4": "CC-BY-4.0",
    "cc by 3.0": "CC-BY-3.0", "cc-by-3": "CC-BY-3.0",
    "cc-by-sa": "CC-BY-SA-4.0", "cc by-sa 4.0": "CC-BY-SA-4.0", "cc-by-sa-4": "CC-BY-SA-4.0",
    "cc-by-sa-3": "CC-BY-SA-3.0",
    "cc-by-nc": "CC-BY-NC-4.0", "cc by-nc 4.0": "CC-BY-NC-4.0", "cc-by-nc-4": "CC-BY-NC-4.0",
    "cc by-nc-sa 4.0": "CC-BY-NC-SA-4.0", "odc-by": "ODC-By-1.0", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0",
    "c-uda": "C-UDA-1.0", "cdla-permissive-1.0": "CDLA-Permissive-1.0", "cdla-permissive-2.0": "CDLA-Permissive-2.0",
    "cdla-sharing-1.0": "CDLA-Sharing-1.0", "gfdl": "GFDL-1.3-only", "artistic-2.0": "Artistic-2.0", "psfl": "PSF-2.0",
    "public domain": "LicenseRef-public-domain", "public-domain": "LicenseRef-public-domain",
    "unknown": "LicenseRef-unknown", "other": "LicenseRef-other", "proprietary": "LicenseRef-proprietary",
    "openrail": "LicenseRef-openrail", "openrail++": "LicenseRef-openrail-plus-plus",
    "bigscience-openrail-m": "LicenseRef-bigscience-openrail-m",
    "bigscience-bloom-rail-1.0": "LicenseRef-bigscience-bloom-rail-1.0",
    "creativeml-openrail-m": "LicenseRef-creativeml-openrail-m", "bigcode-openrail-m": "LicenseRef-bigcode-openrail-m",
    "llama2": "LicenseRef-llama2", "llama3": "LicenseRef-llama3", "llama3.1": "LicenseRef-llama3.1",
    "llama3.2": "LicenseRef-llama3.2", "llama3.3": "LicenseRef-llama3.3", "llama4": "LicenseRef-llama4",
    "gemma": "LicenseRef-gemma", "cc": "LicenseRef-cc",
}  # fmt: skip
# the identifiers among them: what most sources declare is known without loading the library (0.1 s)
_COMMON = {name.lower(): name for name in ALIASES.values() if not name.startswith("LicenseRef-")}
_REFERENCE = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


@cache
def _known() -> dict[str, str]:
    """SPDX identifiers by their lower-case form."""
    return {key.lower(): key for key in _licensing().known_symbols if not key.startswith("LicenseRef-")}


def check_license(text: str) -> str:
    """The SPDX expression that a licence text means; ConfigError E110 with the closest known ones otherwise."""
    name = " ".join(text.split())
    alias = ALIASES.get(name.lower())
    if alias is not None:
        return alias
    if _REFERENCE.fullmatch(name):
        return name
    exact = _COMMON.get(name.lower()) or _known().get(name.lower())
    if exact is not None:
        return exact
    parsed = _parsed(name)
    if parsed is None:
        raise ConfigError("E110", f"{text!r} is not a licence that SPDX or the hubs know{_nearest(name)}")
    return parsed


def _parsed(name: str) -> str | None:
    """A compound expression ("MIT OR Apache-2.0") in its normal form, or None."""
    from license_expression import ExpressionError

    try:
        tree = _licensing().parse(_with_aliases(name), validate=False)
        unknown = [key for key in _licensing().unknown_license_keys(tree) if not _REFERENCE.fullmatch(key)]
    except (ExpressionError, IndexError, AssertionError):  # the latter two are how the parser meets misplaced brackets
        return None
    if tree is None or unknown:
        return None
    return str(tree)


def _with_aliases(name: str) -> str:
    """Single words of an expression replaced by what their alias means."""
    words = re.split(r"([\s()]+)", name)
    return "".join(word if word.upper() in ("AND", "OR", "WITH") else ALIASES.get(word.lower(), word) for word in words)


def _nearest(name: str) -> str:
    choices = {**_known(), **ALIASES}
    close = difflib.get_close_matches(name.lower(), sorted(choices), n=3, cutoff=0.7)
    names = list(dict.fromkeys(choices[key] for key in close))
    return f"; did you mean {' or '.join(names)}?" if names else ""
