from __future__ import annotations

from typing import Any

import pytest

from python_server.energy_figures import EnergyFigure
from python_server.report.predictions import FLEET, predictions
from python_server.run_rows import ENERGY, PREDICTED, DeviceRoundRow, MeasurementRow, RoundRow

ROUNDS = [RoundRow(n, 1, 0.0, wall, wall, 0.0, 0.0, 2, 2, 1, "", "") for n, wall in ((0, 1.0), (1, 10.0), (2, 14.0))]
ROWS = [
    DeviceRoundRow(
        n, d, d, "ok", sent_after_s=0.0, read_after_s=50.0, download_s=0.5, prepare_s=0.25, upload_s=0.25,
        train_s=read - 2.0, download_bytes=100, upload_bytes=50, peak_memory_bytes=m
    )
    for n, d, read, m in ((1, "a", 5.0, 7), (1, "b", 9.0, 9), (2, "a", 7.0, 8), (2, "b", 9.0, 5))
]  # fmt: skip
ENERGIES = [
    EnergyFigure(n, d, phase, joules, None, "measured", "meter")
    for n in (1, 2)
    for d, phase, joules in (("a", "train", 10.0), ("a", "upload", 2.0), ("b", "train", 20.0))
]


def _foretold(quantity: str, value: float, device: str = "", number: int = 0, **info: Any) -> MeasurementRow:
    return MeasurementRow(number, device, quantity, value, "s", "calibrated", PREDICTED, info)


def _observed(*rows: MeasurementRow) -> list[tuple[str, str, float, Any, int]]:
    found = predictions(rows, ROUNDS, ROWS, ENERGIES, {"a": "pi", "b": "pixel"})
    return [(each.device, each.quantity, each.predicted, each.observed, each.rounds) for each in found]


def test_observed_stands_beside_predicted() -> None:
    assert _observed(
        _foretold("round time", 6.0, "a"), _foretold("round time", 11.0), _foretold("bytes", 280.0),
        _foretold("memory", 9.0), _foretold("memory", 9.0, "a"),
    ) == [
        (FLEET, "round time", 11.0, 12.0, 2),
        (FLEET, "bytes", 280.0, 300.0, 2),
        (FLEET, "memory", 9.0, 8.5, 2),
        ("pi", "round time", 6.0, 5.0, 2),
        ("pi", "memory", 9.0, 7.5, 2),
    ]  # fmt: skip


def test_energies_are_compared_by_phase_or_in_all() -> None:
    assert _observed(
        _foretold(ENERGY, 11.0, "a", phase="train"), _foretold(ENERGY, 11.0, "a"), _foretold(ENERGY, 40.0),
        _foretold(ENERGY, 40.0, phase="train"), _foretold(ENERGY, 1.0, "a", phase="wait"),
    ) == [
        (FLEET, "energy", 40.0, 32.0, 2),
        (FLEET, "energy, train", 40.0, 30.0, 2),
        ("pi", "energy, train", 11.0, 10.0, 2),
        ("pi", "energy", 11.0, 12.0, 2),
        ("pi", "energy, wait", 1.0, None, 0),
    ]  # fmt: skip


def test_a_prediction_of_one_round_is_held_against_that_round() -> None:
    assert _observed(_foretold("round time", 15.0, number=2)) == [(FLEET, "round time", 15.0, 14.0, 1)]


def test_off_is_a_share_of_what_was_observed() -> None:
    (each,) = predictions([_foretold("round time", 9.0)], ROUNDS, ROWS, [], {})
    assert each.off == pytest.approx(-0.25)
    (memory,) = predictions([_foretold("memory", 9.0)], ROUNDS, ROWS, [], {})
    assert (memory.observed, memory.off) == (8.5, None)  # what a step needs, and what the whole client took
    (unknown,) = predictions([_foretold("cost", 9.0)], ROUNDS, ROWS, [], {})
    assert (unknown.observed, unknown.off) == (None, None)


def test_measured_figures_are_no_predictions() -> None:
    assert (
        predictions([MeasurementRow(1, "a", ENERGY, 3.0, "J", "meter", "measured")], ROUNDS, ROWS, ENERGIES, {}) == []
    )
