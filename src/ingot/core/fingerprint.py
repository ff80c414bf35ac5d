"""The key computed before work: sha256 over canonical JSON of everything that a result depends on, cut to 128 bits."""

from __future__ import annotations

from hashlib import sha256

from ingot.core.task import canonical_json


def fingerprint(value: object) -> str:
    """32 hex digits of a JSON value; equal values in any key order give equal fingerprints."""
    return sha256(canonical_json(value)).hexdigest()[:32]
