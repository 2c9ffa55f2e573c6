from __future__ import annotations

from typing import Any, Optional

import pytest

from python_server.energy_figures import EnergyFigure, best, counted, figures_of
from python_server.run_rows import ENERGY, ENERGY_EXCLUDED, PREDICTED, DeviceRoundRow, MeasurementRow


def _row(joules: float, method: str, quantity: str = ENERGY, /, **info: Any) -> MeasurementRow:
    return MeasurementRow(1, "d", quantity, joules, "J", "a meter", method, {"phase": "train", **info})


def _old(joules: Optional[float], source: str = "counter") -> DeviceRoundRow:
    return DeviceRoundRow(1, "d", "pi", "ok", energy_j=joules, energy_source=source, energy_method="measured")


def test_one_figure_counts_by_where_it_comes_from() -> None:
    rows = [
        _row(5, "modelled"),
        _row(4, "battery"),
        _row(3, "measured"),
        _row(2, "rail", trace="trace.pb"),
        _row(1, "measured", trace="bench.csv"),
    ]
    for expected in (1.0, 2.0, 3.0, 4.0, 5.0):
        figures = figures_of(rows, [])
        assert [figure.gross_j for figure in counted(figures).values()] == [expected]
        del rows[-1]


def test_an_excluded_figure_leaves_the_next_best() -> None:
    figures = figures_of([_row(9, "measured", ENERGY_EXCLUDED, flags=["charging"]), _row(5, "modelled")], [])
    assert counted(figures)[1, "d", "train"].gross_j == 5
    assert [figure.flags for figure in figures if figure.excluded] == [("charging",)]
    assert best([figure for figure in figures if figure.excluded]) is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [({"coverage": 0.99}, {"coverage": 0.5}, 1.0), ({"coverage": 0.5}, {"coverage": 0.99}, 2.0), ({}, {}, 2.0)],
)
def test_of_two_alike_the_one_that_saw_more_counts_then_the_later(
    first: dict[str, Any], second: dict[str, Any], expected: float
) -> None:
    figure = best(figures_of([_row(1, "battery", **first), _row(2, "battery", **second)], []))
    assert figure is not None
    assert figure.gross_j == expected


def test_old_runs_have_their_energy_in_columns() -> None:
    (figure,) = figures_of([MeasurementRow(1, "d", "energy while training", 7, "J", "counter", "measured")], [_old(7)])
    assert (figure.key, figure.gross_j, figure.net_j, figure.method) == ((1, "d", "train"), 7, None, "measured")
    assert figures_of([], [_old(None), _old(7, source="")]) == []


def test_columns_do_not_bring_an_excluded_figure_back() -> None:
    assert counted(figures_of([_row(7, "measured", ENERGY_EXCLUDED)], [_old(7)])) == {}


def test_columns_stand_in_where_only_a_trace_told_otherwise() -> None:
    figures = figures_of([_row(6, "measured", ENERGY_EXCLUDED, trace="bench.csv")], [_old(7)])
    assert counted(figures)[1, "d", "train"].gross_j == 7


def test_predictions_and_other_quantities_are_no_energies() -> None:
    rows = [
        _row(1, PREDICTED),
        _row(1, "measured", "temperature"),
        MeasurementRow(0, "d", ENERGY, 1, "J", "plan", "measured"),
    ]
    assert figures_of(rows, []) == []


def test_all_of_a_row_arrives() -> None:
    info: dict[str, Any] = {
        "idle_j": 1.5,
        "covers": "board",
        "rate_hz": 10,
        "coverage": 0.9,
        "uncertainty_j": None,
        "flags": ["gap"],
    }
    assert figures_of([_row(4, "measured", **info)], []) == [
        EnergyFigure(1, "d", "train", 4, 1.5, "measured", "a meter", "board", 10, 0.9, None, ("gap",))
    ]
