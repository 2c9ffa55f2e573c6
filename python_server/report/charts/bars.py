"""Stacked horizontal bars, one a device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from python_server.report.charts.frame import (
    BOTTOM,
    EMPTY,
    RIGHT,
    TOP,
    WIDTH,
    colour,
    nice_ticks,
    shortened,
    svg,
    x_title,
)

__all__ = ["stacked_bars"]

_DENSE = 30
"""With more rows than this, bars get thin."""


def stacked_bars(
    rows: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    x_label: str,
    parts_order: Sequence[str],
    form: Callable[[float], str] = "{:.3g}".format,
) -> str:
    """Draw one horizontal bar a row, divided into parts.

    Parameters
    ----------
    rows
        Value of each part by row; parts that are missing, negative or no number are not drawn.
    title
        For screen readers.
    x_label
        Of the value axis, with units.
    parts_order
        The parts, from the axis outwards.
    form
        Writes a value in a tooltip.

    Returns
    -------
    str
        An ``<svg>`` element, or a sentence where there is nothing to draw.
    """
    rows = {name: {part: _length(value) for part, value in values.items()} for name, values in rows.items()}
    drawn = [
        (colour(number), part)
        for number, part in enumerate(parts_order)
        if any(values.get(part) for values in rows.values())
    ]
    totals = {name: sum(values.get(part, 0.0) for _, part in drawn) for name, values in rows.items()}
    if not totals or max(totals.values()) <= 0:
        return EMPTY
    bar, gap, small = (18, 8, "") if len(rows) <= _DENSE else (9, 2, " small")
    left = min(240, 24 + (7 if not small else 6) * max(len(shortened(name)) for name in rows))
    ticks = nice_ticks(0.0, max(totals.values()))
    bottom = TOP + len(rows) * (bar + gap)
    height = bottom + BOTTOM
    scale = (WIDTH - left - RIGHT - 40) / ticks[-1]
    out = []
    for tick in ticks:
        x = left + tick * scale
        out.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        out.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    out.append(x_title(x_label, height))
    for row, (name, values) in enumerate(rows.items()):
        y = TOP + row * (bar + gap)
        base = y + bar - (5 if not small else 1)
        out.append(
            f'<text class="name{small}" x="{left - 8}" y="{base}" text-anchor="end">{escape(shortened(name))}'
            f"<title>{escape(name)}</title></text>"
        )
        x = float(left)
        for classes, part in drawn:
            width = values.get(part, 0.0) * scale
            if width > 0:
                label = escape(f"{name}, {part}: {form(values.get(part, 0.0))}")
                out.append(
                    f'<rect class="bar {classes}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{bar}">'
                    f"<title>{label}</title></rect>"
                )
            x += width
        out.append(f'<text class="tick{small}" x="{x + 6:.1f}" y="{base}">{escape(form(totals[name]))}</text>')
    largest = max(totals, key=lambda name: totals[name])
    words = f"{title}: {len(rows)} bars, the longest {largest} with {form(totals[largest])}."
    return svg(out, height, words, drawn)


def _length(value: float) -> float:
    return value if math.isfinite(value) and value > 0 else 0.0
