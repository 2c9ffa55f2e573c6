"""Lines over a common axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Optional

from python_server.report.charts.frame import (
    BOTTOM,
    COLOURS,
    EMPTY,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    colour,
    nice_ticks,
    svg,
    x_title,
    y_axis,
)

__all__ = ["Series", "line_chart"]

_MAX_MARKERS = 60

Series = Mapping[str, Sequence[tuple[float, Optional[float]]]]


def line_chart(
    series: Series,
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_range: Optional[tuple[float, float]] = None,
    form: Callable[[float], str] = "{:.4g}".format,
    height: int = 260,
) -> str:
    """Draw lines.

    Parameters
    ----------
    series
        Points ``(x, y)`` by name; a gap where y is None or not finite.
    title
        For screen readers, which get each line's first, last, lowest and highest value as well.
    x_label, y_label
        Of the axes, with units.
    y_range
        Fixed range; None takes the values' own.
    form
        Writes a value in a tooltip.
    height
        Of the picture, in CSS pixels at full width.

    Returns
    -------
    str
        An ``<svg>`` element, or a sentence where there is nothing to draw.
    """
    kept = {name: [(x, y) for x, y in points if math.isfinite(x)] for name, points in series.items()}
    finite = [(x, y) for points in kept.values() for x, y in points if y is not None and math.isfinite(y)]
    if not finite:
        return EMPTY
    xs = [x for x, _ in finite]
    ys = [y for _, y in finite]
    y_ticks = nice_ticks(*(y_range or (min(ys), max(ys))))
    x_low, x_high = min(xs), max(xs)
    x_high = x_high if x_high > x_low else x_low + 1
    whole = all(float(x).is_integer() for x in xs)
    x_ticks = [t for t in nice_ticks(x_low, x_high, 8) if x_low <= t <= x_high and (not whole or t.is_integer())]
    bottom = height - BOTTOM

    def px(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return bottom - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - TOP)

    parts = [y_axis(y_ticks, py, y_label, bottom)]
    for tick in x_ticks:
        parts.append(f'<text class="tick" x="{px(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(x_title(x_label, height))
    for number, (name, points) in enumerate(kept.items()):
        classes = colour(number)
        for stretch in _stretches(points):
            path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in stretch)
            parts.append(f'<polyline class="line {classes}" points="{path}"/>')
            if len(points) <= _MAX_MARKERS:
                for x, y in stretch:
                    label = escape(f"{name}, {x_label} {x:g}: {form(y)}")
                    at = f'cx="{px(x):.1f}" cy="{py(y):.1f}" r="3"'
                    parts.append(f'<circle class="dot {classes}" {at}><title>{label}</title></circle>')
    keys = [(colour(number), name) for number, name in enumerate(kept)]
    return svg(parts, height, f"{title}. {_in_words(kept, form)}", keys)


def _stretches(points: Sequence[tuple[float, Optional[float]]]) -> list[list[tuple[float, float]]]:
    """Split a line where a value is missing."""
    out: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None or not math.isfinite(y):
            out.append([])
        else:
            out[-1].append((x, y))
    return [stretch for stretch in out if stretch]


def _in_words(series: Series, form: Callable[[float], str]) -> str:
    told = []
    for name, points in list(series.items())[:COLOURS]:
        ys = [y for _, y in points if y is not None and math.isfinite(y)]
        if ys:
            ends = f"from {form(ys[0])} to {form(ys[-1])}"
            told.append(f"{name}: {ends}, lowest {form(min(ys))}, highest {form(max(ys))}")
    more = f"; and {len(series) - COLOURS} more" if len(series) > COLOURS else ""
    return "; ".join(told) + more + "."
