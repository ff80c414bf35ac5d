"""The one seam through which files are reached: a local folder and an object store behave alike.

Paths are relative POSIX strings ("silver/clean/parts/ab.parquet"). Every write is atomic: a reader sees the old
content, the new content or nothing, never a part. All failures are StoreErrors with a code of E3xx.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from ingot.errors import StoreError
from ingot.store.local import LocalStore

Paths = list[str]
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
REMOTE = ("s3", "s3a", "gs", "az", "abfs", "abfss", "adl")


class Store(Protocol):
    """What the lake needs of a place that keeps bytes."""

    @property
    def url(self) -> str:
        """What `open_store` takes to reach this place from another process."""
        ...

    def read(self, path: str) -> bytes:
        """The whole content; E304 when there is none."""
        ...

    def open(self, path: str) -> pa.NativeFile | BinaryIO:
        """A seekable reader, for formats that read ranges."""
        ...

    def local(self, path: str) -> Path:
        """A real local file with this content, to be mapped into memory and never written to."""
        ...

    def size(self, path: str) -> int:
        """Bytes; E304 when there is none."""
        ...

    def exists(self, path: str) -> bool: ...

    def list(self, prefix: str = "") -> Paths:
        """All paths below the folder `prefix`, recursively, sorted; empty when there is no such folder."""
        ...

    def write(self, path: str, data: bytes | memoryview) -> None:
        """Replace the content, atomically and durably."""
        ...

    def writing(self, path: str) -> AbstractContextManager[Path]:
        """Like `write`, for what a library writes into a local file; it counts when the block ends without error."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Write if absent; False when something is there. Of any number of racing callers one gets True."""
        ...

    def swap(self, path: str, old: bytes | None, new: bytes) -> bool:
        """Replace the content only if it is `old` (None: absent) at that instant; False when it is not."""
        ...

    def delete(self, path: str) -> None:
        """Remove; nothing happens when it is already gone."""
        ...

    def clean(self) -> int:
        """Remove what killed writers left behind; returns how many files."""
        ...


def open_store(url: str) -> Store:
    """The store at a local path, file:// URL, or s3://, gs:// or az:// URL."""
    if not _SCHEME.match(url):
        if not url:
            raise StoreError("E307", "the lake's location is empty", next="give a folder or an s3:// URL")
        return LocalStore(Path(url).expanduser())
    scheme = url.partition("://")[0].lower()
    if scheme == "file":
        split = urlsplit(url)
        if split.netloc not in ("", "localhost"):
            raise StoreError("E307", f"{url!r} names another host", next="write file:///absolute/path")
        return LocalStore(Path(unquote(split.path)))
    if scheme not in REMOTE:
        raise StoreError("E307", f"no store for {scheme}:// in {url!r}", next="use a folder, s3://, gs:// or az://")
    if not urlsplit(url).netloc:
        raise StoreError("E307", f"{url!r} names no bucket", next=f"write {scheme}://bucket/prefix")
    from ingot.store.objects import ObjectStore  # a remote lake alone pays for the client

    return ObjectStore(url)
