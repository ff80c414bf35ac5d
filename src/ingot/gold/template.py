"""Chat templates: the built-in ChatML, the tokenizer's own, or a .jinja file, run as Hugging Face runs them.

`resolve_template` turns the name in ingot.yaml into a `TemplateSource` that is pinned by its text. `ChatTemplate` compiles
one in jinja2's immutable sandbox with trim_blocks, lstrip_blocks, loop controls, `tojson` without ASCII escapes,
`raise_exception` and `{% generation %}`. What would make a rendering depend on anything but its row is absent: the clock
`strftime_now` (a template that cannot do without it is refused, E608), the `random` filter and `lipsum`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ingot.errors import GoldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.parser import Parser

    from ingot.gold.tokenizer import Tokenizer, TokenizerFiles

CHATML = "chatml"
GENERATION_OPEN, GENERATION_CLOSE = "\U0010fff0", "\U0010fff1"
Message = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSource:
    """name: what the user wrote; source: Jinja text, None for the built-in ChatML."""

    name: str
    source: str | None = None


class TemplateRefusalError(Exception):
    """A template refused one row: its message is the row's evidence."""


def resolve_template(name: str, base_dir: str | Path, files: TokenizerFiles) -> TemplateSource:
    """The template named in ingot.yaml: `chatml`, `tokenizer` (the tokenizer's own) or a path to Jinja text."""
    if name == CHATML:
        return TemplateSource(name=name)
    if name == "tokenizer":
        return TemplateSource(name=name, source=_own_template(files))
    path = Path(base_dir) / name
    try:
        return TemplateSource(name=name, source=path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise GoldError("E605", f"cannot read the chat template {name!r}: {reason}", where="gold.template",
                        next="write template: chatml, template: tokenizer, or the path of a .jinja file") from error


def _own_template(files: TokenizerFiles) -> str:
    if files.chat_template:
        return files.chat_template.decode("utf-8", "replace")
    config = json.loads(files.config) if files.config else {}
    own = config.get("chat_template")
    if isinstance(own, list):  # several named templates: the default one, as Hugging Face chooses it
        own = next((entry.get("template") for entry in own if entry.get("name") == "default"), None)
    if not isinstance(own, str):
        raise GoldError("E606", "the tokenizer has no chat template of its own", where="gold.template",
                        next="write template: chatml, or give the path of a .jinja file")
    return own


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}`: marks what the model writes when `generation_marks` is set."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_mark", [nodes.Name("generation_marks", "load")])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _mark(self, marks: object, caller: Callable[[], str]) -> str:
        return f"{GENERATION_OPEN}{caller()}{GENERATION_CLOSE}" if marks is True else caller()


def _tojson(value: object, ensure_ascii: bool = False, indent: int | None = None,
            separators: tuple[str, str] | None = None, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: object) -> NoReturn:
    raise jinja2.TemplateError(str(message))


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    env.filters["tojson"] = _tojson
    env.globals["raise_exception"] = _raise
    env.filters.pop("random")
    env.globals.pop("lipsum")
    return env


class ChatTemplate:
    """A compiled Jinja chat template together with the tokenizer's BOS and EOS."""

    def __init__(self, source: TemplateSource, tokenizer: Tokenizer) -> None:
        self.source, self.tokenizer = source, tokenizer
        try:
            self._template = _environment().from_string(source.source or "")
        except jinja2.TemplateSyntaxError as error:
            raise GoldError("E607", f"the chat template {source.name!r} is not valid Jinja: {error.message}",
                            where=f"{source.name}:{error.lineno}", next="correct that line of the template") from error
        self._globals = {"bos_token": tokenizer.bos or tokenizer.added_bos, "eos_token": tokenizer.eos or ""}

    def render(self, messages: list[Message], tools: list[Any] | None, *, generate: bool = False,
               marks: bool = False) -> str:
        """The text of a conversation; TemplateRefusalError when the template refuses it."""
        try:
            return self._template.render(messages=messages, tools=tools, documents=None, add_generation_prompt=generate,
                                         generation_marks=marks, **self._globals)
        except jinja2.UndefinedError as error:
            if "strftime_now" in str(error):
                raise GoldError("E608", f"the chat template {self.source.name!r} asks for today's date (strftime_now)",
                                where="gold.template",
                                next="write a fixed date into a copy of the template and name that file") from error
            raise TemplateRefusalError(f"undefined: {error}") from error
        except jinja2.TemplateError as error:
            raise TemplateRefusalError(str(error) or type(error).__name__) from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError,
                OverflowError) as error:
            raise TemplateRefusalError(f"{type(error).__name__}: {error}") from error

    @cached_property
    def marks_generation(self) -> bool:
        """Does the template say itself, with {% generation %}, what the model writes?"""
        return re.search(r"{%-?\s*generation\b", self.source.source or "") is not None

    @cached_property
    def header(self) -> str:
        """What opens an assistant turn: the text that add_generation_prompt adds ("" when it adds nothing)."""
        ask = [{"role": "user", "content": "A"}]
        try:
            without, whole = self.render(ask, None), self.render(ask, None, generate=True)
        except TemplateRefusalError:
            return ""
        return whole[len(without):] if whole.startswith(without) else ""

    @cached_property
    def terminators(self) -> tuple[str, ...]:
        """What can end an assistant turn: the control token (or EOS text) after a plain turn and after a tool call."""
        ask = {"role": "user", "content": "A"}
        call = {"type": "function", "id": "callmarkr", "function": {"name": "callmarkr", "arguments": {}}}
        found: list[str] = []
        for answer in ({"role": "assistant", "content": "textmarkr"},
                       {"role": "assistant", "content": None, "tool_calls": [call]}):
            try:
                text = self.render([ask, answer], None)
            except TemplateRefusalError:
                continue
            _, _, after = text.rpartition("textmarkr" if answer["content"] else "callmarkr")
            found += self._terminator(after, plain=bool(answer["content"]))
        return tuple(dict.fromkeys(found))

    def _terminator(self, after: str, *, plain: bool) -> list[str]:
        """Of the text after the last turn's content: the first control token if it follows directly, else the last."""
        names = [*self.tokenizer.specials, *([self.tokenizer.eos] if self.tokenizer.eos else [])]
        if not names:
            return []
        either = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
        if plain:
            match = re.match(rf"\s*({either})", after)
            return [match[1]] if match else []
        match = re.search(rf"({either})\s*$", after)
        return [match[1]] if match else []
