"""Bytes of a source file as a stream: local or remote, decompressed, in UTF-8, with the sha256 of what was really read.

Guarantee: damage in a compressed stream never costs the bytes before it. When a decoder fails, the file is opened again
and read in small steps up to the damage, so the last readable byte arrives; `Stream.damage` then says what is wrong.
Concatenated gzip, zstd, bz2 and xz members are one stream, as their own tools read them.
Memory: one chunk of input and one of output.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import BinaryIO, Protocol

import pyarrow as pa

from ingot.errors import SourceError
from ingot.sources.encodings import LENIENT

CHUNK = 4 << 20
_INPUT = 256 << 10
_STEPS = (4096, 1)
MAGIC = ((b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\x00", "xz"))
_REMOTE = ("s3", "s3a", "gs", "az", "abfs", "abfss", "http", "https")


class DamagedError(Exception):
    """Internal: the decoder cannot go on."""


def scheme(file: str) -> str | None:
    """The URL scheme of a remote file, None for a local path."""
    head, mark, _ = file.partition("://")
    return head.lower() if mark and head.lower() in _REMOTE else None


def open_raw(file: str, uri: str) -> BinaryIO:
    """A seekable binary reader of the stored bytes."""
    if scheme(file):
        from ingot.sources.remote import open_url

        return open_url(file)
    try:
        return open(file, "rb", buffering=0)
    except OSError as error:
        raise unreadable(uri, error) from error


def unreadable(uri: str, error: OSError) -> SourceError:
    """The error of a file that exists but cannot be read."""
    return SourceError(
        "E202",
        f"cannot read {uri!r}: {error.strerror or error}",
        where=uri,
        next="check the file's permissions and path",
    )


def sniff_compression(head: bytes) -> str:
    """gzip, zstd, bz2, xz or plain, from the first bytes."""
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    if head[:3] == b"BZh" and head[3:4] in b"123456789" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bz2"
    if len(head) >= 8 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
        return "zstd"  # a skippable frame comes first
    return "plain"


class Meter:
    """Reads a raw file up to `size` bytes and hashes what passes; the digest starts at `start`."""

    __slots__ = ("_digest", "_file", "_left", "_uri", "taken")

    def __init__(self, file: BinaryIO, uri: str, start: int = 0, size: int | None = None) -> None:
        self._file, self._uri, self._digest, self.taken = file, uri, sha256(), 0
        self._left = None if size is None else size - start
        if start:
            file.seek(start)

    def read(self, n: int) -> bytes:
        if self._left is not None:
            n = min(n, self._left)
        try:
            data = bytes(self._file.read(n)) if n else b""
        except OSError as error:
            raise unreadable(self._uri, error) from error
        if self._left is not None:
            self._left -= len(data)
        self.taken += len(data)
        self._digest.update(data)
        return data

    def digest(self) -> str:
        """sha256 of what was read so far."""
        return self._digest.hexdigest()

    def drain(self) -> str:
        """Read what is left and return the sha256 of everything from `start`."""
        while self.read(CHUNK):
            pass
        return self._digest.hexdigest()

    def close(self) -> None:
        self._file.close()


class Reader(Protocol):
    """What a decoder reads from."""

    def read(self, n: int) -> bytes: ...


class _Inflate:
    """zlib's decompressor with the interface of bz2's and lzma's."""

    __slots__ = ("_inner", "_tail")

    def __init__(self) -> None:
        self._inner, self._tail = zlib.decompressobj(31), b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out = self._inner.decompress(self._tail + data if self._tail else data, max_length)
        self._tail = self._inner.unconsumed_tail
        return out

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._tail


_DECODERS: dict[str, Callable[[], _Inflate | bz2.BZ2Decompressor | lzma.LZMADecompressor]] = {
    "gzip": _Inflate,
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ),
}


class _Step:
    """The largest piece that a decoder hands out at once; may change between pieces."""

    __slots__ = ("bytes",)

    def __init__(self, size: int) -> None:
        self.bytes = size


def _members(source: Reader, kind: str, step: _Step) -> Iterator[bytes]:
    """Decompress concatenated gzip, bz2 or xz members."""
    decoder, data, fresh, first = _DECODERS[kind](), b"", True, True
    while True:
        if decoder.eof:
            data, decoder, fresh, first = decoder.unused_data, _DECODERS[kind](), True, False
        if fresh or decoder.needs_input:
            data = data or source.read(_INPUT)
            if fresh:
                data = data if first else data.lstrip(b"\0")  # padding between members, as tar and tapes leave it
                while not first and not data and (data := source.read(_INPUT)):
                    data = data.lstrip(b"\0")
            if not data:
                if fresh and not first:
                    return
                raise DamagedError(f"the {kind} stream ends in the middle of a member")
            fresh = False
        try:
            out = decoder.decompress(data, step.bytes)
        except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
            raise DamagedError(f"the {kind} stream is damaged ({error})") from error
        data = b""
        if out:
            yield out


def _zstd(source: Reader, step: _Step) -> Iterator[bytes]:
    """Decompress zstd frames; pyarrow's reader pulls 64 KiB at a time from a file object."""
    inner = pa.CompressedInputStream(pa.PythonFile(_FileLike(source), mode="r"), "zstd")
    while True:
        try:
            out = inner.read(step.bytes)
        except (OSError, pa.ArrowException) as error:
            raise DamagedError(f"the zstd stream is damaged ({error})") from error
        if not out:
            return
        yield out


class _FileLike:
    """The few methods that pyarrow asks of a readable file."""

    closed = False

    def __init__(self, source: Reader) -> None:
        self._source = source

    def read(self, n: int | None = None) -> bytes:
        return self._source.read(CHUNK if n is None or n < 0 else n)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        return None


def _plain(source: Reader, step: _Step) -> Iterator[bytes]:
    while data := source.read(step.bytes):
        yield data


def _decode(source: Reader, kind: str, step: _Step) -> Iterator[bytes]:
    if kind == "plain":
        return _plain(source, step)
    return _zstd(source, step) if kind == "zstd" else _members(source, kind, step)


class Stream:
    """Iterate once for the decompressed chunks; then `damage` (None or a sentence) and `drain()` for the sha256.

    file: path or URL; start, size: the byte range of the stored file; encoding: transcoded to UTF-8 unless it is
    "utf-8" or None (then bytes pass as they are); skip: decompressed bytes to leave out at the beginning (a BOM).
    """

    def __init__(
        self, file: str, uri: str, *, compression: str = "plain", encoding: str | None = None, start: int = 0,
        size: int | None = None, skip: int = 0, chunk: int = CHUNK,
    ) -> None:  # fmt: skip
        self._file, self._uri, self._compression, self._chunk = file, uri, compression, chunk
        self._range, self._skip = (start, size), skip
        self._encoding = None if encoding in (None, "utf-8") else encoding
        self._meter = Meter(open_raw(file, uri), uri, start, size)
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        blocks = self._skipped(self._salvaged())
        return blocks if self._encoding is None else self._transcoded(blocks, self._encoding)

    def _skipped(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        left = self._skip
        for block in blocks:
            if left:
                block, left = block[left:], max(0, left - len(block))
            if block:
                yield block

    def _salvaged(self) -> Iterator[bytes]:
        done = 0
        try:
            for block in _decode(self._meter, self._compression, _Step(self._chunk)):
                done += len(block)
                yield block
            return
        except DamagedError as error:
            self.damage = str(error)
        schedule = [(0, self._chunk)]
        for size in _STEPS:  # the failed call swallowed what it had decoded: approach the damage in small steps
            schedule.append((done, size))
            for block in self._again(schedule):
                done += len(block)
                yield block

    def _again(self, schedule: list[tuple[int, int]]) -> Iterator[bytes]:
        """Decode from the start with the given (from here, step) and hand out what lies behind the last switch."""
        meter = Meter(open_raw(self._file, self._uri), self._uri, *self._range)
        step, seen, stages = _Step(0), 0, iter([*schedule, (-1, 0)])
        switch, size = next(stages)
        try:
            blocks = _decode(meter, self._compression, step)
            while True:
                while seen == switch:
                    step.bytes, (switch, size) = size, next(stages)
                block = next(blocks, b"")
                if not block:
                    return
                if switch == -1:
                    yield block
                seen += len(block)
        except DamagedError:
            return
        finally:
            meter.close()

    def _transcoded(self, blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(encoding)(LENIENT)
        for block in blocks:
            if text := decoder.decode(block):
                yield text.encode("utf-8", "surrogatepass")
        if tail := decoder.decode(b"", final=True):
            yield tail.encode("utf-8", "surrogatepass")

    def drain(self) -> str:
        """Read the rest of the stored bytes, close, and return the sha256 of the range."""
        try:
            return self._meter.drain()
        finally:
            self._meter.close()

    def close(self) -> None:
        self._meter.close()
