"""docs/formats.md: every format has its section, and every example becomes what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.schema.bronze import conform

from ingot.schema.formats import FORMATS
from ingot.schema.mapping import FieldMap
from ingot.schema.records import own_columns

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
Json = dict[str, Any]
REGIME_OF = {name: regime for regime, names in FORMATS.items() for name in names}


def bare(value: Any) -> Any:
    """Without nulls."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if item is not None}
    return [bare(item) for item in value] if isinstance(value, list) else value


def examples() -> Iterator[tuple[Any, str, str]]:
    """(format, its regime, lines of the example): sections named by a format, and field maps with their rows."""
    for name, body in re.findall(r"^### (\w+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL):
        for block in re.findall(r"```jsonl\n(.*?)```", body, re.DOTALL):
            yield name, REGIME_OF[name], block
    for text, block in re.findall(r"```yaml\n(format:.*?)```\n\n```jsonl\n(.*?)```", PAGE, re.DOTALL):
        fields = YAML(typ="safe", pure=True).load(text)["format"]
        model = FieldMap.model_validate(fields)
        yield fields, next(regime for regime in ("preference", "rlvr", "sft") if model.missing(regime) is None), block


@pytest.mark.parametrize(("spec", "regime", "block"), list(examples()))
def test_examples_become_what_the_page_says(spec: Any, regime: str, block: str) -> None:
    rows = [line for line in block.splitlines() if not line.startswith("→ ")]
    expected = [json.loads(line.removeprefix("→ ")) for line in block.splitlines() if line.startswith("→ ")]
    outcome = conform(rows, spec, regime)
    found = [{name: row[name] for name in ("source_id", *own_columns(regime))} for row in outcome.kept.to_pylist()]
    assert bare(found) == expected
    assert outcome.rejects.num_rows == 0


def test_every_format_has_a_section_with_an_example() -> None:
    shown = [spec for spec, _, _ in examples() if isinstance(spec, str)]
    assert sorted(shown) == sorted(REGIME_OF)
    assert sum(isinstance(spec, dict) for spec, _, _ in examples()) >= 4


def test_every_key_of_a_field_map_is_named() -> None:
    below = PAGE.partition("## Field maps")[2]
    missing = [name for name in FieldMap.model_fields if not re.search(rf"\b{name}\b", below)]
    assert not missing
