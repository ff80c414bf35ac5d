"""The funnel for people: aligned plain text for a terminal, and one self-contained SVG for pages and the README.

No colour carries meaning alone: text has none, and the picture labels its bars in words and hatches what left. Both are
pure functions of the funnel, so that a picture in a repository changes only when the data do.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingot.checks.stages import Funnel, Stage

_EIGHTHS = " ▏▎▍▌▋▊▉"
_GLUE = "\x00"


def text(funnel: Funnel, width: int) -> str:
    """One line per step: rows in, a bar, rows out, the share that left and why."""
    stages = _shown(funnel)
    most = max([sum(funnel.arrived.values()), *(stage.rows_in + stage.added for stage in stages), 1])
    first = max(len(name) for name in ["arrived", *(f"  {s.step}" for s in stages), *(s.node for s in stages)])
    digits = max(len(f"{most:,}"), 8)
    bar = 20
    indent = first + digits + bar + digits + 14
    room = max(width - indent, 20)
    lines = [f"{'step':<{first}} {'rows in':>{digits}}  {'':<{bar}} {'rows out':>{digits}} {'left':>7}  why"]

    def line(name: str, came: str, went: int, left: str, why: str) -> None:
        head = f"{name:<{first}} {came:>{digits}}  {_bar(went, most, bar)} {went:>{digits},} {left:>7}  "
        glued = why.replace(" ", _GLUE).replace("," + _GLUE, ", ")  # a reason and its count stay on one line
        parts = textwrap.wrap(glued, room, break_long_words=False, break_on_hyphens=False) or [""]
        lines.extend((head if i == 0 else " " * indent) + part.replace(_GLUE, " ") for i, part in enumerate(parts))

    if funnel.arrived:
        sources = ", ".join(f"{name} {n:,}" for name, n in _ranked(funnel.arrived))
        line("arrived", "", sum(funnel.arrived.values()), "", sources)
    node = ""
    for stage in stages:
        if stage.node != node:
            node = stage.node
            lines.append(node)
        left = percent(stage.share_left) if stage.left else "–"
        line(f"  {stage.step}", f"{stage.rows_in:,}", stage.rows_out, left, _why(stage))
    return "\n".join(line.rstrip() for line in lines)


def _shown(funnel: Funnel) -> list[Stage]:
    """All stages but those of bronze where every row arrived: they say what the line `arrived` says."""
    return [s for s in funnel.stages if s.left or s.added or not (funnel.arrived and s.node.startswith("bronze."))]


def _bar(rows: int, most: int, width: int) -> str:
    """A bar in eighths of a character; anything above nothing shows."""
    eighths = max(rows * width * 8 // most, 1 if rows else 0)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def _why(stage: Stage) -> str:
    """Reasons by count, then what was added; of a step that lost nothing, what it counted."""
    reasons = [f"{name} {n:,}" for name, n in _ranked(stage.reasons)]
    if not reasons and stage.notes:
        reasons = [f"{name} {n:,}" for name, n in _ranked(stage.notes)[:3]]
        reasons[0] = f"noted: {reasons[0]}"
    return ", ".join([*reasons, *([f"{stage.added:,} added"] if stage.added else [])])


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def percent(share: float) -> str:
    """A share as people read it: never "0.0 %" for something, never "100.0 %" for less than all."""
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.999 < share < 1:
        return ">99.9 %"
    return f"{100 * share:.1f} %"


_WIDTH, _ROW, _TOP, _LEFT, _SPAN, _BAR = 960, 50, 84, 152, 380, 26
_COUNT, _REASON = _LEFT + _SPAN + 84, _LEFT + _SPAN + 108
_ROOM = 48  # characters of a note: what fits beside the bars
_STYLE = """
  svg { --paper: #ffffff; --ink: #1f2328; --soft: #656d76; --line: #d8dee4; --kept: #2563c9; --flow: #dbe7fb;
        --gone: #c2571a; --wash: #fdeee4; color-scheme: light dark; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0d1117; --ink: #e6edf3; --soft: #8d96a0; --line: #30363d; --kept: #5b9bf5; --flow: #1a2b47;
          --gone: #f0925a; --wash: #3a2417; } }
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
         font-variant-numeric: tabular-nums; fill: var(--ink); font-size: 13px; }
  .title { font-size: 18px; font-weight: 650; } .step { font-size: 14px; font-weight: 600; }
  .soft { fill: var(--soft); font-size: 12px; } .gone { fill: var(--gone); font-weight: 600; }
  .end { text-anchor: end; } .count { font-weight: 600; font-size: 14px; }
"""


def svg(funnel: Funnel, title: str) -> str:
    """A bar per step, as long as the rows that came: solid for what went on, hatched for what left."""
    rows = _rows(funnel)
    most = max([came for *_, came, _, _ in rows] or [1]) or 1
    height = _TOP + _ROW * len(rows) + 44
    out = [_head(height, title, _summary(rows))]
    for index, (step, node, stage, came, went, note) in enumerate(rows):
        y = _TOP + index * _ROW
        kept, all_ = round(went / most * _SPAN, 1), round(came / most * _SPAN, 1)
        if went < came:
            all_ = max(all_, kept + 3)
        after = rows[index + 1][2] if index + 1 < len(rows) else None
        if after is not None and after.rows_in == went:  # else the next bar is another branch
            below = round(rows[index + 1][3] / most * _SPAN, 1)
            points = f"{_LEFT},{y + _BAR} {_LEFT + kept},{y + _BAR} {_LEFT + below},{y + _ROW} {_LEFT},{y + _ROW}"
            out.append(f'<polygon points="{points}" fill="var(--flow)"/>')
        out.append(f'<text class="step end" x="{_LEFT - 16}" y="{y + 12}">{escape(step)}</text>')
        out.append(f'<text class="soft end" x="{_LEFT - 16}" y="{y + 27}">{escape(node)}</text>')
        if went < came:
            out.append(f'<rect x="{_LEFT}" y="{y}" width="{all_}" height="{_BAR}" rx="3" fill="url(#left)"/>')
        out.append(f'<rect x="{_LEFT}" y="{y}" width="{kept}" height="{_BAR}" rx="3" fill="var(--kept)"/>')
        out.append(f'<text class="count end" x="{_COUNT}" y="{y + 18}">{went:,}</text>')
        if stage is not None and stage.left:
            share = f"{stage.left:,} left, {percent(stage.share_left)}"
            out.append(f'<text class="gone" x="{_REASON}" y="{y + 11}">{escape(share)}</text>')
            out.append(f'<text class="soft" x="{_REASON}" y="{y + 27}">{escape(note)}</text>')
        else:
            out.append(f'<text class="soft" x="{_REASON}" y="{y + 18}">{escape(note)}</text>')
    out.append(_legend(height))
    return "\n".join([*out, "</svg>", ""])


def _rows(funnel: Funnel) -> list[tuple[str, str, Stage | None, int, int, str]]:
    """(step, node, stage, rows that came, rows that went on, note) of each bar."""
    rows: list[tuple[str, str, Stage | None, int, int, str]] = []
    if funnel.arrived:
        total = sum(funnel.arrived.values())
        rows.append(("arrived", "bronze", None, total, total, _short(_ranked(funnel.arrived), [])))
    for stage in _shown(funnel):
        counts = _ranked(stage.reasons) or _ranked(stage.notes)[:2]
        note = _short(
            [(name.replace("_", " "), n) for name, n in counts], [f"{stage.added:,} added"] if stage.added else []
        )
        rows.append((stage.step, stage.node, stage, stage.rows_in + stage.added, stage.rows_out, note or "all went on"))
    return rows


def _short(ranked: list[tuple[str, int]], ends: list[str]) -> str:
    """As many counts as fit, largest first, how many more there are, and then `ends`."""
    for count in range(len(ranked), -1, -1):
        shown = [f"{name} {n:,}" for name, n in ranked[:count]]
        more = [f"{len(ranked) - count} others"] if count < len(ranked) else []
        if len(line := " · ".join([*shown, *more, *ends])) <= _ROOM or count == 0:
            return line
    return ""


def _summary(rows: list[tuple[str, str, Stage | None, int, int, str]]) -> str:
    if not rows:
        return "No step has run yet."
    silver = [row for row in rows if row[1].startswith("silver.")] or rows
    counts = f"{rows[0][3]:,} rows came, {silver[-1][4]:,} records went on"
    return f"{counts}; every row that left has a reason and its evidence"


def _head(height: int, title: str, summary: str) -> str:
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"
 width="{_WIDTH}" height="{height}" role="img" aria-labelledby="t d">
<title id="t">{escape(title)}</title>
<desc id="d">{escape(summary)}</desc>
<style>{_STYLE}</style>
<defs><pattern id="left" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="6" height="6" fill="var(--wash)"/><rect width="2.5" height="6" fill="var(--gone)"/></pattern></defs>
<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="10" fill="var(--paper)" stroke="var(--line)"/>
<text class="title" x="28" y="36">{escape(title)}</text>
<text class="soft" x="28" y="57">{escape(summary)}</text>"""


def _legend(height: int) -> str:
    y = height - 24
    return (
        f'<rect x="{_LEFT}" y="{y - 10}" width="22" height="12" rx="2" fill="var(--kept)"/>'
        f'<text class="soft" x="{_LEFT + 30}" y="{y}">went on</text>'
        f'<rect x="{_LEFT + 98}" y="{y - 10}" width="22" height="12" rx="2" fill="url(#left)"/>'
        f'<text class="soft" x="{_LEFT + 128}" y="{y}">left, kept as rejects with reason and evidence</text>'
    )
