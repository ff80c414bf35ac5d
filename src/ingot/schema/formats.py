"""The formats that Ingot knows by name, their options, and the converter of each for each regime.

`Format` is the type of `format:` in ingot.yaml: a name, a name with options, or a field map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from ingot.schema.convert import fieldmap, preference, rlvr, sft, trees
from ingot.schema.convert.batch import Batch, Converted
from ingot.schema.mapping import FieldMap, Path, split_path

FormatName = Literal[
    "auto", "openai", "sharegpt", "alpaca", "prompt_completion", "oasst", "self_instruct", "natural_instructions",
    "trl", "sharegpt_preference", "hh", "kto", "gsm8k", "math", "choice", "code_tests", "qa",
]  # fmt: skip


class Named(BaseModel):
    """A format by its name, with the options that it has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: FormatName = Field(description="auto: detected on a sample of each batch, and stated")
    id: str | None = Field(default=None, description="path of the row's own id; else id, _id, uid … are tried")
    join: str = Field(default="\n", description="between instruction and input")
    paths: Literal["all", "best"] = Field(default="all", description="oasst: every path, or the best-ranked one")
    outputs: Literal["first", "all"] = Field(
        default="first", description="natural_instructions: one record, or one per accepted output"
    )
    definition: Literal["system", "user"] = Field(
        default="system", description="natural_instructions: the definition is a system message or opens the user's"
    )
    verifier: str | None = Field(default=None, description="rlvr: a verifier's name for all rows")

    @model_validator(mode="after")
    def _has_option(self) -> Named:
        for option in sorted(self.model_fields_set - {"name"}):
            allowed = _OPTIONS[option]
            changed = getattr(self, option) != type(self).model_fields[option].default
            if changed and allowed is not None and self.name not in allowed:
                raise ValueError(f"{option} is an option of {', '.join(allowed)}, not of {self.name}")
        return self

    def __str__(self) -> str:
        return self.name


_RLVR = ("qa", "gsm8k", "math", "choice", "code_tests")
_OPTIONS: dict[str, tuple[str, ...] | None] = {
    "id": None, "join": ("alpaca", "self_instruct", "natural_instructions"), "paths": ("oasst",),
    "outputs": ("natural_instructions",), "definition": ("natural_instructions",), "verifier": _RLVR,
}  # fmt: skip


def _kind(value: Any) -> str:
    if isinstance(value, Named):
        return "named"
    return "named" if isinstance(value, dict) and "name" in value else "map"


def _expand(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Format = Annotated[
    Annotated[Named, Tag("named")] | Annotated[FieldMap, Tag("map")],
    Discriminator(_kind),
    BeforeValidator(_expand, json_schema_input_type=FormatName | Named | FieldMap),
]

_Converter = Callable[[Batch, Named, Path | None], Converted]


def _asked(spec: Named, path: Path | None, default: str) -> rlvr.Asked:
    return rlvr.Asked(id=path, verifier=spec.verifier, default=default)


CONVERTERS: dict[str, dict[str, _Converter]] = {
    "sft": {
        "openai": lambda batch, spec, path: sft.openai(batch, path),
        "sharegpt": lambda batch, spec, path: sft.sharegpt(batch, path),
        "alpaca": lambda batch, spec, path: sft.alpaca(batch, path, spec.join),
        "prompt_completion": lambda batch, spec, path: sft.prompt_completion(batch, path),
        "oasst": lambda batch, spec, path: trees.oasst(batch, path, spec.paths),
        "self_instruct": lambda batch, spec, path: trees.instances(batch, path, spec.join),
        "natural_instructions": lambda batch, spec, path: trees.natural_instructions(
            batch, path, spec.outputs, spec.definition, spec.join
        ),
    },
    "preference": {
        "trl": lambda batch, spec, path: preference.trl(batch, path),
        "sharegpt_preference": lambda batch, spec, path: preference.sharegpt_preference(batch, path),
        "hh": lambda batch, spec, path: preference.hh(batch, path),
        "kto": lambda batch, spec, path: preference.kto(batch, path),
    },
    "rlvr": {
        "gsm8k": lambda batch, spec, path: rlvr.gsm8k(batch, _asked(spec, path, "gsm8k")),
        "math": lambda batch, spec, path: rlvr.math(batch, _asked(spec, path, "math")),
        "choice": lambda batch, spec, path: rlvr.choice(batch, _asked(spec, path, "choice")),
        "code_tests": lambda batch, spec, path: rlvr.code_tests(batch, _asked(spec, path, "code_tests")),
        "qa": lambda batch, spec, path: rlvr.qa(batch, _asked(spec, path, "exact")),
    },
}
_MAPS: dict[str, Callable[[Batch, FieldMap], Converted]] = {
    "sft": fieldmap.sft, "preference": fieldmap.preference, "rlvr": fieldmap.rlvr,
}  # fmt: skip


def unfit(spec: Named | FieldMap, regime: str) -> str | None:
    """Why a format cannot make records of a regime, as a sentence; None if it can."""
    if isinstance(spec, FieldMap):
        return spec.missing(regime)
    if spec.name == "auto" or spec.name in CONVERTERS[regime]:
        return None
    return f"{spec.name} is not a format of {regime}; those are {', '.join(CONVERTERS[regime])}, or a field map"


def format_name(spec: Named | FieldMap) -> str:
    """What the `format` column says."""
    return spec.name if isinstance(spec, Named) else "map"


def convert(batch: Batch, spec: Named | FieldMap, regime: str) -> Converted:
    """Run the converter of a format (not "auto", and not one that is `unfit`)."""
    if isinstance(spec, FieldMap):
        return _MAPS[regime](batch, spec)
    path = None if spec.id is None else split_path(spec.id)
    return CONVERTERS[regime][spec.name](batch, spec, path)
