"""`ingot init`: look at a folder's files and write an ingot.yaml that can run, with what was seen as comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingot.errors import ConfigError, IngotError

if TYPE_CHECKING:
    import pyarrow as pa

DATA = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather")
LIMIT = 200  # files looked at


@dataclass(frozen=True, slots=True)
class Seen:
    """A file: its path from the folder, what it is, and the sentence of detection (or why it cannot be read)."""

    path: str
    regime: str
    what: str
    usable: bool


@click.command(epilog="Examples:  ingot init   ·   ingot init raw/*.jsonl --regime rlvr   ·   ingot init --tokenizer Qwen/Qwen3-8B")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--regime", type=click.Choice(["sft", "preference", "rlvr"]), default=None,
              help="What a record is [default: what most files look like].")  # fmt: skip
@click.option("--tokenizer", default="tokenizer.json", show_default=True, help="A tokenizer.json, a directory or a hub name.")
@click.option("-f", "--file", type=click.Path(dir_okay=False, path_type=Path), default=Path("ingot.yaml"), show_default=True,
              help="The file to write.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite it.")
def init(paths: tuple[Path, ...], regime: str | None, tokenizer: str, file: Path, force: bool) -> None:
    """Write a commented ingot.yaml for the data files of this folder (or PATHS), stating what was detected."""
    if file.exists() and not force:
        raise ConfigError("E114", f"{str(file)!r} exists", next="ingot init --force, or -f another name")
    found = find(paths or (Path(),), file.parent)
    seen = [look(path, file.parent, regime) for path in found]
    usable = [one for one in seen if one.usable]
    for one in seen:
        click.echo(f"{one.path}: {one.what}", err=True)
    if not usable:
        raise ConfigError("E115", f"no data file that can be read below {', '.join(map(str, paths)) or 'this folder'}",
                          next="ingot init PATH...   (jsonl, json, csv, parquet or arrow; compressed or not)")  # fmt: skip
    chosen = regime or max(("sft", "preference", "rlvr"), key=lambda name: sum(one.regime == name for one in usable))
    fitting = [one for one in usable if one.regime == chosen]
    file.write_text(write(chosen, fitting, seen, file.resolve().parent.name, tokenizer), encoding="utf-8")
    click.echo(f"wrote {file} with {len(fitting)} sources; next: look at its licences and origins, then: ingot run")


def find(paths: tuple[Path, ...], base: Path) -> list[Path]:
    """Data files below the paths, sorted; lakes and hidden folders are left out."""
    del base
    out: list[Path] = []
    for path in paths:
        inside = [path] if path.is_file() else sorted(path.rglob("*"))
        out += [p for p in inside if p.is_file() and _is_data(p) and not _in_lake(p) and not re.search(r"(^|/)\.", str(p))]
    return sorted(dict.fromkeys(out))[:LIMIT]


def _is_data(path: Path) -> bool:
    suffixes = [s for s in path.suffixes if s not in (".gz", ".zst", ".zstd", ".bz2", ".xz")]
    return bool(suffixes) and suffixes[-1] in DATA and path.name not in ("tokenizer.json", "tokenizer_config.json")


def _in_lake(path: Path) -> bool:
    return any((parent / "lake.json").is_file() for parent in path.parents)


def look(path: Path, base: Path, regime: str | None) -> Seen:
    """Sniff and detect one file; the first regime that fits is taken, the rarer shapes first."""
    import os

    shown = os.path.relpath(path, base)
    try:
        sample = sample_rows(path)
    except IngotError as error:
        return Seen(shown, "", f"{error.code} {error.message}", False)
    from ingot.schema.detect import detect

    last = "no row"
    for name in (regime,) if regime else ("preference", "rlvr", "sft"):
        try:
            found = detect(sample, name)
        except IngotError as error:
            last = error.message
            continue
        if found.format is not None:
            return Seen(shown, name, f"{name}, {found.why}", True)
        last = found.why
    return Seen(shown, "", last, False)


def sample_rows(path: Path) -> pa.Table:
    """The first rows of a file as bronze rows."""
    from ingot.sources.node import sample_file

    return sample_file(path)


def write(regime: str, fitting: list[Seen], seen: list[Seen], name: str, tokenizer: str) -> str:
    """The text of the file."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-") or "data"
    lines = [f"name: {slug}", f"regime: {regime}", "", "sources:"]
    names: dict[str, int] = {}
    for one in fitting:
        stem = re.sub(r"[^a-z0-9_-]+", "-", Path(one.path).name.split(".")[0].lower()).strip("-") or "source"
        names[stem] = names.get(stem, 0) + 1
        key = stem if names[stem] == 1 else f"{stem}-{names[stem]}"
        lines += [f"  # {one.what}", f"  {key}:", f'    path: "{one.path}"', "    format: auto   # or a name, or a field map",
                  "    license: LicenseRef-unknown   # an SPDX identifier, e.g. MIT, Apache-2.0, CC-BY-4.0",
                  "    origin: public   # human | synthetic | logs | public | scrape"]  # fmt: skip
    lines += [f"  # left out: {one.path}: {one.what}" for one in seen if one not in fitting]
    lines += ["", "silver:", "  - normalize", "  - exact_dedup", "  - split: {validation: 0.02}", "", "gates:",
              "  - rows: {min: 1}", "  - rejected: {max: 0.5, per: source}", "", "gold:",
              f"  tokenizer: {tokenizer}   # a tokenizer.json, a directory that holds one, or a hub name",
              "  template: chatml", "  train_on: [assistant]", "  max_length: 4096"]  # fmt: skip
    return "\n".join(lines) + "\n"
