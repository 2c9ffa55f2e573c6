from __future__ import annotations

from typing import Any

import pytest

from python_server.energy_figures import EnergyFigure, counted
from python_server.report.energy import by_device_and_phase, excluded, sum_up

NAMES = {"d1": "pixel", "d2": "pi"}


def _figure(
    number: int = 1, device: str = "d1", phase: str = "train", gross_j: float = 10.0, **more: Any
) -> EnergyFigure:
    values = {"idle_j": 4.0, "method": "measured", "source": "INA3221", **more}
    return EnergyFigure(number, device, phase, gross_j, **values)


def test_a_sum_says_how_it_was_obtained() -> None:
    figures = [
        _figure(1, coverage=0.9, uncertainty_j=0.5, covers="board", flags=("gap",)),
        _figure(2, coverage=1.0, uncertainty_j=0.7, covers="board", flags=("gap",)),
    ]
    energy = sum_up(figures, asked=3)
    assert energy is not None
    assert (energy.gross_j, energy.above_idle_j) == (20.0, 12.0)
    assert (energy.covered, energy.asked) == (2, 3)
    assert energy.coverage == pytest.approx(0.95)
    # One sensor's error is the same in every round: uncertainties add up, they do not average out.
    assert energy.uncertainty_j == pytest.approx(1.2)
    assert (energy.covers, energy.flags) == (("board",), {"gap": 2})


def test_what_one_figure_does_not_know_the_sum_does_not_know() -> None:
    energy = sum_up([_figure(1, uncertainty_j=0.5), _figure(2, idle_j=None)], asked=2)
    assert energy is not None
    assert (energy.above_idle_j, energy.uncertainty_j, energy.coverage) == (None, None, None)


def test_no_figure_is_not_zero() -> None:
    assert sum_up([], asked=4) is None


def test_device_rounds_with_several_phases_count_once() -> None:
    energy = sum_up([_figure(1), _figure(1, phase="upload")], asked=1)
    assert energy is not None
    assert energy.covered == 1


def test_lines_are_by_device_and_phase() -> None:
    figures = [_figure(1, "d2"), _figure(1, phase="upload", gross_j=1.0), _figure(1), _figure(2)]
    lines = by_device_and_phase(figures, NAMES, {"d1": 2, "d2": 1})
    assert [(line.device, line.phase, line.energy.gross_j) for line in lines] == [
        ("pixel", "train", 20.0), ("pixel", "upload", 1.0), ("pi", "train", 10.0),
    ]  # fmt: skip


def test_excluded_figures_keep_their_reason_and_say_whether_another_counts() -> None:
    figures = [
        _figure(1, excluded=True, flags=("charging",)),
        _figure(1, method="modelled", gross_j=8.0),
        _figure(2, excluded=True, flags=("charging",)),
        _figure(3, excluded=True),
    ]
    charging, untold = excluded(figures, counted(figures), NAMES)
    assert (charging.device, charging.phase, charging.reason) == ("pixel", "train", "charging")
    assert (charging.rounds, charging.gross_j, charging.replaced) == ((1, 2), 20.0, 1)
    assert untold.reason == "no reason was given"
