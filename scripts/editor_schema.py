"""The JSON Schema of ingot.yaml for editors, from the pydantic models that read the file.

`scripts/docs.py` writes it to src/ingot/ingot.schema.json with the generated parts of docs/, or checks that it is current.
Draft 7, which every editor knows. It says what keys and types there are; what only the models can know (a licence's name,
a regime's formats, bounds that exclude each other) stays their business when the file is read.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError

Schema = dict[str, Any]
_REF = "#/definitions/{model}"


def editor_schema() -> Schema:
    """The whole schema."""
    from ingot.checks.conditions import GATES
    from ingot.core.plugins import STEPS, config_class
    from ingot.gold.node import GoldConfig
    from ingot.pipeline import File
    from ingot.sources.node import SourceConfig

    shared: Schema = {}
    top = _model(File, shared)
    names = top["properties"]
    names["sources"] |= {"additionalProperties": _model(SourceConfig, shared)}
    names["silver"] |= {"items": _entries({name: config_class(name) for name in sorted(STEPS.keys() - {"conform"})}, shared)}
    names["gates"] |= {"items": _entries(dict(GATES), shared)}
    gold = names["gold"].pop("anyOf")
    names["gold"] |= {"anyOf": [_model(GoldConfig, shared) if form["type"] == "object" else form for form in gold]}
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "ingot.yaml", **top}
    return whole | {"definitions": dict(sorted(shared.items()))}


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(editor_schema(), indent=1, ensure_ascii=False) + "\n"


def _model(model: type[BaseModel], shared: Schema) -> Schema:
    """The schema of a model; what it refers to goes to `shared`."""
    found: Schema = model.model_json_schema(ref_template=_REF)
    for name, part in found.pop("$defs", {}).items():
        if shared.setdefault(name, _plain(part)) != _plain(part):
            raise ValueError(f"two models are named {name}")
    made: Schema = _plain(found)
    return made


def _entries(models: dict[str, Any], shared: Schema) -> Schema:
    """An entry of a list of steps or gates: `- name`, `- name: value` or `- name: {option: value}`."""
    bare = [name for name, model in models.items() if _complete(model)]
    forms = {name: _forms(model, shared) for name, model in models.items()}
    one = {"type": "object", "properties": forms, "additionalProperties": False, "minProperties": 1, "maxProperties": 1}
    return {"anyOf": [{"enum": bare}, one] if bare else [one]}


def _forms(model: Any, shared: Schema) -> Schema:
    """What may stand after `- name:`."""
    options = _model(model, shared)
    forms = [options]
    if model.shorthand is not None:
        value = options["properties"][model.shorthand]
        forms.append({key: part for key, part in value.items() if key != "default"})
    if _complete(model):
        forms.append({"type": "null"})
    about = {"description": options.pop("description")} if "description" in options else {}
    return {**about, "anyOf": forms}


def _complete(model: Any) -> bool:
    """Does the entry mean something without any option?"""
    try:
        model.model_validate({})
    except ValidationError:
        return False
    return True


def _plain(schema: Any) -> Any:
    """Without the titles that pydantic makes of names, and without what JSON Schema does not know."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _plain(part) for key, part in schema.items() if key not in ("title", "discriminator", "properties")}
    if "properties" in schema:
        out["properties"] = {name: _plain(part) for name, part in schema["properties"].items()}
    return out
