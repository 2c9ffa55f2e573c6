"""Cells of rows and columns in a few classes: every device in every round, in a picture that stays small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Optional

from python_server.report.charts.frame import BOTTOM, EMPTY, RIGHT, TOP, WIDTH, nice_ticks, shortened, svg, x_title

__all__ = ["cells"]

_NAMED = 60


def cells(
    rows: Mapping[str, Sequence[Optional[int]]],
    *,
    title: str,
    x_label: str,
    classes: Sequence[tuple[str, str]],
    first: int = 1,
    width: int = WIDTH,
) -> str:
    """Draw one cell a row and column, coloured by its class.

    All cells of a class are one path, in which neighbours of a row are one stroke: 20,000 cells take 0.2 MB.

    Parameters
    ----------
    rows
        Class of each column by row, as an index into ``classes``; None leaves the cell empty.
    title
        For screen readers.
    x_label
        What the columns are.
    classes
        CSS class and name of each class.
    first
        Number of the first column.
    width
        Of the picture in CSS pixels, where there is room.

    Returns
    -------
    str
        An ``<svg>`` element with its legend, or a sentence where there is nothing to draw.
    """
    columns = max((len(each) for each in rows.values()), default=0)
    if not columns:
        return EMPTY
    step = 18 if len(rows) <= 30 else 9
    small = "" if step == 18 else " small"
    left = min(240, 24 + (7 if not small else 6) * max(len(shortened(name)) for name in rows))
    bottom = TOP + step * len(rows)
    wide = (width - left - RIGHT) / columns
    paths: list[list[str]] = [[] for _ in classes]
    out = []
    for row, (name, values) in enumerate(rows.items()):
        y = TOP + step * row
        out.append(
            f'<text class="name{small}" x="{left - 8}" y="{y + step / 2 + (4 if not small else 3):g}" '
            f'text-anchor="end">{escape(shortened(name))}<title>{escape(name)}</title></text>'
        )
        column = 0
        for value, run in groupby(values):
            length = len(list(run))
            if value is not None:
                paths[value].append(f"M{left + column * wide:.1f} {y + step / 2:g}h{length * wide:.1f}")
            column += length
    for (name, _), path in zip(classes, paths):
        if path:
            out.append(f'<path class="cell {name}" stroke-width="{step - 1}" d="{"".join(path)}"/>')
    for tick in nice_ticks(first, first + columns - 1, 8):
        if first <= tick < first + columns and tick.is_integer():
            x = left + (tick - first + 0.5) * wide
            out.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    out.append(x_title(x_label, bottom + BOTTOM, width))
    counts = [sum(value == number for values in rows.values() for value in values) for number in range(len(classes))]
    told = ", ".join(f"{count} {name}" for (_, name), count in zip(classes, counts) if count)
    used = [key for key, path in zip(classes, paths) if path]
    return svg(out, bottom + BOTTOM, f"{title}: {len(rows)} rows of {columns} columns; {told}.", used, width)
