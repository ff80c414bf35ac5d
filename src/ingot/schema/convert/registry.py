"""The converter of each named format for each regime, and of field maps: from a batch of rows to a record's columns."""

from __future__ import annotations

from collections.abc import Callable

from ingot.schema.convert import fieldmap, preference, rlvr, sft, trees
from ingot.schema.convert.batch import Batch, Converted
from ingot.schema.formats import Named
from ingot.schema.mapping import FieldMap, Path, split_path

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


def convert(batch: Batch, spec: Named | FieldMap, regime: str) -> Converted:
    """Run the converter of a format (not "auto", and not one that is `unfit`)."""
    if isinstance(spec, FieldMap):
        return _MAPS[regime](batch, spec)
    path = None if spec.id is None else split_path(spec.id)
    return CONVERTERS[regime][spec.name](batch, spec, path)
