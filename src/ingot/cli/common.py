"""What verbs share: the options for pipeline file, lake and output form, and how data is printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from ingot.pipeline import Pipeline
    from ingot.store.lake import Lake

F = TypeVar("F", bound=Callable[..., Any])


def file_option(function: F) -> F:
    """-f/--file: the pipeline file."""
    return click.option("-f", "--file", default="ingot.yaml", show_default=True, metavar="FILE",
                        help="The pipeline's file.")(function)  # fmt: skip


def lake_option(function: F) -> F:
    """--lake: where the lake is."""
    return click.option(
        "--lake",
        default=None,
        envvar="INGOT_LAKE",
        metavar="PLACE",
        help="Folder or s3:// URL of the lake [default: lake beside FILE; env INGOT_LAKE].",
    )(function)


def output_option(function: F) -> F:
    """-o/--output: text, json or jsonl."""
    return click.option("-o", "--output", type=click.Choice(["text", "json", "jsonl"]), default="text",
                        show_default=True, help="Form of the answer on stdout.")(function)  # fmt: skip


def lake_place(file: str, lake: str | None) -> str:
    """The lake's location: as given, else `lake` beside the pipeline's file."""
    return lake or str(Path(file).parent / "lake")


def open_lake(file: str, lake: str | None) -> Lake:
    """The existing lake; StoreError when there is none."""
    from ingot.store.lake import Lake

    return Lake.open(lake_place(file, lake))


def read_pipeline(file: str) -> Pipeline:
    """The pipeline of a file."""
    from ingot.pipeline import Pipeline

    return Pipeline.from_yaml(file)


def console(*, stderr: bool = False) -> Console:
    """A rich console that obeys NO_COLOR and prints plain lines without a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else int(os.environ.get("COLUMNS", "110"))
    return Console(file=stream, width=width, highlight=False, soft_wrap=not stream.isatty(), emoji=False)


def emit(rows: Iterable[Mapping[str, Any]], output: str) -> None:
    """Print rows as a JSON array or as JSON lines."""
    if output == "json":
        click.echo(json.dumps(list(rows), ensure_ascii=False, indent=2, default=str))
        return
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False, default=str))


def table(
    titles: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = (), whole: Iterable[int] = ()
) -> None:
    """Print a plain table on stdout; columns in `right` are aligned to the right, those in `whole` never broken."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown, numbers = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False), set(right)
    unbroken = numbers | set(whole)
    for i, title in enumerate(titles):
        shown.add_column(title, justify="right" if i in numbers else "left", overflow="fold", no_wrap=i in unbroken)
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console().print(shown)


def short(text: str, width: int = 80) -> str:
    """One line of at most `width` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def number(n: float) -> str:
    """12,345"""
    return f"{n:,}" if isinstance(n, int) else f"{n:,.1f}"


def size(n: float) -> str:
    """Bytes for people: 1.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def seconds(s: float) -> str:
    """0.3 s, 1 min 20 s."""
    return f"{s:.1f} s" if s < 60 else f"{int(s // 60)} min {int(s % 60)} s"
