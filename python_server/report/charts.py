"""Charts as inline SVG: lines and stacked bars that follow the page's light or dark colours and print well.

They carry no script, no font and no address; every point has its value as a tooltip, and the page shows the same
numbers in a table for those who do not see the picture. Colours come from the page's CSS (classes ``c0`` … ``c7``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Optional

__all__ = ["line_chart", "nice_ticks", "stacked_bars"]

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 64, 16, 14, 40
_COLOURS = 8
_MAX_MARKERS = 60

Series = Mapping[str, Sequence[tuple[float, Optional[float]]]]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about ``count`` round numbers that span ``low`` to ``high``."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"cannot draw an axis from {low} to {high}")
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


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
        For screen readers.
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
    kept = {name: [(x, y) for x, y in points] for name, points in series.items()}
    finite = [(x, y) for points in kept.values() for x, y in points if y is not None and math.isfinite(y)]
    if not finite:
        return '<p class="empty">No figures.</p>'
    xs = [x for x, _ in finite]
    ys = [y for _, y in finite]
    y_ticks = nice_ticks(*(y_range or (min(ys), max(ys))))
    x_low, x_high = min(xs), max(xs)
    x_high = x_high if x_high > x_low else x_low + 1
    whole = all(float(x).is_integer() for x in xs)
    x_ticks = [t for t in nice_ticks(x_low, x_high, 8) if x_low <= t <= x_high and (not whole or t.is_integer())]
    bottom = height - _BOTTOM

    def px(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

    def py(y: float) -> float:
        return bottom - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - _TOP)

    parts = [_y_axis(y_ticks, py, y_label, bottom)]
    for tick in x_ticks:
        parts.append(f'<text class="tick" x="{px(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(_x_label(x_label, height))
    for number, (name, points) in enumerate(kept.items()):
        colour = f"c{number % _COLOURS}"
        for stretch in _stretches(points):
            path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in stretch)
            parts.append(f'<polyline class="line {colour}" points="{path}"/>')
            if len(points) <= _MAX_MARKERS:
                for x, y in stretch:
                    label = escape(f"{name}, {x_label} {x:g}: {form(y)}")
                    at = f'cx="{px(x):.1f}" cy="{py(y):.1f}" r="3"'
                    parts.append(f'<circle class="dot {colour}" {at}><title>{label}</title></circle>')
    return _svg(parts, height, title, list(kept) if len(kept) > 1 else [])


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
        Value of each part by row; missing parts count as zero.
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
    parts_order = [part for part in parts_order if any(values.get(part) for values in rows.values())]
    totals = {name: sum(values.get(part, 0.0) for part in parts_order) for name, values in rows.items()}
    if not totals or max(totals.values()) <= 0:
        return '<p class="empty">No figures.</p>'
    left = min(240, 24 + 7 * max(len(_shortened(name)) for name in rows))
    ticks = nice_ticks(0.0, max(totals.values()))
    bar, gap = 18, 8
    bottom = _TOP + len(rows) * (bar + gap)
    height = bottom + _BOTTOM
    scale = (_WIDTH - left - _RIGHT - 40) / ticks[-1]
    out = []
    for tick in ticks:
        x = left + tick * scale
        out.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        out.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    out.append(_x_label(x_label, height))
    for row, (name, values) in enumerate(rows.items()):
        y = _TOP + row * (bar + gap)
        out.append(
            f'<text class="name" x="{left - 8}" y="{y + bar - 5}" text-anchor="end">{escape(_shortened(name))}'
            f"<title>{escape(name)}</title></text>"
        )
        x = float(left)
        for number, part in enumerate(parts_order):
            width = values.get(part, 0.0) * scale
            label = escape(f"{name}, {part}: {form(values.get(part, 0.0))}")
            if width > 0:
                out.append(
                    f'<rect class="bar c{number % _COLOURS}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{bar}">'
                    f"<title>{label}</title></rect>"
                )
            x += width
        out.append(f'<text class="tick" x="{x + 6:.1f}" y="{y + bar - 5}">{escape(form(totals[name]))}</text>')
    return _svg(out, height, title, list(parts_order) if len(parts_order) > 1 else [])


def _y_axis(ticks: Sequence[float], py: Callable[[float], float], label: str, bottom: int) -> str:
    parts = []
    for tick in ticks:
        y = py(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (_TOP + bottom) / 2
    turned = f'transform="translate(14 {middle:.1f}) rotate(-90)" text-anchor="middle"'
    parts.append(f'<text class="label" {turned}>{escape(label)}</text>')
    return "".join(parts)


def _x_label(label: str, height: int) -> str:
    middle = (_WIDTH + _LEFT) / 2
    return f'<text class="label" x="{middle:.0f}" y="{height - 6}" text-anchor="middle">{escape(label)}</text>'


def _stretches(points: Sequence[tuple[float, Optional[float]]]) -> list[list[tuple[float, float]]]:
    """Split a line where a value is missing."""
    out: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None or not math.isfinite(y):
            out.append([])
        else:
            out[-1].append((x, y))
    return [stretch for stretch in out if stretch]


def _shortened(name: str, limit: int = 28) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _svg(parts: Sequence[str], height: int, title: str, legend: Sequence[str]) -> str:
    keys = "".join(
        f'<span><i class="key c{number % _COLOURS}"></i>{escape(name)}</span>' for number, name in enumerate(legend)
    )
    legend_html = f'<p class="legend">{keys}</p>' if legend else ""
    return (
        f'{legend_html}<div class="scroll"><svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg></div>'
    )
