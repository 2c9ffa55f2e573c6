"""Accuracy against what it cost: rounds, time, joules and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from python_server.report.figures import RunFigures
from python_server.report.words import unit_for

__all__ = ["AXES", "accuracy_series", "axes", "present"]

AXES = ("round", "time", "energy", "bytes")

_Points = list[tuple[float, Optional[float]]]


def accuracy_series(figures: RunFigures) -> dict[str, _Points]:
    """Return accuracy by round: on the server's data, on the clients' own, and of each architecture."""
    return {
        "server's test data": [(float(r.round), r.accuracy) for r in figures.rounds],
        "clients' own data": [(float(r.round), r.client_accuracy) for r in figures.rounds],
        **{name: [(float(n), y) for n, y in sorted(each.items())] for name, each in figures.architectures.items()},
    }


def axes(runs: Sequence[RunFigures]) -> dict[str, tuple[str, list[dict[float, float]]]]:
    """Return where each round lies on each axis of `AXES`, in units that suit all runs.

    Returns
    -------
    By axis its label and, for each run, the place by round. Empty places where a run has no joules.
    """
    spent = [run.spent for run in runs]
    time_in, time_unit = unit_for(max((s.time_s for each in spent for s in each), default=0.0), "s")
    energy_in, energy_unit = unit_for(max((s.energy_j or 0.0 for each in spent for s in each), default=0.0), "J")
    bytes_in, bytes_unit = unit_for(max((s.bytes_moved for each in spent for s in each), default=0.0), "B")
    return {
        "round": ("round", [{float(s.round): float(s.round) for s in each} for each in spent]),
        "time": (f"{time_unit} of rounds", [{float(s.round): s.time_s / time_in for s in each} for each in spent]),
        "energy": (
            f"{energy_unit} of all devices",
            [{float(s.round): s.energy_j / energy_in for s in each if s.energy_j is not None} for each in spent],
        ),
        "bytes": (f"{bytes_unit} moved", [{float(s.round): s.bytes_moved / bytes_in for s in each} for each in spent]),
    }


def present(series: Mapping[str, _Points]) -> dict[str, _Points]:
    """Return the series that have a figure."""
    return {name: points for name, points in series.items() if any(y is not None for _, y in points)}
