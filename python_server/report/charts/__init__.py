"""Charts as inline SVG that follow the page's light or dark colours and print well.

They carry no script, no font and no address; the page shows the same numbers in a table for those who do not see the
picture. Colours come from the page's CSS: classes ``c0`` … ``c7`` for series and parts, ``h0`` … ``h7`` for cells.
Every function is pure: figures in, text out.
"""

from python_server.report.charts.bars import stacked_bars
from python_server.report.charts.cells import cells
from python_server.report.charts.frame import nice_ticks
from python_server.report.charts.lines import Series, line_chart
from python_server.report.charts.timeline import Segment, timeline

__all__ = ["Segment", "Series", "cells", "line_chart", "nice_ticks", "stacked_bars", "timeline"]
