"""A batch as a person can check it: every run of tokens of one class, whether it is trained, and its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingot.cli.common import console, number

if TYPE_CHECKING:
    from rich.text import Text

    from ingot.core.node import Snapshot
    from ingot.gold.tokenizer import Tokenizer
    from ingot.store.lake import Lake

STYLES = {"user": "cyan", "assistant": "green", "system": "yellow", "thinking": "blue", "tool_call": "magenta",
          "tool_output": "red", "end_of_turn": "bold green", "template": "dim"}  # fmt: skip
WIDTH = 74
DOCUMENTS = 4  # of one pack


def show_batch(lake: Lake, ref: str, snapshot: Snapshot, *, packs: int = 1) -> None:
    """Print the first rows of a gold split in stored order."""
    from rich.text import Text

    from ingot.core.snapshots import load_snapshot
    from ingot.gold.node import tokenizer_of

    stats = snapshot.draft.stats
    tokenizer = tokenizer_of(lake, load_snapshot(lake, "gold.tokens"))
    out = console()
    out.print(Text(headline(ref, stats), style="bold"))
    for row in range(min(packs, stats["packs"])):
        for line in sample_lines(lake, snapshot, row, tokenizer):
            out.print(line)
    out.print(Text("≋ = trained token runs; all others have label -100. Check a row with: ingot trace "
                   f'"{snapshot.node}[0:0]"', style="dim"))  # fmt: skip


def headline(ref: str, stats: dict[str, Any]) -> str:
    """What the split holds, in one line."""
    kind = {"sft": "packs", "preference": "pairs", "rlvr": "prompts"}[stats["regime"]]
    text = f"{ref}: {number(stats['packs'])} {kind}, rows of at most {number(stats['max_length'])} tokens"
    if stats["efficiency"] is not None:
        text += f", {100 * stats['efficiency']:.2f} % full, {100 * stats['trained_share']:.1f} % of tokens trained"
    return text


def sample_lines(lake: Lake, snapshot: Snapshot, row: int, tokenizer: Tokenizer) -> list[Text]:
    """One row of a batch: its documents, and each document's runs of tokens."""
    import numpy as np
    from rich.text import Text

    from ingot.gold.documents import pack_members
    from ingot.gold.segments import trainable

    stats = snapshot.draft.stats
    table = trainable(stats["train_on"])
    members, lines = pack_members(lake, snapshot, row), []
    what = {"sft": "pack", "preference": "pair", "rlvr": "prompt"}[stats["regime"]]
    lines.append(Text(f"\n{what} {row}: {len(members)} document{'s' if len(members) != 1 else ''}"))
    for member in members[:DOCUMENTS]:
        document = read_document(lake, snapshot, member["document"])
        end = member["start"] + member["length"]
        lines.append(Text(f"  document {member['document']}  record {member['record_id']}  source {document['source']}  "
                          f"tokens {member['column']}–{member['column'] + member['length'] - 1}", style="italic"))  # fmt: skip
        for name in [c for c in document if c.endswith("tokens")]:
            side = name.removesuffix("tokens").rstrip("_")
            if document[name] is None:
                lines.append(Text(f"      {side}: none, the row is unpaired", style="dim"))
                continue
            segments = np.asarray(document[name.replace("tokens", "segments")], np.uint8)
            tokens = np.asarray(document[name], np.int32)
            if stats["regime"] == "sft":
                tokens, segments = tokens[member["start"] : end], segments[member["start"] : end]
            mask = np.zeros(256, bool) if side == "prompt" else table
            lines += _runs(tokens, segments, mask, tokenizer, side)
        lines += [Text(f"    {name}: {document[name]}") for name in ("verifier", "answer", "verifier_args") if document.get(name)]
    if len(members) > DOCUMENTS:
        lines.append(Text(f"  and {len(members) - DOCUMENTS} more documents", style="dim"))
    return lines


def read_document(lake: Lake, snapshot: Snapshot, document: int) -> dict[str, Any]:
    """A gold document by its number, all columns."""
    for part in snapshot.draft.parts:
        if document < part.rows:
            found: dict[str, Any] = lake.open_ipc(part.path).slice(document, 1).to_pylist()[0]
            return found
        document -= part.rows
    raise IndexError(document)


def _runs(tokens: Any, segments: Any, table: Any, tokenizer: Tokenizer, side: str) -> list[Text]:
    import numpy as np
    from rich.text import Text

    from ingot.gold.segments import CLASS_NAMES

    cuts = np.flatnonzero(np.r_[True, segments[1:] != segments[:-1]]) if len(segments) else np.empty(0, int)
    lines = []
    for start, end in zip(cuts, [*cuts[1:], len(segments)], strict=True):
        name, trained = CLASS_NAMES[int(segments[start])], bool(table[segments[start]])
        text = repr(tokenizer.decode(tokens[start:end].tolist()))[1:-1]
        text = text if len(text) <= WIDTH else f"{text[: WIDTH // 2]} … {text[-WIDTH // 2 + 3 :]}"
        head = f"{side + ' ' if side else ''}{name}"
        lines.append(Text.assemble((f"    {'≋' if trained else ' '} {head:<20}{end - start:>5}  ", ""), (text, STYLES.get(name, ""))))
    return lines
