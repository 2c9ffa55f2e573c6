"""A chart of the report as a file of its own, for documents and for people."""

from __future__ import annotations

import re
from html import escape

__all__ = ["STYLE", "standalone"]

# The report's colours (page.css), with the fonts that a file of its own has to name.
STYLE = """
svg { --page: #ffffff; --ink: #1b1f24; --soft: #5b6570; --rule: #d9dee3; --accent: #0b62c4; background: var(--page);
  --c0: #0b62c4; --c1: #d1570b; --c2: #12805c; --c3: #a03a99; --c4: #8a94a0; --c5: #8a6d00; --c6: #b3261e;
  --c7: #3b7d9a;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) { svg { --page: #12161b; --ink: #e6eaee; --soft: #9aa5b1; --rule: #2c343d;
  --accent: #6cb0ff; --c0: #6cb0ff; --c1: #ff9d5c; --c2: #56c9a0; --c3: #dd8bd6; --c4: #7d8894; --c5: #d9b84a;
  --c6: #ff8f86; --c7: #7cc4e0; } }
.grid { stroke: var(--rule); stroke-width: 1; }
.tick, .label, .name, .head { font-size: 13px; fill: var(--soft); }
.name, .head { fill: var(--ink); }
.head { font-weight: 600; }
.line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
.dot, .bar, .key { fill: currentColor; }
.cut { stroke: var(--accent); stroke-width: 1.5; stroke-dasharray: 5 4; }
.cutname { font-size: 13px; fill: var(--accent); }
""" + " ".join(f".c{i} {{ color: var(--c{i}); }}" for i in range(8))

_HEAD, _LEGEND_STEP = 48, 150
_SVG = re.compile(r'<svg viewBox="0 0 (\d+) (\d+)"[^>]*>(.*)</svg>', re.DOTALL)
_LEGEND = re.compile(r'<i class="key (c\d)"></i>([^<]*)</span>')


def standalone(chart: str, title: str) -> str:
    """Return a chart of `python_server.report.charts` as the text of an ``.svg`` file, with its title and legend.

    Raises
    ------
    ValueError
        There is no picture in ``chart``: the chart had no figures.
    """
    found = _SVG.search(chart)
    if found is None:
        raise ValueError(f"{title}: there are no figures to draw")
    width, height, content = int(found[1]), int(found[2]), found[3]
    keys = "".join(
        f'<rect class="key {colour}" x="{12 + i * _LEGEND_STEP}" y="28" width="12" height="12" rx="3"/>'
        f'<text class="name" x="{30 + i * _LEGEND_STEP}" y="39">{name}</text>'
        for i, (colour, name) in enumerate(_LEGEND.findall(chart))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + _HEAD}" role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f'<text class="head" x="12" y="18">{escape(title)}</text>{keys}'
        f'<g transform="translate(0 {_HEAD})">{content}</g></svg>\n'
    )
