"""The figures of a run, gathered once: what the HTML page, the CSV files and the JSON file all show."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Optional

from python_server.energy_figures import EnergyFigure, FigureKey, counted, figures_of
from python_server.report.devices import DeviceFigures, device_figures
from python_server.report.energy import (
    EnergyLine,
    ExcludedEnergy,
    by_device_and_phase,
    excluded,
)
from python_server.report.predictions import Prediction, predictions
from python_server.report.stragglers import Straggler, stragglers
from python_server.report.summary import Summary, summarize
from python_server.report.throttling import Pace, paces
from python_server.run_reader import RunReader
from python_server.run_rows import (
    ACCURACY_OF,
    DeviceRoundRow,
    DeviceRow,
    EventRow,
    MeasurementRow,
    RoundRow,
)

__all__ = ["RunFigures", "Spent", "gather"]


@dataclass(frozen=True)
class Spent:
    """What the run had cost in all by the end of a round.

    Attributes
    ----------
    time_s
        Wall time of its rounds.
    energy_j
        Joules that count, of all devices and phases; None where the run has none at all.
    bytes_moved
        Bodies of messages, both ways.
    """

    round: int
    time_s: float
    energy_j: Optional[float]
    bytes_moved: int


@dataclass(frozen=True)
class RunFigures:
    """All that a report shows.

    Attributes
    ----------
    rounds, device_rounds, events
        As the run holds them; ``names`` are the devices' by id.
    spent
        What had been spent by each round.
    energy_by_round
        Joules that count, of all phases, by device's name and round.
    architectures
        Accuracy by architecture and round, where there are several.
    energy, excluded_energy
        By device and phase; what counts in no sum, with the reason.
    """

    run_id: str
    status: str
    meta: dict[str, str]
    experiment: str
    summary: Summary
    rounds: list[RoundRow]
    device_rounds: list[DeviceRoundRow]
    names: dict[str, str]
    devices: list[DeviceFigures]
    events: list[EventRow]
    architectures: dict[str, dict[int, float]]
    spent: list[Spent]
    energy_by_round: dict[str, dict[int, float]]
    energy: list[EnergyLine]
    excluded_energy: list[ExcludedEnergy]
    stragglers: list[Straggler]
    paces: list[Pace]
    predictions: list[Prediction]

    def by_round(self) -> dict[int, list[DeviceRoundRow]]:
        """Return the device rounds of each round."""
        return _by_round(self.device_rounds)


def gather(run: RunReader) -> RunFigures:
    """Read a run's figures.

    Parameters
    ----------
    run
        A run; it may still be going on.

    Raises
    ------
    python_server.errors.StoreError
        The run cannot be read.
    """
    with _no_collection(), run.snapshot():
        rounds, rows, devices, measured = run.rounds(), run.device_rounds(), run.devices(), run.measurements()
        every = figures_of(measured, rows)
        return _figures(run, rounds, rows, devices, measured, every)


def _figures(
    run: RunReader,
    rounds: list[RoundRow],
    rows: list[DeviceRoundRow],
    devices: Sequence[DeviceRow],
    measured: Sequence[MeasurementRow],
    every: Sequence[EnergyFigure],
) -> RunFigures:
    counting: dict[FigureKey, EnergyFigure] = counted(every)
    names = _distinct_names(devices)
    asked = [row for row in rows if row.outcome != "skipped"]
    by_round = _by_round(rows)
    of_device: dict[str, list[DeviceRoundRow]] = {}
    for row in rows:
        of_device.setdefault(row.device, []).append(row)
    energy = by_device_and_phase(counting.values(), names, Counter(row.device for row in asked))
    training = {line.device: line.energy for line in energy if line.phase == "train"}
    architectures: dict[str, dict[int, float]] = {}
    for each in measured:
        if each.quantity.startswith(ACCURACY_OF):
            architectures.setdefault(each.quantity.removeprefix(ACCURACY_OF), {})[each.round] = each.value
    return RunFigures(
        run_id=run.run_id,
        status=run.status,
        meta=run.meta,
        experiment=_experiment(run),
        summary=summarize(rounds, asked, devices, list(counting.values())),
        rounds=rounds,
        device_rounds=rows,
        names=names,
        devices=[
            device_figures(
                device, names[device.device], of_device.get(device.device, []), training.get(names[device.device])
            )
            for device in devices
        ],
        events=run.events(),
        architectures=architectures,
        spent=_spent(rounds, rows, counting.values()),
        energy_by_round=_energy_by_round(counting.values(), names),
        energy=energy,
        excluded_energy=excluded(every, counting, names),
        stragglers=stragglers(rounds, by_round, names),
        paces=paces(rows, measured, names),
        predictions=predictions(measured, rounds, rows, counting.values(), names),
    )


def _experiment(run: RunReader) -> str:
    """Return the experiment file; a run that lost it still has figures."""
    try:
        return run.experiment_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let the garbage collector rest: hundreds of thousands of rows, none of them garbage, would slow it and us."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _by_round(rows: Sequence[DeviceRoundRow]) -> dict[int, list[DeviceRoundRow]]:
    found: dict[int, list[DeviceRoundRow]] = {}
    for row in rows:
        found.setdefault(row.round, []).append(row)
    return found


def _distinct_names(devices: Sequence[DeviceRow]) -> dict[str, str]:
    """Return names by id; two devices of one name get the end of their id added."""
    counts = Counter(device.name for device in devices)
    return {
        device.device: device.name if counts[device.name] == 1 else f"{device.name} ({device.device[-6:]})"
        for device in devices
    }


def _energy_by_round(counting: Iterable[EnergyFigure], names: Mapping[str, str]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for figure in counting:
        each = found.setdefault(names.get(figure.device, figure.device), {})
        each[figure.round] = each.get(figure.round, 0.0) + figure.gross_j
    return found


def _spent(rounds: Sequence[RoundRow], rows: Sequence[DeviceRoundRow], counting: Iterable[EnergyFigure]) -> list[Spent]:
    joules: dict[int, float] = {}
    for figure in counting:
        joules[figure.round] = joules.get(figure.round, 0.0) + figure.gross_j
    moved: Counter[int] = Counter()
    for row in rows:
        moved[row.round] += (row.download_bytes or 0) + (row.upload_bytes or 0)
    out: list[Spent] = []
    time_s, energy_j, total = 0.0, 0.0, 0
    for each in rounds:
        time_s += each.wall_s if each.round > 0 else 0.0
        energy_j += joules.get(each.round, 0.0)
        total += moved[each.round]
        out.append(Spent(each.round, time_s, energy_j if joules else None, total))
    return out
