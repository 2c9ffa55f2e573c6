"""Where a network's parameters, multiply-accumulates and activations sit, and where it can be cut: SVG and HTML.

Both are files of their own that load nothing, and follow the reader's light or dark colours.
"""

from __future__ import annotations

from html import escape
from typing import Any, Optional

from model_export.inspect import QUANTITIES, groups, render
from python_server.report.standalone import STYLE

__all__ = ["bundle_page", "bundle_svg"]

_MOST_ROWS = 60
_NAMES, _COLUMN, _GAP, _ROW, _HEAD = 300, 200, 24, 18, 58

_PAGE_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1b1f24; --rule: #d9dee3; }
@media (prefers-color-scheme: dark) { :root { --page: #12161b; --ink: #e6eaee; --rule: #2c343d; } }
body { margin: 0 auto; max-width: 1080px; padding: 20px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
body > svg { width: 100%; height: auto; }
table { border-collapse: collapse; }
th, td { text-align: right; padding: 4px 12px; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
pre { overflow-x: auto; font-size: 12px; }
"""


def bundle_svg(description: dict[str, Any]) -> str:
    """Draw what `model_export.describe` returns.

    One row is a layer, or a few that follow each other in a network of many; each column shows the layers' shares of
    one quantity, on a scale of its own. A dashed line is a cut, with what training from there on costs. Of a slice, the
    channels that it has of each layer are drawn below.

    Returns
    -------
    str
        The text of an ``.svg`` file.
    """
    rows = groups(description, _MOST_ROWS)
    totals = {key: description["totals"][key] for key in QUANTITIES}
    costs = {part["cut"]: _cost(part) for part in description["parts"] if part["cut"]}
    columns = [_NAMES + i * (_COLUMN + _GAP) for i in range(len(QUANTITIES))]
    width = _NAMES + len(QUANTITIES) * (_COLUMN + _GAP)
    parts = []
    for i, (key, word) in enumerate(QUANTITIES.items()):
        total = f"{totals[key] / 1e6:.2f} MB" if key == "activation_bytes" else f"{totals[key]:,}"
        parts.append(f'<text class="head" x="{columns[i]}" y="46">{word}, {total}</text>')
    y = _HEAD
    for row in rows:
        if row["cut"]:
            parts.append(f'<line class="cut" x1="8" y1="{y + 18}" x2="{width - _GAP}" y2="{y + 18}"/>')
            text = escape(f"cut {row['cut']}: {costs[row['cut']]}")
            parts.append(f'<text class="cutname" x="8" y="{y + 13}">{text}</text>')
            y += _ROW + 4
        label = escape(row["name"] if len(row["name"]) <= 40 else row["name"][:19] + "…" + row["name"][-20:])
        parts.append(f'<text class="name" x="8" y="{y + 13}">{label}<title>{escape(row["name"])}</title></text>')
        for i, (key, word) in enumerate(QUANTITIES.items()):
            longest = max(r[key] for r in rows)
            if row[key]:
                length = max(1.0, (_COLUMN - 48) * row[key] / longest)
                tip = escape(f"{row['name']}, {word}: {row[key]:,}")
                parts.append(
                    f'<rect class="bar c{i}" x="{columns[i]}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 5}">'
                    f"<title>{tip}</title></rect>"
                    f'<text class="tick" x="{columns[i] + length + 5:.1f}" y="{y + 13}">'
                    f"{row[key] / totals[key]:.1%}</text>"
                )
        y += _ROW
    strips, y = _strips(description["part_of"], y, width)
    parts += strips
    title = escape(f"{description['name']}: where parameters, MACs and activations sit")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 12}" role="img"><title>{title}</title>'
        f'<style>{STYLE}</style><text class="head" x="8" y="20">{title}</text>{"".join(parts)}</svg>\n'
    )


def _strips(part: Optional[dict[str, Any]], y: int, width: int) -> tuple[list[str], int]:
    """Draw which channels a slice has of each layer of the whole network; return where the picture goes on, too."""
    if part is None:
        return [], y
    parts = [f'<text class="head" x="8" y="{y + 26}">channels, part of bundle {part["bundle"][:12]}</text>']
    y += 36
    room = width - _NAMES - _GAP - 90
    widest = max((_channels(layer) for layer in part["layers"]), default=1)
    for layer in part["layers"]:
        step = room / widest
        of = f" of {layer['of']}" if layer["of"] else ""
        parts.append(f'<text class="name" x="8" y="{y + 13}">{escape(layer["name"])}</text>')
        parts.append(
            f'<rect class="bar c4" opacity="0.3" x="{_NAMES}" y="{y + 2}" width="{_channels(layer) * step:.1f}" '
            f'height="{_ROW - 5}"/>'
        )
        parts += [
            f'<rect class="bar c0" x="{_NAMES + start * step:.1f}" y="{y + 2}" width="{(stop - start) * step:.1f}" '
            f'height="{_ROW - 5}"><title>{escape(layer["name"])}: {start} to {stop - 1}</title></rect>'
            for start, stop in layer["runs"]
        ]
        end = _NAMES + _channels(layer) * step + 5
        parts.append(f'<text class="tick" x="{end:.1f}" y="{y + 13}">{layer["kept"]}{of}</text>')
        y += _ROW
    return parts, y


def _channels(layer: dict[str, Any]) -> int:
    """Return how many channels the whole network's layer has, as far as that is known."""
    return int(layer["of"] or layer["runs"][-1][1])


def bundle_page(description: dict[str, Any]) -> str:
    """Return one HTML page: the picture, the costs of each part, and all that `render` says."""
    cells = "".join(
        f"<tr><td>{escape(part['signature'])}</td><td>{part['trained_parameters']:,}</td>"
        f"<td>{part['activation_bytes'] / 1e6:.2f} MB</td><td>{_memory(part)}</td><td>{_time(part)}</td></tr>"
        for part in description["parts"]
    )
    where = description["measured"]
    note = (
        f"Measured at export with {where['runtime']}, {where['threads']} thread(s), on {where['machine']}."
        if where
        else "Memory and time were not measured at export."
    )
    name = escape(description["name"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_PAGE_STYLE}</style></head>'
        f"<body><h1>{name}</h1>{bundle_svg(description)}<h2>A training step</h2><table><tr><th>signature</th>"
        f"<th>trained parameters</th><th>activations</th><th>memory</th><th>time</th></tr>{cells}</table>"
        f"<p>{escape(note)}</p><h2>All of it</h2><pre>{escape(render(description))}</pre></body></html>\n"
    )


def _memory(part: dict[str, Any]) -> str:
    return "–" if part["memory_bytes"] is None else f"{part['memory_bytes'] / 1e6:.1f} MB"


def _time(part: dict[str, Any]) -> str:
    return "–" if part["step_ms"] is None else f"{part['step_ms']:.3g} ms"


def _cost(part: dict[str, Any]) -> str:
    text = f"{part['trained_parameters']:,} parameters trained"
    return text if part["step_ms"] is None else f"{text}, {_memory(part)}, {_time(part)} a step"
