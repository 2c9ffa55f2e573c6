from __future__ import annotations

from typing import Optional

import pytest

from python_server.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0 s"),
        (0.0123, "12.3 ms"),
        (0.5, "0.50 s"),
        (119.0, "119.00 s"),
        (180.0, "3.0 min"),
        (9000.0, "2.5 h"),
    ],
)
def test_seconds(value: Optional[float], text: str) -> None:
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (12.0, "12 B"), (1500.0, "1.5 kB"), (2.18e6, "2.18 MB"), (4.32e10, "43.2 GB")]
)
def test_bytes(value: Optional[float], text: str) -> None:
    assert words.bytes_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.775, "0.775 J"), (-1500.0, "-1.50 kJ"), (31_000.0, "31.00 kJ")]
)
def test_joules(value: Optional[float], text: str) -> None:
    assert words.joules(value) == text


@pytest.mark.parametrize(
    ("most", "quantity", "unit"),
    [
        (0.0, "s", "seconds"),
        (170.0, "s", "seconds"),
        (200.0, "s", "minutes"),
        (1e6, "s", "days"),
        (5e3, "J", "kilojoules"),
        (4e9, "B", "gigabytes"),
    ],
)
def test_axes_have_a_unit_that_suits(most: float, quantity: str, unit: str) -> None:
    assert words.unit_for(most, quantity)[1] == unit
