from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from python_server.report.charts import Segment, cells, line_chart, nice_ticks, stacked_bars, timeline

HOSTILE = "<script>alert(1)</script>"
CLASSES = (("h0", "fast"), ("h3", "slow"))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.1, 0.7), (-3, 12345), (5, 5), (0, 0), (1e-9, 2e-9)])
def test_ticks_span_the_values(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high * (1 - 1e-9)
    assert 2 <= len(ticks) <= 12


def test_lines_break_at_missing_values() -> None:
    points = [(0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, math.nan), (4.0, 1.5)]
    svg = line_chart({"a": points}, title="t", x_label="x", y_label="y")
    assert svg.count("<polyline") == 2
    assert svg.count("<circle") == 3


def test_bars_are_as_long_as_their_values() -> None:
    svg = stacked_bars({"a": {"p": 1.0, "q": 3.0}}, title="t", x_label="x", parts_order=("p", "q"))
    widths = [float(width) for width in re.findall(r'class="bar c\d" .*? width="([\d.]+)"', svg)]
    assert widths[1] / widths[0] == pytest.approx(3, rel=0.01)


def test_more_lines_than_colours_are_dashed() -> None:
    svg = line_chart({str(n): [(0.0, n), (1.0, n)] for n in range(10)}, title="t", x_label="x", y_label="y")
    assert svg.count('class="line c1"') == 1
    assert svg.count('class="line c1 d1"') == 1


def test_a_line_chart_tells_its_values_to_those_who_do_not_see_it() -> None:
    svg = line_chart({"test": [(0.0, 0.5), (1.0, 0.25), (2.0, 0.75)]}, title="Loss", x_label="x", y_label="y")
    assert 'aria-label="Loss. test: from 0.5 to 0.75, lowest 0.25, highest 0.75."' in svg


def _lanes(count: int) -> dict[str, list[Segment]]:
    return {
        f"device {n}": [
            bar for k in range(10) for bar in (Segment(k, k + 0.25, "wait", "w"), Segment(k + 0.25, k + 0.75, "train"))
        ]
        for n in range(count)
    }


def _timeline(lanes: dict[str, list[Segment]]) -> str:
    marks = [(float(k), str(k + 1)) for k in range(10)]
    return timeline(lanes, title="t", parts_order=("wait", "train"), marks=marks, end=10.0, width=1000)


def test_few_bars_have_tooltips() -> None:
    svg = _timeline(_lanes(2))
    assert svg.count("<title>w</title>") == 20
    assert svg.count("<title>train</title>") == 20
    widths = [int(each) for each in re.findall(r'class="seg c1" .*? width="(\d+)"', svg)]
    assert widths == [500] * 20  # half a second of ten on 10,000 tenths of a pixel


def test_many_bars_are_one_path_a_part_and_lie_where_they_should() -> None:
    svg = _timeline(_lanes(80))
    assert svg.count("<rect") == 0
    waiting, training = re.findall(r'class="cell c\d" stroke-width="\d+" d="([^"]+)"', svg)
    assert len(training) < 80 * 10 * 12
    x, places = 0, []
    for kind, dx, length in re.findall(r"([Mm])(\d+) \d+h(\d+)", training):
        x = int(dx) if kind == "M" else x + int(dx)
        places.append((x, int(length)))
        x += int(length)
    assert places == [(k * 1000 + 250, 500) for k in range(10)] * 80
    assert waiting.count("h250") == 800


def test_cells_are_strokes_of_equal_neighbours() -> None:
    svg = cells({"a": [0, 0, 1, None, 0], "b": [1] * 5}, title="t", x_label="round", classes=CLASSES)
    fast, slow = re.findall(r'class="cell h\d" stroke-width="\d+" d="([^"]+)"', svg)
    assert (fast.count("h"), slow.count("h")) == (2, 2)
    lengths = [float(each) for each in re.findall(r"h([\d.]+)", fast + slow)]
    assert lengths == pytest.approx([2 * lengths[1], lengths[1], lengths[1], 5 * lengths[1]], rel=0.01)
    assert "t: 2 rows of 5 columns; 3 fast, 6 slow." in svg


def test_names_are_escaped_and_pictures_are_well_formed() -> None:
    bars = stacked_bars({HOSTILE: {HOSTILE: 1.0}}, title=HOSTILE, x_label=HOSTILE, parts_order=(HOSTILE,))
    lines = line_chart({HOSTILE: [(0.0, 1.0)]}, title=HOSTILE, x_label=HOSTILE, y_label=HOSTILE)
    lane = {HOSTILE: [Segment(0.0, 1.0, HOSTILE, HOSTILE)]}
    bands = timeline(lane, title=HOSTILE, parts_order=(HOSTILE,), marks=[(0.0, HOSTILE)], end=1.0, width=100)
    grid = cells({HOSTILE: [0]}, title=HOSTILE, x_label=HOSTILE, classes=[("h0", HOSTILE)])
    for chart in (bars, lines, bands, grid):
        assert "<script" not in chart
        ElementTree.fromstring(f"<div>{chart}</div>")


def test_nothing_to_draw_is_a_sentence() -> None:
    empty = '<p class="empty">No figures.</p>'
    assert timeline({"a": []}, title="t", parts_order=(), marks=[], end=1.0, width=100) == empty
    assert cells({}, title="t", x_label="x", classes=CLASSES) == empty
    assert stacked_bars({"a": {"p": 0.0}}, title="t", x_label="x", parts_order=("p",)) == empty
    assert line_chart({"a": [(0.0, None)]}, title="t", x_label="x", y_label="y") == empty
