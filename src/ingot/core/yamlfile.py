"""Strict YAML 1.2 with positions: every error names file:line:column and what was probably meant.

Refused: duplicate keys, anchors and aliases (a self-reference never ends), tags, dates that YAML would invent and
non-string keys. What stays is plain dict, list, str, int, float, bool and None, beside a map from the path of a value,
for example ("silver", 2, "length", "min"), to its (line, column), both from 1.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from ingot.errors import ConfigError, IngotError

if TYPE_CHECKING:
    from pathlib import Path as FilePath

    from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound="BaseModel")


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration: its plain data, the place of each value, and the file's name for messages."""

    data: Any
    places: dict[Path, tuple[int, int]]
    name: str

    def where(self, path: Path) -> str:
        """file:line:column of a value, or of the nearest enclosing one that is known."""
        for length in range(len(path), -1, -1):
            if (place := self.places.get(path[:length])) is not None:
                return f"{self.name}:{place[0]}:{place[1]}"
        return self.name

    def check(self, model: type[Model], path: Path = (), value: Any = None) -> Model:
        """Validate the value at `path` (or the given one) with a pydantic model; ConfigError with its place."""
        from pydantic import ValidationError

        try:
            return model.model_validate(self.data if value is None and not path else value)
        except ValidationError as error:
            raise self.explain(error, path, model) from None

    def _at(self, path: Path, loc: tuple[str | int, ...], *, whole: bool) -> Path:
        """Path of a pydantic location, which also holds tags of unions; `whole`: its last part is a key in any case."""
        at = path
        for i, part in enumerate(loc):
            last = whole and i == len(loc) - 1
            if last or ((*at, part) in self.places if self.places else _is_key(part)):
                at = (*at, part)
        return at

    def explain(self, error: ValidationError, path: Path, model: type[BaseModel]) -> ConfigError:
        """The most telling problem that pydantic found, as one of ours: a misspelt key before the one it leaves
        missing.
        """
        first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        at = self._at(path, first["loc"], whole=first["type"] in ("extra_forbidden", "missing"))
        dotted = ".".join(map(str, at))
        shown = repr(first.get("input"))[:80]
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, first["loc"][:-1])
            close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            keys = f"known keys here: {', '.join(known)}" if known else "ingot explain E102"
            return ConfigError("E102", f"unknown key {dotted!r}{hint}", where=self.where(at), next=keys)
        if first["type"] == "missing":
            return ConfigError("E104", f"{dotted!r} is missing", where=self.where(at[:-1]), next=f"add {dotted}: ...")
        cause = getattr(first.get("ctx", {}).get("error"), "__cause__", None)
        if isinstance(cause, IngotError):  # a check of ours inside a validator: its own code
            return ConfigError(cause.code, f"{dotted}: {cause.message}", where=self.where(at), next=cause.next)
        message = first["msg"].removeprefix("Value error, ")
        return ConfigError("E105", f"{dotted}: {shown}: {message}", where=self.where(at))


def _is_key(part: str | int) -> bool:
    """Without places: pydantic puts the tags of unions into a location, which look unlike keys."""
    return isinstance(part, int) or (not part.endswith("]") and not part[:1].isupper() and "-" not in part)


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the model, or the one inside it that a location leads to, has."""
    models = [model]
    for part in loc:
        fields = [field for one in models for name, field in one.model_fields.items() if part in (name, field.alias)]
        if fields:
            models = [inner for field in fields for inner in _models(field.annotation)]
        else:  # a union's tag, or an index
            models = [one for one in models if one.__name__.lower().endswith(str(part))] or models
    return list(dict.fromkeys(field.alias or name for one in models for name, field in one.model_fields.items()))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in a type, unions and containers unfolded."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def read_yaml(path: FilePath) -> Document:
    """Parse a file; ConfigError E100 (unreadable) or E101 (not the YAML we accept)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError("E100", f"cannot read {str(path)!r}: {reason}", next="ingot init") from None
    return parse_yaml(text, path.name)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text; see the module for what is refused."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    loader = YAML(typ="rt", pure=True)
    loader.version = (1, 2)
    try:
        _refuse_anchors(text, name)
        node = loader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = (error.problem or str(error)).split("\n")[0]
        raise ConfigError("E101", f"not valid YAML: {problem}", where=place) from None
    except YAMLError as error:
        raise ConfigError("E101", f"not valid YAML: {str(error).splitlines()[0]}", where=name) from None
    places: dict[Path, tuple[int, int]] = {(): (1, 1)}
    return Document(_plain(node, (), places, name), places, name)


def _refuse_anchors(text: str, name: str) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.tokens import AliasToken, AnchorToken, TagToken

    for token in YAML(typ="rt", pure=True).scan(text):
        if isinstance(token, (AliasToken, AnchorToken, TagToken)):
            mark, kind = token.start_mark, type(token).__name__.removesuffix("Token").lower()
            raise ConfigError(
                "E101",
                f"YAML {kind} {token.value!r} is not accepted",
                where=f"{name}:{mark.line + 1}:{mark.column + 1}",
                next="write the value out; for anything dynamic use the Python interface",
            )


def _plain(node: Any, path: Path, places: dict[Path, tuple[int, int]], name: str) -> Any:
    """Copy ruamel's round-trip objects into plain ones and note their places."""
    if isinstance(node, dict):
        out: dict[str, Any] = {}
        for key, value in node.items():
            line, column = node.lc.key(key)  # type: ignore[attr-defined]
            if not isinstance(key, str):
                where = f"{name}:{line + 1}:{column + 1}"
                raise ConfigError("E101", f"key {key!r} is not text", where=where, next=f'quote it: "{key}"')
            places[(*path, key)] = (line + 1, column + 1)
            out[str(key)] = _plain(value, (*path, str(key)), places, name)
        return out
    if isinstance(node, list):
        items = []
        for i, value in enumerate(node):
            line, column = node.lc.item(i)  # type: ignore[attr-defined]
            places[(*path, i)] = (line + 1, column + 1)
            items.append(_plain(value, (*path, i), places, name))
        return items
    if node is None or isinstance(node, bool):
        return node
    for kind in (str, int, float):
        if isinstance(node, kind):
            return kind(node)
    line, column = places.get(path, (1, 1))
    raise ConfigError(
        "E101",
        f"value {str(node)!r} would become a {type(node).__name__}",
        where=f"{name}:{line}:{column}",
        next=f'quote it: "{node}"',
    )
