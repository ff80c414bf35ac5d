"""The job's rules in plain Python, as one writes them today for `datasets.map` or datatrove: what the peers call.

The rules are Ingot's, so that the same rows are kept and the same tokens come out; the code is what an engineer who
cares for speed would write: orjson, compiled patterns, a look whether a text needs work before doing it, one pass.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import orjson
import xxhash

ROLES = frozenset({"system", "user", "assistant", "tool"})
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
)
MAX_LENGTH = 4096
VALIDATION = 0.02

_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u180e\u200b\u2060\ufeff]|(?<![\U0001f300-\U0001faff\ufe0f])[\u200c\u200d]")
_NEWLINES = re.compile("\r\n?|\x85")
_LOOSE_END = re.compile(r"[^\S\n]+$|\A\s|\n\Z|[\x0b\x0c]", re.MULTILINE)
_FENCE = re.compile(r"[^\S\n]*(`{3,}(?=[^`]*$)|~{3,})")
_RUN = re.compile(r"(?<=\S)[^\S\n]+")
_BLANK_LINES = re.compile(r" ?\n(?:[^\S\n]*\n)*")


def normalize(text: str) -> str:
    """Line feeds, no control or zero-width characters, NFC, no white space at line ends outside code."""
    if not text.isascii() or not text.isprintable():
        text = _INVISIBLE.sub("", _NEWLINES.sub("\n", text))
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    return _trim(text) if _LOOSE_END.search(text) else text


def _trim(text: str) -> str:
    """White space off the ends of lines, blank lines off both ends; code keeps its own."""
    out: list[str] = []
    fence = ""
    for line in text.split("\n"):
        bare = line.rstrip()
        if fence:
            mark = bare.strip()
            if mark and not mark.strip(fence[0]) and len(mark) >= len(fence):
                fence = ""
                line = bare
        elif opened := _FENCE.match(bare):
            fence, line = opened[1], bare
        elif not bare or not (line.startswith(("    ", "\t")) or line.count("`") % 2):
            line = bare
        out.append(line)
    while out and not out[0]:
        out.pop(0)
    while out and not fence and not out[-1].strip():
        out.pop()
    if out and not fence and not out[-1].startswith(("    ", "\t")):
        out[-1] = out[-1].rstrip()
    return "\n".join(out)


def folded(text: str) -> str:
    """What counts for equality: no blank lines, runs of white space inside a line as one space."""
    return _BLANK_LINES.sub("\n", _RUN.sub(" ", text)).strip()


def parse(line: str) -> Any:
    """One line of JSON; None when it is none."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def conform(row: Any) -> dict[str, Any] | None:
    """A parsed row as a normalised conversation with its key and split; None when it is bad."""
    messages = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(messages, list) or not messages:
        return None
    turns = []
    for turn in messages:
        if turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
            return None
        content = normalize(turn["content"])
        if not content:
            return None
        turns.append({"role": turn["role"], "content": content})
    return {"id": row["id"], "messages": turns, "key": key_of(turns), "split": split_of(turns)}


def chatml(turns: list[dict[str, str]]) -> str:
    """A conversation as one text."""
    return "".join([f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns])


def key_of(turns: list[dict[str, str]]) -> bytes:
    """The identity of a conversation."""
    text = "\x00".join([f"{turn['role']}\x00{folded(turn['content'])}" for turn in turns])
    return bytes(xxhash.xxh3_128_digest(text.encode()))


def split_of(turns: list[dict[str, str]]) -> str:
    """Train or validation, by a hash of the user turns before the first answer, case and white space folded."""
    asked = []
    for turn in turns:
        if turn["role"] == "assistant":
            break
        if turn["role"] == "user":
            asked.append(" ".join(turn["content"].lower().split()))
    return "validation" if xxhash.xxh3_64_intdigest("\x00".join(asked).encode()) < VALIDATION * 2**64 else "train"
