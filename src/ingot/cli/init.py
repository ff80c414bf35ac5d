"""`ingot init`: look at a folder's files and write an ingot.yaml that can run, with what was seen as comments."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingot.errors import ConfigError, IngotError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

REGIMES = ("sft", "preference", "rlvr")
SAMPLE = 200  # rows of a file
LIMIT = 500  # files looked at
_GLOB = re.compile(r"[*?\[]")
_NOT_DATA = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "package.json")
_PLAIN = ("train", "test", "dev", "valid", "validation", "eval", "data", "part-00000", "0")  # names that say nothing
_LICENSES = (
    (r"Apache License\s+Version 2\.0", "Apache-2.0"),
    (r"MIT License|Permission is hereby granted, free of charge", "MIT"),
    (r"Attribution-ShareAlike 4\.0 International", "CC-BY-SA-4.0"),
    (r"Attribution-NonCommercial 4\.0 International", "CC-BY-NC-4.0"),
    (r"Attribution 4\.0 International", "CC-BY-4.0"), (r"CC0 1\.0 Universal", "CC0-1.0"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file: its path from the pipeline's folder; regime -> (format, why); regime (or any) -> why not."""

    path: str
    fits: Mapping[str, tuple[str, str]]
    problems: Mapping[str, str]

    @property
    def regime(self) -> str:
        """The regime that its shape says; a bare prompt with an answer that can be checked is rlvr."""
        if "preference" in self.fits:
            return "preference"
        if "sft" in self.fits and (self.fits["sft"][0] != "prompt_completion" or "rlvr" not in self.fits):
            return "sft"
        return "rlvr" if "rlvr" in self.fits else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Files of one folder with one format: a source."""

    name: str
    files: tuple[Seen, ...]
    paths: tuple[str, ...]
    format: str
    license: str
    found_in: str  # the file that says the licence


@click.command(
    epilog="Examples:  ingot init   ·   ingot init raw/*.jsonl --regime rlvr   ·   ingot init --tokenizer Qwen/Qwen3-8B"
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--regime", type=click.Choice(REGIMES), default=None, help="What a record is [default: what most files look like]."
)
@click.option(
    "--tokenizer",
    default=None,
    help="A tokenizer.json, a directory or a hub name [default: tokenizer.json, when there is one].",
)
@click.option("-f", "--file", type=click.Path(dir_okay=False, path_type=Path), default=Path("ingot.yaml"),
              show_default=True, help="The file to write.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite it.")
def init(paths: tuple[Path, ...], regime: str | None, tokenizer: str | None, file: Path, force: bool) -> None:
    """Write a commented ingot.yaml for the data files of this folder (or PATHS), stating what was detected."""
    if file.exists() and not force:
        raise ConfigError("E114", f"{str(file)!r} exists", next="ingot init --force, or -f another name")
    found = find(paths or (Path(),))
    seen = [look(path, file.parent, regime) for path in found[:LIMIT]]
    if len(found) > LIMIT:
        click.echo(f"looked at the first {LIMIT} of {len(found):,} files", err=True)
    usable = [one for one in seen if one.fits]
    if not usable:
        for one in seen:
            click.echo(f"{one.path}: {next(iter(one.problems.values()))}", err=True)
        raise ConfigError(
            "E115",
            f"no data file that can be read below {', '.join(map(str, paths)) or 'this folder'}",
            next="ingot init PATH...   (jsonl, json, csv, parquet or arrow; compressed or not)",
        )
    chosen = regime or max(REGIMES, key=lambda name: sum(one.regime == name for one in usable))
    fitting = [one for one in usable if chosen in one.fits and (regime or one.regime == chosen)]
    groups = grouped(fitting, [one.path for one in seen], chosen, file.parent)
    if tokenizer is None and (file.parent / "tokenizer.json").is_file():
        tokenizer = "tokenizer.json"
    left_out = [one for one in seen if one not in fitting]
    file.write_text(write(chosen, groups, left_out, file.resolve().parent.name, tokenizer), encoding="utf-8")
    _report(file, chosen, groups, left_out, tokenizer)


def _report(file: Path, chosen: str, groups: Sequence[Group], left_out: Sequence[Seen], tokenizer: str | None) -> None:
    from ingot.cli.common import short

    for group in groups:
        click.echo(f"{group.name}: {_files(len(group.files))}, {group.format}, {group.license}", err=True)
    for what, why in _summed(left_out, chosen):
        click.echo(f"left out: {what}: {short(why, 150)}", err=True)
    click.echo(f"wrote {file}: {chosen}, {len(groups)} sources of {_files(sum(len(group.files) for group in groups))}")
    unknown = [group.name for group in groups if group.license == "unknown"]
    todo = [f"set the licence of {', '.join(unknown)}"] if unknown else []
    todo += [] if tokenizer else ["name a tokenizer for gold"]
    click.echo(f"next: {'; '.join([*todo, 'ingot run'])}")


def _files(n: int) -> str:
    return "1 file" if n == 1 else f"{n:,} files"


def find(paths: Sequence[Path]) -> list[Path]:
    """Data files below the paths, sorted; lakes and hidden folders are left out. A file that is named is always
    taken.
    """
    from ingot.sources.files import is_data

    out: list[Path] = []
    for path in paths:
        if path.is_file():
            out.append(path)
            continue
        out += [p for p in sorted(path.rglob("*")) if p.is_file() and is_data(p.name) and p.name not in _NOT_DATA
                and not any((parent / "lake.json").is_file() for parent in p.parents)
                and not any(part.startswith(".") for part in p.relative_to(path).parts)]  # fmt: skip
    return list(dict.fromkeys(out))


def look(path: Path, base: Path, regime: str | None) -> Seen:
    """Sniff one file and try the regimes on its first rows."""
    from ingot.schema.detect import detect
    from ingot.sources.sample import sample_file

    shown = Path(os.path.relpath(path, base)).as_posix()
    try:
        rows: pa.Table = sample_file(path, SAMPLE).rows
    except IngotError as error:
        return Seen(path=shown, fits={}, problems={"any": f"{error.code} {error.message}"})
    except OSError as error:
        return Seen(path=shown, fits={}, problems={"any": f"cannot be read: {error.strerror or error}"})
    fits, problems = {}, {}
    for name in (regime,) if regime else REGIMES:
        try:
            found = detect(rows, name)
        except IngotError as error:
            problems[name] = error.message
            continue
        if found.format is not None:
            fits[name] = (found.format.name, found.why)
        else:
            problems[name] = found.why
    return Seen(path=shown, fits=fits, problems=problems)


def grouped(files: Sequence[Seen], everything: Sequence[str], regime: str, base: Path) -> list[Group]:
    """Files of one folder and one format are one source, named by a pattern where one covers them and nothing else."""
    by: dict[tuple[str, str], list[Seen]] = {}
    for one in files:
        by.setdefault((one.path.rpartition("/")[0], one.fits[regime][0]), []).append(one)
    groups: list[Group] = []
    taken: set[str] = set()
    for (folder, format_name), members in by.items():
        paths = [one.path for one in members]
        alone = sum(other == folder for other, _ in by) == 1
        stem, place = Path(paths[0]).name.split(".")[0], folder.rpartition("/")[2]
        plain = len(paths) == 1 and stem.lower() not in _PLAIN
        wanted = _slug(stem if plain or not place else place if alone else f"{place}-{format_name}")
        name = next(n for i in range(len(files) + 1) if (n := f"{wanted}-{i + 1}" if i else wanted) not in taken)
        taken.add(name)
        license, found_in = _license(base / folder, base)
        patterns = _pattern(paths, folder, everything)
        groups.append(Group(name=name, files=tuple(members), paths=patterns, format=format_name, license=license,
                            found_in=found_in))  # fmt: skip
    return groups


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_") or "source"


def _pattern(paths: Sequence[str], folder: str, everything: Sequence[str]) -> tuple[str, ...]:
    """One glob for all of these paths if it matches no other file that was seen, else the paths."""
    endings = {Path(path).name[len(Path(path).name.split(".")[0]) :] for path in paths}
    if len(paths) == 1 or len(endings) > 1 or _GLOB.search(folder):
        return tuple(paths)
    ending = endings.pop()
    covered = {path for path in everything if path.rpartition("/")[0] == folder and path.endswith(ending)}
    return (f"{folder}/*{ending}" if folder else f"*{ending}",) if covered == set(paths) else tuple(paths)


def _license(folder: Path, base: Path) -> tuple[str, str]:
    """What a LICENSE file, or the head of a README, in the data's folder or above it (up to base) says; and its
    name.
    """
    for place in (folder, *folder.parents):
        names = sorted(path for path in place.iterdir() if path.is_file())
        for path in names:
            if license := _license_of(path):
                return license, Path(os.path.relpath(path, base)).as_posix()
        if place == base:
            break
    return "unknown", ""


def _license_of(path: Path) -> str | None:
    if re.match(r"(LICEN[CS]E|COPYING)\b", path.name, re.IGNORECASE):
        text = path.read_bytes()[:4000].decode("utf-8", "replace")
        return next((license for pattern, license in _LICENSES if re.search(pattern, text)), None)
    if path.name.lower() == "readme.md":
        text = path.read_bytes()[:4000].decode("utf-8", "replace")
        head = re.match(r"---\n.*?^license: *['\"]?([^\n'\"]+)", text, re.DOTALL | re.MULTILINE)
        return _checked(head[1]) if head else None
    return None


def _checked(text: str) -> str | None:
    from ingot.schema.licenses import check_license

    try:
        return check_license(text)
    except IngotError:
        return None


def _why_not(one: Seen, regime: str) -> str:
    if one.regime and one.regime != regime:
        also = f"; it can also be read as {one.fits[regime][0]}" if regime in one.fits else ""
        return f"it is {one.regime}, {one.fits[one.regime][1]}{also}"
    return one.problems.get("any") or one.problems[regime]


def _summed(left_out: Sequence[Seen], regime: str) -> list[tuple[str, str]]:
    """(what, why) of files that are left out; files of one folder with one reason are one line."""
    by: dict[tuple[str, str], list[str]] = {}
    for one in left_out:
        by.setdefault((one.path.rpartition("/")[0], _why_not(one, regime)), []).append(one.path)
    return [(paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more beside it", why)
            for (_, why), paths in by.items()]  # fmt: skip


def write(regime: str, groups: Sequence[Group], left_out: Sequence[Seen], name: str, tokenizer: str | None) -> str:
    """The text of the file."""
    lines = [f"name: {_slug(name)}", f"regime: {regime}", "", "sources:"]
    for group in groups:
        count = f"{_files(len(group.files))}; " if len(group.files) > 1 else ""
        lines += [f"  # {count}{group.files[0].fits[regime][1]}", f"  {group.name}:"]
        paths = [
            json.dumps(path, ensure_ascii=False) if re.search(r"[^\w./*-]|^\W*\*", path) else path
            for path in group.paths
        ]
        lines += [f"    path: {paths[0]}"] if len(paths) == 1 else ["    path:", *(f"      - {path}" for path in paths)]
        says = (
            f"# as {group.found_in} says: check"
            if group.found_in
            else "# set it: an SPDX identifier such as MIT or CC-BY-4.0"
        )
        lines += [f"    format: {group.format}", f"    license: {group.license}   {says}",
                  "    # origin: human   # or synthetic, logs, public, scrape", ""]  # fmt: skip
    if left_out:
        lines += ["# Left out (another shape needs a field map, see docs/formats.md):"]
        lines += [f"#   {what}: {' '.join(why.split())[:200]}" for what, why in _summed(left_out, regime)] + [""]
    lines += ["silver:", "  - normalize", "  - exact_dedup", "  - split: {validation: 0.02}", "",
              "gates:", "  - rows: {min: 1}", "  - rejected: {max: 0.5, per: source}", ""]  # fmt: skip
    return "\n".join(lines + _gold(regime, tokenizer)) + "\n"


def _gold(regime: str, tokenizer: str | None) -> list[str]:
    shown = tokenizer if tokenizer is None or re.fullmatch(r"[\w./-]+", tokenizer) else json.dumps(tokenizer)
    gold = ["gold:",
            f"  tokenizer: {shown or 'tokenizer.json'}   # a tokenizer.json, a directory with one, or a hub name",
            "  template: chatml   # or tokenizer (its own), or a .jinja file"]  # fmt: skip
    gold += ["  train_on: [assistant]"] if regime == "sft" else []
    gold += ["  max_length: 4096", f"  overflow: {'split' if regime == 'sft' else 'drop'}"]
    return (
        gold
        if tokenizer
        else ["# Tokens, masks and packs: name a tokenizer and remove the marks.", *(f"# {line}" for line in gold)]
    )
