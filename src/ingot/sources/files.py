"""Which files a source's path names: globs, folders and URLs, in one order, with the names that go into rows.

Guarantee: the answer is sorted and does not depend on the file system's listing order. A row's uri is no host path: it
is relative to the folder of the configuration for relative patterns, relative to the pattern's fixed part for
absolute ones, and the URL for URLs. A pattern that names nothing is an error; what cannot be read is said to be so.
"""

# Paths stay texts here: `..` is resolved textually, and glob leaves hidden files out, which pathlib does not.
# ruff: noqa: PTH110, PTH112, PTH113, PTH114, PTH117, PTH118, PTH120, PTH122, PTH207, PTH208

from __future__ import annotations

import difflib
import glob
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingot.errors import SourceError
from ingot.sources.sniff import COMPRESSED, SUFFIXES
from ingot.sources.streams import scheme

UNREADABLE = "unreadable"  # the container of a file that arrives as one row saying why it cannot be read
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """file: absolute local path or URL, to open; uri: its name in rows; size, version: of remote files only.

    refused: what stands there in place of a file that can be read.
    """

    file: str
    uri: str
    size: int | None = None
    version: str | None = None
    refused: str | None = None


def discover(patterns: str | Sequence[str], base_dir: Path) -> list[FileRef]:
    """The files that the patterns name, by uri; SourceError E201 for a pattern that names none."""
    found: dict[str, FileRef] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for ref in _remote(pattern) if scheme(pattern) else _local(pattern, base_dir):
            found.setdefault(ref.file, ref)
    refs = sorted(found.values(), key=lambda ref: (ref.uri, ref.file))
    for one, other in itertools.pairwise(refs):
        if one.uri == other.uri:
            raise SourceError(
                "E210", f"two files would both be called {one.uri!r}: {one.file} and {other.file}", where=one.uri,
                next="name them by one pattern that covers both, or by paths relative to the configuration",
            )  # fmt: skip
    return refs


def fixed_part(pattern: str) -> str:
    """The folder above the first wildcard; of a path without wildcards, the folder that holds it."""
    parts = pattern.split("/")
    for i, part in enumerate(parts):
        if _MAGIC.search(part):
            return "/".join(parts[:i]) or "/"
    return pattern.rstrip("/").rpartition("/")[0] or "/"


def is_data(name: str) -> bool:
    """The name ends like data: a container's suffix, perhaps with one of a compression."""
    stem = name.lower()
    for suffix in COMPRESSED:
        stem = stem.removesuffix(suffix)
    return os.path.splitext(stem)[1] in SUFFIXES


def _remote(pattern: str) -> list[FileRef]:
    from ingot.sources.remote import find

    found = find(pattern)
    if not _MAGIC.search(pattern) and (len(found) != 1 or found[0].url != pattern):
        found = [item for item in found if is_data(item.url)]
    if not found:
        raise SourceError("E201", f"{pattern!r} names no files", where=pattern, next="check the bucket and the prefix")
    return [FileRef(file=item.url, uri=item.url, size=item.size, version=item.version) for item in found]


def _local(pattern: str, base_dir: Path) -> list[FileRef]:
    absolute = os.path.isabs(pattern)
    full = pattern if absolute else os.path.join(base_dir.absolute(), pattern)
    if os.path.lexists(full):
        paths: Iterable[str] = _walk(full, pattern) if os.path.isdir(full) else [full]
        anchor = full if os.path.isdir(full) else os.path.dirname(full)
    else:
        paths = _matches(full, pattern)
        anchor = fixed_part(full)
    anchor = anchor if absolute else str(base_dir.absolute())
    refs = []
    for path in paths:
        path = os.path.normpath(path)
        refs.append(FileRef(file=path, uri=_relative(path, anchor), refused=_refused(path)))
    if not refs:
        raise _nothing(pattern, full)
    return refs


def _refused(path: str) -> str | None:
    if os.path.isfile(path):
        return None
    if os.path.isdir(path):
        return "a folder without data files"
    return "a link to nothing" if os.path.islink(path) and not os.path.exists(path) else "not a regular file"


def _matches(full: str, pattern: str) -> list[str]:
    """What a glob names; of a folder that is called like data (as Spark writes x.parquet/) the files in it."""
    out = []
    for path in glob.glob(full, recursive=True):
        if not os.path.isdir(path):
            out.append(path)
        elif is_data(path.rstrip("/")):
            out += _walk(path, pattern) or [path]
    return list(dict.fromkeys(map(os.path.normpath, out)))


def _relative(path: str, anchor: str) -> str:
    """The name in rows; bytes of a file name that are not UTF-8 become backslash escapes."""
    name = Path(os.path.relpath(path, anchor)).as_posix()
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _walk(folder: str, pattern: str) -> list[str]:
    """Data files below a folder; hidden ones are left out."""

    def refuse(error: OSError) -> None:
        raise SourceError(
            "E202",
            f"cannot list a folder of {pattern!r}: {error.strerror}",
            where=pattern,
            next="check its permissions",
        ) from error

    out = []
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        out += [os.path.join(place, name) for name in names if is_data(name) and not name.startswith(".")]
    return out


def _nothing(pattern: str, full: str) -> SourceError:
    """E201 with what stands where the pattern looks."""
    place, wanted = os.path.split(full.rstrip("/"))
    while place and not os.path.isdir(place) and place != os.path.dirname(place):
        place, wanted = os.path.split(place)
    prefix = os.path.relpath(place, full[: len(full) - len(pattern)] or "/") if not os.path.isabs(pattern) else place
    try:
        names = sorted(name for name in os.listdir(place) if not name.startswith("."))
    except OSError:
        names = []
    bare = _MAGIC.sub("", wanted)
    near = difflib.get_close_matches(bare, names, 3, 0.6) or [name for name in names if is_data(name)][:3]
    shown = [name if prefix == "." else f"{prefix}/{name}" for name in near]
    return SourceError(
        "E201", f"{pattern!r} names no files" + (f"; near it: {', '.join(shown)}" if shown else ""), where=pattern,
        next="correct the path (relative paths start at the configuration's folder)",
    )  # fmt: skip
