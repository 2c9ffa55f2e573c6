"""Charts as files of their own."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from python_server.report.charts import line_chart
from python_server.report.standalone import standalone

SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_becomes_a_file_with_title_legend_and_colours() -> None:
    chart = line_chart({"a < b": [(0, 1.0), (1, 2.0)], "c": [(0, 2.0)]}, title="t", x_label="x", y_label="y")
    root = ElementTree.fromstring(standalone(chart, "losses & more"))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[0] == "losses & more"
    assert {"a < b", "c"} <= set(texts)
    assert len(list(root.iter(f"{SVG}polyline"))) == 2
    (style,) = root.iter(f"{SVG}style")
    assert "prefers-color-scheme: dark" in (style.text or "")
    assert "url(" not in (style.text or "")


def test_no_figures_no_file() -> None:
    with pytest.raises(ValueError, match="losses: there are no figures to draw"):
        standalone(line_chart({}, title="t", x_label="x", y_label="y"), "losses")
