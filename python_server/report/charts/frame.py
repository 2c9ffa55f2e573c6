"""What all charts share: axes, names, legends, the SVG element and its words for those who do not see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

__all__ = [
    "BOTTOM",
    "COLOURS",
    "EMPTY",
    "LEFT",
    "RIGHT",
    "TOP",
    "WIDTH",
    "colour",
    "legend",
    "nice_ticks",
    "shortened",
    "svg",
    "x_title",
    "y_axis",
]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 720, 64, 16, 14, 40
COLOURS = 8
EMPTY = '<p class="empty">No figures.</p>'


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


def colour(number: int) -> str:
    """Return the CSS classes of series or part ``number``: eight colours, then the same ones dashed."""
    return f"c{number % COLOURS}" + (f" d{min(3, number // COLOURS)}" if number >= COLOURS else "")


def y_axis(ticks: Sequence[float], py: Callable[[float], float], label: str, bottom: int) -> str:
    """Return the vertical axis with its grid; ``py`` gives a value's place in pixels."""
    parts = []
    for tick in ticks:
        y = py(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (TOP + bottom) / 2
    turned = f'transform="translate(14 {middle:.1f}) rotate(-90)" text-anchor="middle"'
    parts.append(f'<text class="label" {turned}>{escape(label)}</text>')
    return "".join(parts)


def x_title(label: str, height: int, width: int = WIDTH) -> str:
    """Return the words below the horizontal axis."""
    middle = (width + LEFT) / 2
    return f'<text class="label" x="{middle:.0f}" y="{height - 6}" text-anchor="middle">{escape(label)}</text>'


def shortened(name: str, limit: int = 28) -> str:
    """Return a name that fits beside a row."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def legend(keys: Sequence[tuple[str, str]]) -> str:
    """Return a legend of CSS classes and names; empty where one name would be all."""
    if len(keys) < 2:
        return ""
    spans = "".join(f'<span><i class="key {classes}"></i>{escape(name)}</span>' for classes, name in keys)
    return f'<p class="legend">{spans}</p>'


def svg(parts: Sequence[str], height: int, words: str, keys: Sequence[tuple[str, str]], width: int = WIDTH) -> str:
    """Return the picture with its legend; ``words`` tell of it to those who do not see it."""
    return (
        f'{legend(keys)}<div class="scroll"><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(words, quote=True)}">{"".join(parts)}</svg></div>'
    )
