"""Files behind URLs: s3://, gs://, az:// and http(s)://, through obstore.

Endpoint, region and credentials come from the usual environment variables (AWS_*, GOOGLE_*, AZURE_*). Listing works on
object stores; an http(s) URL names one file. Cost: one request to list 1,000 objects, one per MiB read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import RawIOBase
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from ingot.errors import SourceError

_READ_AHEAD = 1 << 20
_RETRY = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One remote file. version: the ETag, or the time of the last change where there is none."""

    url: str
    size: int
    version: str


@contextmanager
def _asking(url: str) -> Iterator[None]:
    """Turn the client's errors into SourceErrors that name the URL."""
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError("E201", f"{url!r} does not exist", where=url, next="check the URL") from error
    except (BaseError, OSError, ValueError) as error:
        text = str(error).partition("\n")[0].partition("<?xml")[0]
        raise SourceError(
            "E209", f"cannot use {url!r} ({text})", where=url,
            next="check the address, the network and the credentials (AWS_*, GOOGLE_*, AZURE_*)",
        ) from error  # fmt: skip


def _client(url: str) -> tuple[Any, str, str]:
    """(store of the bucket or server, its URL, path of the object)."""
    split = urlsplit(url)
    root, path = f"{split.scheme}://{split.netloc}", unquote(split.path).lstrip("/")
    options: dict[str, Any] = {"retry_config": _RETRY}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if split.scheme in ("s3", "s3a") and endpoint:
        options |= {"config": {"endpoint": endpoint}, "client_options": {"allow_http": endpoint.startswith("http://")}}
    if split.scheme == "http":
        options["client_options"] = {"allow_http": True}
    if split.scheme.startswith("http") and split.query:
        path += f"?{split.query}"
    return from_url(root, **options), root, path


def find(pattern: str) -> list[Found]:
    """The files that a URL, a folder URL or a URL with wildcards names, sorted."""
    with _asking(pattern):
        store, root, path = _client(pattern)
        if pattern.startswith("http") or not re.search(r"[*?\[]", path):
            if not path.endswith("/") and path:
                try:
                    return [_found(root, obstore.head(store, path))]
                except FileNotFoundError:
                    if pattern.startswith("http"):
                        raise
            prefix, wanted = path.rstrip("/") + "/" if path else "", None
        else:
            prefix, wanted = re.split(r"[*?\[]", path)[0].rpartition("/")[0], _regex(path)
        items = (item for batch in obstore.list(store, prefix or None, chunk_size=1000) for item in batch)
        found = [
            item for item in items if (wanted is None or wanted.fullmatch(item["path"])) and item["size"] is not None
        ]
        return sorted((_found(root, item) for item in found), key=lambda item: item.url)


def _found(root: str, item: Any) -> Found:
    version = item.get("e_tag") or str(item.get("last_modified") or "")
    return Found(url=f"{root}/{item['path']}", size=int(item["size"]), version=version)


def _regex(path: str) -> re.Pattern[str]:
    """A glob over object names: `*` and `?` stay within one folder, `**` does not."""
    out, i = "", 0
    while i < len(path):
        if path.startswith("**/", i):
            out, i = out + "(?:.*/)?", i + 3
        elif path.startswith("**", i):
            out, i = out + ".*", i + 2
        elif path[i] == "*":
            out, i = out + "[^/]*", i + 1
        elif path[i] == "?":
            out, i = out + "[^/]", i + 1
        elif path[i] == "[" and (end := path.find("]", i + 2)) > 0:
            body = path[i + 1 : end].replace("\\", "\\\\")
            out, i = out + "[" + ("^" + body[1:] if body.startswith("!") else body) + "]", end + 1
        else:
            out, i = out + re.escape(path[i]), i + 1
    return re.compile(out, re.DOTALL)


def open_url(url: str) -> BinaryIO:
    """A seekable reader."""
    with _asking(url):
        store, _, path = _client(url)
        return cast("BinaryIO", _Reader(obstore.open_reader(store, path, buffer_size=_READ_AHEAD), url))


class _Reader(RawIOBase):
    """obstore's reader as a Python raw file, so that pyarrow can read ranges of it."""

    def __init__(self, inner: Any, url: str) -> None:
        self._inner, self._url = inner, url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, n: int = -1) -> bytes:
        with _asking(self._url):
            return bytes(self._inner.read(n) if n >= 0 else self._inner.readall())

    def seek(self, offset: int, whence: int = 0) -> int:
        with _asking(self._url):
            return int(self._inner.seek(offset, whence))

    def tell(self) -> int:
        return int(self._inner.tell())
