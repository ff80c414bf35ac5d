"""`ingot explain`: what an error code or a reject reason means and what to do."""

from __future__ import annotations

import click

from ingot.cli.common import table
from ingot.errors import CATALOGUE, REASONS


@click.command(epilog="Examples:  ingot explain E102   ·   ingot explain exact_duplicate   ·   ingot explain")
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Explain an error code (E102) or a reject reason (empty_turn); without one, list them all."""
    if code is None:
        table(["code", "title"], [[name, entry.title] for name, entry in CATALOGUE.items()])
        table(["reason", "meaning"], list(REASONS.items()))
    elif code.upper() in CATALOGUE:
        entry = CATALOGUE[code.upper()]
        click.echo(f"{code.upper()}  {entry.title}\n\n  cause:  {entry.cause}\n  remedy: {entry.remedy}")
    elif code in REASONS:
        click.echo(f"{code}  (a reason why a row was rejected)\n\n  {REASONS[code]}\n\n  see such rows: ingot rejects --reason {code}")
    else:
        import difflib

        close = difflib.get_close_matches(code, [*CATALOGUE, *REASONS], n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else "; `ingot explain` lists all"
        raise click.UsageError(f"neither an error code nor a reason: {code!r}{hint}")
