"""Timelines: what each device did when, over all rounds of a run, side by side with a scroll bar below.

With few bars each has its value as a tooltip. With many, all bars of a part are one path of relative moves in tenths of
a pixel, about ten bytes each, so that 100 devices × 200 rounds × five parts stay near one megabyte.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from python_server.report.charts.frame import EMPTY, colour, legend, shortened

__all__ = ["Segment", "timeline"]

_FEW = 1200
_HEAD, _FOOT = 22, 8


class Segment(NamedTuple):
    """A bar from ``start`` to ``end`` on the time axis; ``part`` names its colour, ``words`` its tooltip."""

    start: float
    end: float
    part: str
    words: str = ""


def timeline(
    lanes: Mapping[str, Sequence[Segment]],
    *,
    title: str,
    parts_order: Sequence[str],
    marks: Sequence[tuple[float, str]],
    end: float,
    width: int,
) -> str:
    """Draw one lane a name with its bars.

    Parameters
    ----------
    lanes
        Bars by name, each lane's in order of time; what is no time is not drawn.
    title
        For screen readers.
    parts_order
        The parts, in the order of their colours.
    marks
        Where a vertical line stands, and the words at its top.
    end
        Where the axis ends; it begins at 0.
    width
        Of the picture in pixels; the page scrolls where that is more than fits.

    Returns
    -------
    str
        A block with names that stay and a picture that scrolls, or a sentence where there is nothing to draw.
    """
    if not math.isfinite(end):
        return EMPTY
    lanes = {name: [bar for bar in bars if 0 <= bar.start <= bar.end < math.inf] for name, bars in lanes.items()}
    count = sum(map(len, lanes.values()))
    if not count or end <= 0:
        return EMPTY
    lane = 20 if len(lanes) <= 30 else 12
    small = "" if lane == 20 else " small"
    height = _HEAD + lane * len(lanes) + _FOOT
    scale = 10 * width / end
    names = "".join(
        f'<text class="name{small}" x="0" y="{_HEAD + lane * row + lane - 5}">{escape(shortened(name, 22))}'
        f"<title>{escape(name)}</title></text>"
        for row, name in enumerate(lanes)
    )
    names_wide = 8 + (8 if not small else 6) * max(len(shortened(name, 22)) for name in lanes)
    draw = _bars if count <= _FEW else _paths
    body = _marks(marks, scale, height, width) + draw(list(lanes.values()), parts_order, scale, lane)
    used = {segment.part for segments in lanes.values() for segment in segments}
    keys = [(colour(number), part) for number, part in enumerate(parts_order) if part in used]
    wide = " wide" if width > 1100 else ""
    label = escape(f"{title}: {len(lanes)} lanes, {count} bars, {len(marks)} marks.", quote=True)
    return (
        f'{legend(keys)}<div class="strip{wide}"><svg class="fixed" width="{names_wide}" height="{height}" '
        f'aria-hidden="true">{names}</svg><div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<svg class="fixed" width="{width}" height="{height}" viewBox="0 0 {10 * width} {10 * height}" role="img" '
        f'aria-label="{label}">{body}</svg></div></div>'
    )


def _marks(marks: Sequence[tuple[float, str]], scale: float, height: int, width: int) -> str:
    every = max(1, -(-len(marks) * 70 // max(1, width)))
    lines = "".join(f"M{round(at * scale)} 150V{10 * height}" for at, _ in marks)
    words = "".join(
        f'<text class="tick tenth" x="{round(at * scale) + 30}" y="140">{escape(text)}</text>'
        for at, text in marks[::every]
    )
    return f'<path class="mark" d="{lines}"/>{words}'


def _bars(lanes: Sequence[Sequence[Segment]], parts: Sequence[str], scale: float, lane: int) -> str:
    out = []
    for row, segments in enumerate(lanes):
        y = 10 * (_HEAD + lane * row + 2)
        for bar in segments:
            x, wide = round(bar.start * scale), max(5, round((bar.end - bar.start) * scale))
            out.append(
                f'<rect class="seg {colour(parts.index(bar.part))}" x="{x}" y="{y}" width="{wide}" '
                f'height="{10 * (lane - 4)}"><title>{escape(bar.words or bar.part)}</title></rect>'
            )
    return "".join(out)


def _paths(lanes: Sequence[Sequence[Segment]], parts: Sequence[str], scale: float, lane: int) -> str:
    paths: dict[str, list[str]] = {part: [] for part in parts}
    for row, segments in enumerate(lanes):
        y = 10 * (_HEAD + lane * row) + 5 * lane
        at: dict[str, int] = {}
        for start, end, part, _ in segments:
            x, stop = round(start * scale), round(end * scale)
            if stop > x:
                path = paths[part]
                path.append(f"m{x - at[part]} 0h{stop - x}" if part in at else f"M{x} {y}h{stop - x}")
                at[part] = stop
    return "".join(
        f'<path class="cell {colour(number)}" stroke-width="{10 * (lane - 3)}" d="{"".join(paths[part])}"/>'
        for number, part in enumerate(parts)
        if paths[part]
    )
