"""`ingot check`: the gates on what the names mean now, and the integrity of their files; `ingot explain`: codes,
reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ingot.cli.common import emit, file_option, lake_option, open_lake, output_option, read_pipeline, table
from ingot.cli.nodes import all_snapshots, part_table
from ingot.errors import CATALOGUE, REASONS, IngotError

if TYPE_CHECKING:
    from ingot.core.node import Snapshot
    from ingot.store.lake import Lake


@click.command(epilog="Examples:  ingot check   ·   ingot check -o json")
@file_option
@lake_option
@output_option
def check(file: str, lake: str | None, output: str) -> None:
    """Judge the pipeline's gates again, and read every part back: present, readable, the content its manifest states.

    Exit 1 when anything is found.
    """
    place, findings = open_lake(file, lake), []
    snapshots = all_snapshots(place)
    for gate in read_pipeline(file).graph().gates:
        if gate.node in snapshots:
            result = gate.judge(place, snapshots)
            findings.append({"check": "gate", "what": f"{result.name} on {gate.node}", "passed": result.passed,
                             "observed": str(result.observed), "text": result.text()})  # fmt: skip
    for snapshot in snapshots.values():
        findings.append(_verify(place, snapshot))
    failed = [finding for finding in findings if not finding["passed"]]
    if output != "text":
        emit([{k: v for k, v in finding.items() if k != "text"} for finding in findings], output)
    else:
        for finding in findings:
            click.echo(finding["text"])
        click.echo(f"{len(findings) - len(failed)} of {len(findings)} checks passed")
    if failed:
        raise click.exceptions.Exit(1)


def _verify(lake: Lake, snapshot: Snapshot) -> dict[str, Any]:
    """Read the parts of a node and compare their content with the manifest."""
    from ingot.gold.merge import ordered_sums, token_sums
    from ingot.schema.digest import content_sums

    sums = (
        token_sums
        if snapshot.node == "gold.tokens"
        else ordered_sums
        if snapshot.node.startswith("gold.")
        else content_sums
    )
    wrong = []
    for part in snapshot.draft.parts:
        try:
            if sums(part_table(lake, part)) != part.digest:
                wrong.append(f"{part.path}: its content is not what the manifest states")
            if part.rejects:
                lake.read_parquet(part.rejects, ["record_id"])
        except IngotError as error:
            wrong.append(f"{part.path}: {error.code} {error.message}")
    wrong += [f"{path}: missing" for path in snapshot.draft.files.values() if not lake.store.exists(path)]
    observed = "; ".join(wrong) or f"{len(snapshot.draft.parts)} parts read, content as stated"
    text = f"{'ok    ' if not wrong else 'FAILED'} files of {snapshot.node}: {observed}"
    return {"check": "files", "what": snapshot.node, "passed": not wrong, "observed": observed, "text": text}


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
        click.echo(
            f"{code}  (why a row was rejected)\n\n  {REASONS[code]}\n\n  see such rows: ingot rejects --reason {code}"
        )
    else:
        import difflib

        close = difflib.get_close_matches(code, [*CATALOGUE, *REASONS], n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else "; `ingot explain` lists all"
        raise click.UsageError(f"neither an error code nor a reason: {code!r}{hint}")
