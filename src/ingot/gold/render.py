"""Any Jinja chat template, rendered row by row, with the class of every byte known and nothing guessed.

Each field of a conversation (content, reasoning, names and texts inside tool calls) is rendered between a pair of
private-use characters of its own. The marked rendering without its marks must be the unmarked rendering, byte for byte;
then the pairs say where each field went, whatever the template did around it. Marks go around a field's outer white
space, or inside it where the template trims. What lies between the fields of an assistant turn belongs to its thinking
or its tool calls; the turn starts after the text that add_generation_prompt adds, or where {% generation %} says, and
ends with the control token (or EOS text) that follows. A row for which this cannot be proven is rejected.

Cost: two renderings per row; 2,700 rows (1.8 MB) per CPU second, a three-turn GSM8K chat under ChatML in Jinja.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingot.gold.segments import char_bytes
from ingot.gold.template import (
    GENERATION_CLOSE,
    GENERATION_OPEN,
    ChatTemplate,
    Documents,
    Message,
    Problem,
    Rendering,
    TemplateRefusalError,
    as_message,
    bare_text,
    map_texts,
    parse_json,
)
from ingot.gold.tokenizer import RESERVED
from ingot.kernels.segments import (
    ASSISTANT,
    END_OF_TURN,
    OWNED,
    SYSTEM,
    TEMPLATE,
    THINKING,
    TOOL_CALL,
    TOOL_OUTPUT,
    USER,
)

_OPEN, _CLOSE, _MOST_FIELDS = 0xF0000, 0x100000, 0xF000  # private-use planes: a mark's code is the number of its field
_ROLES = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": TOOL_OUTPUT}
_INLINE_THINKING = re.compile(r"(\s*<think>|)((?:(?!<think>).)*?)(</think>)(.*\S.*)", re.DOTALL)
_BEFORE_THINKING = re.compile(r"\s*<think>\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A text of the row: which message, its class, its outer white space."""

    message: int
    kind: int
    what: str
    text: str
    lead: str
    trail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Characters start to end of the rendering have a class; `owned` when the template wrote them."""

    start: int
    end: int
    kind: int
    owned: bool = False
    field: int = -1


class _RefusedError(Exception):
    """The row cannot be rendered with certainty: reason and evidence."""

    def __init__(self, reason: str, **evidence: Any) -> None:
        super().__init__(reason)
        self.problem: Problem = (reason, evidence)


@dataclass(slots=True, kw_only=True)
class _Marker:
    """Writes marks around texts.

    outside: the edges (field number, side) whose mark stands outside the white space, None for all; inline: thinking
    inside an assistant's content is a text of its own, for templates that take it apart.
    """

    outside: frozenset[tuple[int, int]] | None = None
    inline: bool = False
    fields: list[_Field] = field(default_factory=list)

    def wrap(self, text: str, message: int, kind: int, what: str) -> str:
        core = text.strip()
        if not core:
            return text
        number = len(self.fields)
        lead = text[: len(text) - len(text.lstrip())]
        trail = text[len(lead) + len(core) :]
        self.fields.append(_Field(message=message, kind=kind, what=what, text=text, lead=lead, trail=trail))
        start, end = chr(_OPEN + number), chr(_CLOSE + number)
        before = start + lead if self.outside is None or (number, 0) in self.outside else lead + start
        after = trail + end if self.outside is None or (number, 1) in self.outside else end + trail
        return before + core + after

    def messages(self, messages: list[Message]) -> list[Message]:
        """A marked copy of a conversation."""
        self.fields.clear()
        return [self._message(i, message) for i, message in enumerate(messages)]

    def _message(self, i: int, message: Message) -> Message:
        out = dict(message)
        if message.get("reasoning_content"):
            out["reasoning_content"] = self.wrap(message["reasoning_content"], i, THINKING, "reasoning")
        if message.get("content"):
            out["content"] = self._content(i, message)
        if message.get("tool_calls"):
            out["tool_calls"] = [self._call(i, call) for call in message["tool_calls"]]
        return out

    def _content(self, i: int, message: Message) -> str:
        kind = _ROLES.get(message["role"], TEMPLATE)
        content: str = message["content"]
        thought = _INLINE_THINKING.fullmatch(content) if self.inline and kind == ASSISTANT else None
        if thought is None:
            return self.wrap(content, i, kind, "content")
        return "".join(
            [
                thought[1],
                self.wrap(thought[2], i, THINKING, "reasoning"),
                thought[3],
                self.wrap(thought[4], i, kind, "content"),
            ]
        )

    def _call(self, i: int, call: Message) -> Message:
        function = call["function"]
        mark: Callable[[str, str], str] = lambda text, what: self.wrap(text, i, TOOL_CALL, what)  # noqa: E731
        name = mark(function["name"], "tool_call.name")
        return call | {"function": {"name": name, "arguments": map_texts(function["arguments"], mark)}}


def _unmark(text: str) -> tuple[str, list[tuple[int, int, int]], list[tuple[int, int]]]:
    """The text without marks, the spans (start, end, field) and those of {% generation %}, in order."""
    spans: list[tuple[int, int, int]] = []
    generated: list[tuple[int, int]] = []
    pieces: list[str] = []
    last = at = 0
    open_field, open_at, generation_at = -1, 0, -1
    for match in RESERVED.finditer(text):
        pieces.append(text[last : match.start()])
        at += match.start() - last
        last = match.end()
        mark, code = match[0], ord(match[0])
        if mark == GENERATION_OPEN:
            generation_at = at
        elif mark == GENERATION_CLOSE:
            generated.append((generation_at, at))
        elif code < _CLOSE and open_field < 0:
            open_field, open_at = code - _OPEN, at
        elif code - _CLOSE == open_field:
            spans.append((open_at, at, open_field))
            open_field = -1
        else:
            raise _RefusedError(
                "ambiguous_spans", message="the template cuts a field in two", near=text[max(0, last - 80) : last]
            )
    if open_field >= 0:
        raise _RefusedError("ambiguous_spans", message="the template cuts a field's end", near=text[-80:])
    return "".join([*pieces, text[last:]]), spans, generated


class JinjaRenderer:
    """Renders documents over a table's messages with one template."""

    def __init__(self, messages: pa.StructArray, tools: pa.StringArray, template: ChatTemplate) -> None:
        self._messages, self._tools, self._template = messages, tools, template
        specials = sorted(template.tokenizer.specials, key=lambda name: (-len(name), name))
        self._control = re.compile("|".join(re.escape(name) for name in specials)) if specials else None

    def render(self, docs: Documents) -> Rendering:
        """Text and classes of documents; those that cannot be rendered with certainty are empty and have a problem."""
        turns = self._messages.take(pa.array(docs.order)).to_pylist()
        texts: list[bytes] = []
        classes: list[NDArray[np.uint8]] = []
        boundary = np.full(len(docs), -1, np.int64)
        problems: dict[int, Problem] = {}
        notes: Counter[str] = Counter()
        for d in range(len(docs)):
            try:
                messages = [as_message(turn) for turn in turns[docs.at[d] : docs.at[d + 1]]]
                row = int(docs.tool_row[d])
                tools = parse_json(self._tools[row].as_py(), None) if row >= 0 else None
                text, spans = self._document(messages, tools, bool(docs.generate[d]), notes)
                if docs.respond[d] >= 0 or docs.generate[d]:
                    prompt = messages if docs.generate[d] else messages[: int(docs.respond[d])]
                    boundary[d] = self._boundary(text, prompt, tools)
                texts.append(text.encode())
                classes.append(_paint(text, spans))
            except _RefusedError as refused:
                problems[d] = refused.problem
                texts.append(b"")
                classes.append(np.empty(0, np.uint8))
            except TemplateRefusalError as failure:
                problems[d] = ("template_error", {"message": str(failure)[:500]})
                texts.append(b"")
                classes.append(np.empty(0, np.uint8))
        offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
        return Rendering(
            data=np.frombuffer(bytearray().join(texts), np.uint8),
            boundary=boundary,
            offsets=offsets,
            classes=np.concatenate([np.empty(0, np.uint8), *classes]),
            problems=problems,
            notes=dict(notes),
        )

    def _document(
        self, messages: list[Message], tools: list[Any] | None, generate: bool, notes: Counter[str]
    ) -> tuple[str, list[_Span]]:
        plain = self._template.render(messages, tools, generate=generate)
        if reserved := RESERVED.search(plain):
            raise _RefusedError("reserved_characters", character=ascii(reserved[0]))
        if self._control and (found := self._control.search(bare_text(messages, tools))):
            raise _RefusedError(
                "special_literal", token=found[0], message="in a tool's schema, an argument's key or an id"
            )
        fields, spans, generated = self._marked(plain, messages, tools, generate)
        self._complete(fields, spans, notes)
        return plain, self._turns(plain, fields, spans, generated, messages, notes)

    def _marked(
        self, plain: str, messages: list[Message], tools: list[Any] | None, generate: bool
    ) -> tuple[list[_Field], list[_Span], list[tuple[int, int]]]:
        """Where each field went: marks around white space first, then inside, then outwards edge by edge."""

        def attempt(outside: frozenset[tuple[int, int]] | None, inline: bool) -> tuple[list[_Field], Any] | None:
            marker = _Marker(outside=outside, inline=inline)
            marked = marker.messages(messages)
            if len(marker.fields) > _MOST_FIELDS:
                raise _RefusedError("ambiguous_spans", message=f"more than {_MOST_FIELDS} texts in one row")
            try:
                clean, *found = _unmark(self._template.render(marked, tools, generate=generate, marks=True))
            except _RefusedError as refused:
                cut.append(refused)
                return None
            except TemplateRefusalError:  # it takes the unmarked text: the marks made it refuse
                return None
            return (marker.fields, found) if clean == plain else None

        cut: list[_RefusedError] = []
        nowhere: frozenset[tuple[int, int]] = frozenset()
        inside_out = [(outside, inline) for inline in (False, True) for outside in (None, nowhere)]
        best, outside, inline = next(
            ((got, *how) for how in inside_out if (got := attempt(*how)) is not None), (None, None, False)
        )
        if best is None:
            raise (
                cut[0]
                if cut
                else _RefusedError("ambiguous_spans", message="the template renders marked text differently")
            )
        if outside is not None:
            edges = [(i, side) for i, f in enumerate(best[0]) for side, space in enumerate((f.lead, f.trail)) if space]
            for edge in edges:
                wider = attempt(outside | {edge}, inline)
                if wider is not None:
                    outside, best = outside | {edge}, wider
        fields, (spans, generated) = best
        return fields, [_Span(start=s, end=e, kind=fields[f].kind, field=f) for s, e, f in spans], generated

    @staticmethod
    def _complete(fields: list[_Field], spans: list[_Span], notes: Counter[str]) -> None:
        """Every field is there, once in an assistant turn; thinking may be left out, which is noted."""
        times = Counter(span.field for span in spans)
        dropped: set[int] = set()
        for i, f in enumerate(fields):
            if times[i] == 0 and f.kind == THINKING:
                dropped.add(f.message)
            elif times[i] == 0:
                raise _RefusedError("content_not_rendered", message=f.message, field=f.what, text=f.text[:200])
            elif times[i] > 1 and f.kind in (ASSISTANT, THINKING, TOOL_CALL):
                raise _RefusedError(
                    "ambiguous_spans", message=f"{f.what} of message {f.message} is rendered {times[i]} times"
                )
        if dropped:
            notes["thinking_dropped"] += len(dropped)

    def _turns(
        self,
        text: str,
        fields: list[_Field],
        spans: list[_Span],
        generated: list[tuple[int, int]],
        messages: list[Message],
        notes: Counter[str],
    ) -> list[_Span]:
        """All spans: the fields, and what the template wrote inside assistant turns."""
        out: list[_Span] = []
        i = 0
        while i < len(spans):
            message = fields[spans[i].field].message
            j = i
            while j + 1 < len(spans) and fields[spans[j + 1].field].message == message:
                j += 1
            turn = spans[i : j + 1]
            if messages[message]["role"] == "assistant":
                before = spans[i - 1].end if i else 0
                after = spans[j + 1].start if j + 1 < len(spans) else len(text)
                turn = self._turn(text, turn, before, after, generated, notes)
            out += turn
            i = j + 1
        return out

    def _turn(
        self,
        text: str,
        turn: list[_Span],
        before: int,
        after: int,
        generated: list[tuple[int, int]],
        notes: Counter[str],
    ) -> list[_Span]:
        """An assistant turn: fields, text between them, text before the first, and the terminator."""
        first, last = turn[0], turn[-1]
        lead_kind = TEMPLATE if first.kind == ASSISTANT else first.kind
        start, stop = self._after_header(text, before, first.start), None
        if self._template.marks_generation:
            own = [(s, e) for s, e in generated if s <= last.end and e >= first.start and e > s]
            if not own:
                notes["turns_outside_generation"] += 1
                return [replace(span, kind=TEMPLATE) for span in turn]
            turn = [
                span if any(s <= span.start and span.end <= e for s, e in own) else replace(span, kind=TEMPLATE)
                for span in turn
            ]
            start, stop = min(own[0][0], first.start), own[-1][1]
            lead_kind = first.kind
        out = [_Span(start=start, end=first.start, kind=lead_kind, owned=True)] if start is not None else []
        for a, b in pairwise(turn):
            kind = TOOL_CALL if TOOL_CALL in (a.kind, b.kind) else THINKING if THINKING in (a.kind, b.kind) else a.kind
            out += [a, _Span(start=a.end, end=b.start, kind=kind, owned=True)]
        return [*out, turn[-1], *self._ending(text, last, after, stop, notes)]

    def _after_header(self, text: str, before: int, first: int) -> int | None:
        """Where the turn's header ends, between the previous field and the turn's first; None if it is not there."""
        header = self._template.header
        for opening in dict.fromkeys((header, _BEFORE_THINKING.sub("", header))):
            at = text.rfind(opening, before, first) if opening else -1
            if at >= 0:
                return at + len(opening)
        return None

    def _ending(self, text: str, last: _Span, after: int, stop: int | None, notes: Counter[str]) -> list[_Span]:
        """The terminator after a turn's last field and, after a tool call, the text before it."""
        found = [
            (at, -len(end), end) for end in self._template.terminators if (at := text.find(end, last.end, after)) >= 0
        ]
        at, _, end = min(found, default=(-1, 0, ""))
        if at >= 0 and last.kind == TOOL_CALL:
            return [
                _Span(start=last.end, end=at, kind=TOOL_CALL, owned=True),
                _Span(start=at, end=at + len(end), kind=END_OF_TURN, owned=True),
            ]
        if at >= 0 and not text[last.end : at].strip():
            return [_Span(start=last.end, end=at + len(end), kind=END_OF_TURN, owned=True)]
        if stop is None and last.kind == TOOL_CALL:
            raise _RefusedError(
                "ambiguous_spans", message="nothing shows where the tool call ends", near=text[last.end : after][:80]
            )
        notes["turns_without_terminator"] += 1
        return [_Span(start=last.end, end=max(stop, last.end), kind=last.kind, owned=True)] if stop is not None else []

    def _boundary(self, text: str, prompt: list[Message], tools: list[Any] | None) -> int:
        """Bytes of the prompt's rendering with the generation header, which must be how the whole begins."""
        head = self._template.render(prompt, tools, generate=True)
        if not text.startswith(head):
            same = next((i for i, (a, b) in enumerate(zip(text, head, strict=False)) if a != b), len(text))
            raise _RefusedError("prompt_not_prefix", prompt=head[same : same + 80], whole=text[same : same + 80])
        return len(head.encode())


def _paint(text: str, spans: list[_Span]) -> NDArray[np.uint8]:
    """One class byte per byte of the text."""
    at = char_bytes(text)
    out = np.full(at[-1], TEMPLATE | OWNED, np.uint8)
    for span in spans:
        out[at[span.start] : at[span.end]] = span.kind | (OWNED if span.owned else 0)
    return out
