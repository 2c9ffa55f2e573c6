"""The charts of a dashboard: the report's own, of what is known so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from python_server.report.charts import line_chart, stacked_bars
from python_server.run_rows import ENERGY_PHASES, Json

__all__ = ["MOST_BARS", "draw_energy", "draw_rounds"]

MOST_BARS = 24
"""Devices in the chart of joules: those that used most; the table beside it has all."""

_Points = list[tuple[float, Optional[float]]]


def draw_rounds(rounds: Sequence[Json]) -> dict[str, str]:
    """Return the charts of accuracy, loss and time by round, as SVG."""
    accuracy = _lines(rounds, {"server's test data": "accuracy", "clients' own data": "client_accuracy"})
    loss = _lines(rounds, {"server's test data": "loss", "clients' own data": "client_loss", "training": "train_loss"})
    trained = [row for row in rounds if row["round"] > 0]
    parts = {"train phase": "train_phase_s", "aggregate": "aggregate_s", "evaluate": "evaluate_s", "all": "wall_s"}
    return {
        "accuracy": line_chart(
            accuracy, title=_title("Accuracy", accuracy), x_label="round", y_label="accuracy", y_range=(0.0, 1.0)
        ),
        "loss": line_chart(loss, title=_title("Loss", loss), x_label="round", y_label="cross-entropy loss"),
        "time": line_chart(
            times := _lines(trained, parts), title=_title("Seconds", times), x_label="round", y_label="seconds"
        ),
    }


def draw_energy(devices: Sequence[Json]) -> str:
    """Return the chart of joules by device and phase, as SVG."""
    told = [device for device in devices if device["energy"] and device["energy"]["gross_j"] > 0]
    most = sorted(told, key=lambda device: device["energy"]["gross_j"], reverse=True)[:MOST_BARS]
    names = [device["name"] for device in most]
    rows = {
        device["name"] if names.count(device["name"]) == 1 else f"{device['name']} {device['device']}": device[
            "energy"
        ]["phases"]
        for device in most
    }
    return stacked_bars(
        rows,
        title=f"Joules so far by device and phase, of {len(most)} devices; the table below has the figures",
        x_label="joules, gross, so far",
        parts_order=ENERGY_PHASES,
    )


def _lines(rounds: Sequence[Json], columns: dict[str, str]) -> dict[str, _Points]:
    series: dict[str, _Points] = {
        name: [(float(row["round"]), row[column]) for row in rounds] for name, column in columns.items()
    }
    return {name: points for name, points in series.items() if any(y is not None for _, y in points)}


def _title(what: str, series: dict[str, _Points]) -> str:
    """Return what a screen reader says of the picture: what it shows, and where its lines stand now."""
    last = [
        f"{name} {next(f'{y:.4g} in round {x:g}' for x, y in reversed(points) if y is not None)}"
        for name, points in series.items()
    ]
    return f"{what} by round; the last: {', '.join(last)}" if last else f"{what} by round: no figures yet"
