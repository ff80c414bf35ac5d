"""A store on S3, Google Cloud Storage or Azure, through obstore; commits are conditional puts.

Guarantee: a put is atomic by the service's own promise; `create` is If-None-Match, `swap` is a read followed by a put
under If-Match, so of racing writers one wins. Stores that ignore those headers are found by a probe (six requests, once
per process) before the first of them and refused (E308): on such a store concurrent runs would lose each other's work.
Endpoint, region and credentials come from the usual environment variables (AWS_*, GOOGLE_*, AZURE_*).
Cost: `local` asks for size and ETag (one request) and fetches once per content into the user's cache folder
($INGOT_CACHE_DIR, else ~/.cache/ingot), which is always safe to delete.
"""

from __future__ import annotations

import io
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, PreconditionError
from obstore.exceptions import UnauthenticatedError as NoCredentialsError
from obstore.store import from_url

from ingot.errors import StoreError
from ingot.store.local import TMP, LocalStore, check_path, translated

if TYPE_CHECKING:
    from obstore import ObjectMeta

Paths = list[str]
CONFLICTS = (AlreadyExistsError, PreconditionError)  # 409 and 412
ATTEMPTS = 20  # at a conditional put, against other writers
RETRIES = 5  # of any request, against the network
_NO_LOGIN = (
    "169.254.169.254",
    "latest/api/token", "metadata.google", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken",
    "token request", "Account must be specified", "credential",
)  # fmt: skip


def cache_folder() -> Path:
    """Where copies of remote files live on this machine."""
    own = os.environ.get("INGOT_CACHE_DIR")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ingot"


@contextmanager
def _asking(place: str) -> Iterator[None]:
    """Turn the client's errors into StoreErrors that name `place`; conflicts pass, they are answers."""
    try:
        yield
    except CONFLICTS:
        raise
    except (BaseError, OSError) as error:
        raise _failure(error, place) from error


def _failure(error: Exception, place: str) -> StoreError:
    full = str(error)
    text = full.partition("\n")[0].partition("<?xml")[0]
    if "NoSuchBucket" in full:
        return StoreError("E304", f"{place}: its bucket does not exist", where=place)
    if isinstance(error, FileNotFoundError):
        return StoreError("E304", f"{place} does not exist", where=place)
    # errors of listing come without a class of their own
    if isinstance(error, NoCredentialsError) or "code: 401" in text or any(sign in full for sign in _NO_LOGIN):
        return StoreError("E309", f"no usable credentials for {place} ({text})", where=place)
    if isinstance(error, (PermissionDeniedError, PermissionError)) or "code: 403" in text:
        return StoreError("E305", f"not allowed to use {place} ({text})", where=place)
    return StoreError("E314", f"cannot use {place} ({text})", where=place)


class ObjectStore:
    """Objects below one prefix of a bucket."""

    __slots__ = ("_client", "_lock", "_probed", "url")

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._probed = False
        self._lock = threading.Lock()
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        options: dict[str, Any] = {}
        if self.url.startswith("s3") and endpoint:
            options["config"] = {"endpoint": endpoint}
            options["client_options"] = {"allow_http": endpoint.startswith("http://")}
        options["retry_config"] = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=60)}
        with _asking(self.url):
            try:
                self._client = from_url(self.url, **options)
            except ValueError as error:
                raise StoreError("E307", f"{url!r} is not the address of a bucket ({error})") from error

    def _place(self, path: str) -> str:
        return f"{self.url}/{check_path(path)}"

    def _meta(self, path: str) -> ObjectMeta:
        with _asking(self._place(path)):
            return obstore.head(self._client, path)

    # -- reading
    def read(self, path: str) -> bytes:
        with _asking(self._place(path)):
            return bytes(obstore.get(self._client, path).bytes())

    def open(self, path: str) -> BinaryIO:
        return cast("BinaryIO", _Ranges(self._client, path, self.size(path), self._place(path)))

    def local(self, path: str) -> Path:
        meta = self._meta(path)
        content = "\0".join([self.url, path, meta["e_tag"] or str(meta["last_modified"]), str(meta["size"])])
        cache = LocalStore(cache_folder())
        name = f"objects/{sha256(content.encode()).hexdigest()}-{path.rpartition('/')[2]}"
        if not cache.exists(name) or cache.size(name) != meta["size"]:
            with cache.writing(name) as file, _asking(self._place(path)), file.open("wb") as out:
                condition: Any = (
                    {"if_match": meta["e_tag"]} if meta["e_tag"] else {}
                )  # a newer content has another name
                out.writelines(obstore.get(self._client, path, options=condition))
        return cache.local(name)

    def size(self, path: str) -> int:
        return int(self._meta(path)["size"])

    def exists(self, path: str) -> bool:
        try:
            self._meta(path)
        except StoreError as error:
            if error.code != "E304":
                raise
            return False
        return True

    def list(self, prefix: str = "") -> Paths:
        with _asking(self._place(prefix) if prefix else self.url):
            batches = obstore.list(self._client, prefix or None, chunk_size=1000)
            found = [item["path"] for batch in batches for item in batch]
        return sorted(path for path in found if not path.startswith(f"{TMP}/"))

    # -- writing
    def write(self, path: str, data: bytes | memoryview) -> None:
        with _asking(self._place(path)):
            obstore.put(self._client, path, data)

    @contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        place, cache = self._place(path), LocalStore(cache_folder())
        with translated(cache.url), cache.temporary() as file:
            yield file
            with _asking(place):
                obstore.put(self._client, path, file)

    def create(self, path: str, data: bytes) -> bool:
        self._probe()
        return self._create(path, data)

    def swap(self, path: str, old: bytes | None, new: bytes) -> bool:
        self._probe()
        return self._create(path, new) if old is None else self._swap(path, old, new)

    def delete(self, path: str) -> None:
        with _asking(self._place(path)):
            try:
                obstore.delete(self._client, path)
            except FileNotFoundError:
                return

    def clean(self) -> int:
        """Nothing is ever half there; what probes left is removed."""
        with _asking(self.url):
            left = [item["path"] for batch in obstore.list(self._client, TMP) for item in batch]
            if left:
                obstore.delete(self._client, left)
        return len(left)

    # -- inside
    def _create(self, path: str, data: bytes) -> bool:
        with _asking(self._place(path)):
            for attempt in range(ATTEMPTS):
                try:
                    obstore.put(self._client, path, data, mode="create", use_multipart=False)
                    return True
                except CONFLICTS:
                    if self.exists(path):  # else a 409: someone was at it, and nobody knows yet whether it worked
                        return False
                time.sleep(0.01 * 2 ** min(attempt, 6))
        raise StoreError("E314", f"{self._place(path)} conflicts without end", where=self._place(path))

    def _swap(self, path: str, old: bytes, new: bytes) -> bool:
        with _asking(self._place(path)):
            for attempt in range(ATTEMPTS):
                try:
                    seen = obstore.get(self._client, path)
                    if bytes(seen.bytes()) != old:
                        return False
                    version: Any = {name: seen.meta[name] for name in ("e_tag", "version") if seen.meta[name]}
                    obstore.put(self._client, path, new, mode=version, use_multipart=False)
                    return True
                except FileNotFoundError:
                    return False
                except CONFLICTS:  # the next look tells whether someone was faster
                    time.sleep(0.01 * 2 ** min(attempt, 6))
        raise StoreError("E314", f"{self._place(path)} conflicts without end", where=self._place(path))

    def _probe(self) -> None:
        """E308 unless the store honours put-if-absent and compare-and-swap; asked once."""
        with self._lock:
            if self._probed:
                return
            path, lacks = f"{TMP}/probe-{uuid.uuid4().hex}", ""
            with _asking(self.url):
                try:
                    first = obstore.put(self._client, path, b"1", mode="create", use_multipart=False)
                    if self._accepts(path, "create"):
                        lacks = "put-if-absent"
                    else:
                        version: Any = {name: value for name, value in first.items() if value}
                        obstore.put(self._client, path, b"3", mode=version, use_multipart=False)
                        lacks = "compare-and-swap" if self._accepts(path, version) else ""
                except NotImplementedError:
                    lacks = "conditional puts"
                finally:
                    obstore.delete(self._client, path)
            if lacks:
                raise StoreError("E308", f"{self.url} does not honour {lacks}", where=self.url)
            self._probed = True

    def _accepts(self, path: str, mode: Any) -> bool:
        """Whether a put that must be refused goes through."""
        try:
            obstore.put(self._client, path, b"2", mode=mode, use_multipart=False)
        except CONFLICTS:
            return False
        return True


class _Ranges(io.RawIOBase):
    """A seekable file over range requests."""

    def __init__(self, client: Any, path: str, size: int, place: str) -> None:
        super().__init__()
        self._client, self._path, self._size, self._place, self._at = client, path, size, place, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        length = left if size is None or size < 0 else min(size, left)
        if length == 0:
            return b""
        with _asking(self._place):
            data = bytes(obstore.get_range(self._client, self._path, start=self._at, length=length))
        self._at += len(data)
        return data
