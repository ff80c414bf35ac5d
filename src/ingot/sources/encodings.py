"""Text encodings: Unicode marks, and the guess between UTF-8, Shift-JIS, Windows-1252 and Mac Roman.

UTF-8 is proven by decoding, or by more whole multi-byte characters than bytes that fit nowhere: then the file is UTF-8
with
a few damaged rows. Of the others, Shift-JIS is taken when the bytes decode strictly and are mostly kana and
kanji; Windows-1252 and Mac Roman differ in what each high byte means, so the one whose letters and punctuation stand
where such characters stand wins ("don’t", not "donÕt"). Every guess is recorded in the batch and can be overruled.
"""

from __future__ import annotations

import codecs
import re

from ingot.errors import SourceError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
LENIENT = "ingot.bytes"  # error handler for `decode`
_QUOTES = "‘’“”–—…•«»"
_CHARACTER = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)  # of UTF-8, above ASCII
_CUT_OFF = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}$")
_HIGH = bytes(range(0x80, 0x100))


def _lone(error: UnicodeError) -> tuple[str, int]:
    """Undecodable bytes become lone surrogates, which the parser rejects row by row."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(LENIENT, _lone)


def unicode_mark(head: bytes) -> tuple[int, str | None]:
    """Length and encoding of a byte order mark; (0, None) without one."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return len(mark), name
    return 0, None


def known_encoding(name: str) -> str:
    """The codec's own name of an encoding that was declared; E207 when Python has none."""
    try:
        found = codecs.lookup(name).name
        b" ".decode(found, "replace")  # refuses codecs between bytes, such as base64
    except LookupError:
        raise SourceError(
            "E207", f"unknown encoding {name!r}", next="use a name like utf-8, cp1252 or shift_jis"
        ) from None
    return found


def decodes(data: bytes, encoding: str, *, whole: bool) -> bool:
    """The bytes are valid; unless `whole`, they may end in the middle of a character."""
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(data, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def detect_encoding(data: bytes, *, whole: bool = False) -> str:
    """utf-8, cp932, cp1252 or mac_roman; "unknown" for bytes that are no text."""
    if decodes(data, "utf-8", whole=whole) or _is_damaged_utf8(data, whole):
        return "utf-8"
    if sum(byte < 32 and byte not in (9, 10, 12, 13) for byte in data[:65536]) > len(data[:65536]) // 100:
        return "unknown"
    if _is_japanese(data, whole):
        return "cp932"
    scores = {name: _plausible(data, name) for name in ("cp1252", "mac_roman")}
    return "mac_roman" if scores["mac_roman"] > scores["cp1252"] else "cp1252"


def _is_damaged_utf8(data: bytes, whole: bool) -> bool:
    """More characters of UTF-8 than bytes outside of any."""
    rest, characters = _CHARACTER.subn(b"", data if whole else _CUT_OFF.sub(b"", data))
    return characters > len(rest) - len(rest.translate(None, _HIGH))


def _is_japanese(data: bytes, whole: bool) -> bool:
    if not decodes(data, "cp932", whole=whole):
        return False
    text = codecs.getincrementaldecoder("cp932")("strict").decode(data)
    high = [c for c in text if c > "\x7f"]
    wide = [c for c in high if "\u3000" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff" or "\uff01" <= c <= "\uff5e"]
    return bool(high) and len(wide) >= 0.8 * len(high)


def _plausible(data: bytes, encoding: str) -> int:
    """How often a non-ASCII character stands where such a character stands in prose."""
    text = data.decode(encoding, "replace")
    score = 0
    for i, char in enumerate(text):
        if char <= "\x7f":
            continue
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        if char == "\ufffd" or "\x80" <= char <= "\x9f":
            score -= 5
        elif char in _QUOTES:
            score += 2
        elif char.isalpha() and char.islower():
            score += 1 if before.isalpha() or after.isalpha() else -1
        elif char.isalpha():
            score += -2 if before.islower() else 1 if after.isalpha() else 0
    return score
