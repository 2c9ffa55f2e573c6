"""The figures of a run, gathered once: what the HTML page, the CSV files and the JSON file all show."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Optional

from python_server.energy_figures import EnergyFigure, FigureKey, counted, figures_of
from python_server.report.energy import (
    EnergyFigures,
    EnergyLine,
    ExcludedEnergy,
    by_device_and_phase,
    excluded,
    sum_up,
)
from python_server.report.phases import PHASES, phase_seconds
from python_server.report.predictions import Prediction, predictions
from python_server.report.stragglers import Straggler, stragglers
from python_server.report.throttling import Pace, paces
from python_server.run_reader import RunReader
from python_server.run_rows import (
    ACCURACY_OF,
    OUTCOMES,
    DeviceRoundRow,
    DeviceRow,
    EventRow,
    MeasurementRow,
    RoundRow,
)

__all__ = ["PHASES", "DeviceFigures", "EnergyFigures", "RunFigures", "Spent", "Summary", "gather", "phase_seconds"]


@dataclass(frozen=True)
class DeviceFigures:
    """One device over the whole run.

    Attributes
    ----------
    name
        As it calls itself, with the end of its id where two devices have one name.
    seconds
        Means per round for each of `PHASES`.
    energy
        While training.
    parts
        Rounds by what it was asked to train, such as ``half from conv3``.
    reasons
        Why it was asked that, where a plan says it.
    """

    name: str
    processor: str
    examples: Optional[int]
    seconds: dict[str, float]
    energy: Optional[EnergyFigures]
    download_bytes: int
    upload_bytes: int
    outcomes: dict[str, int]
    examples_processed: int
    steps: int
    planned_steps: int
    peak_memory_bytes: Optional[int]
    parts: dict[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """One line of a table in the form of the on-device paper's Tables 2 and 3 (Mathur et al. 2021, section 5).

    Attributes
    ----------
    clients, local_epochs, rounds
        C, E and the number of rounds; E is None where devices were given different ones.
    processors
        Classes of processor that took part, joined.
    cutoffs_s
        Cutoff τ in seconds by processor; 0 stands for none, as in the paper's Table 3.
    accuracy, best_accuracy
        Of the global model on the server's test data, after the last round and at best.
    time_s
        Wall time of all rounds ("convergence time").
    energy, energy_all
        Of all devices together: while training, which is what the paper's tables tell, and in all phases that have one.
    """

    clients: int
    local_epochs: Optional[int]
    rounds: int
    processors: str
    cutoffs_s: dict[str, float]
    accuracy: Optional[float]
    best_accuracy: Optional[float]
    time_s: float
    energy: Optional[EnergyFigures]
    energy_all: Optional[EnergyFigures]
    bytes_moved: int
    partial: int


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
        summary=_summary(rounds, asked, devices, list(counting.values())),
        rounds=rounds,
        device_rounds=rows,
        names=names,
        devices=[
            _device(device, names[device.device], of_device.get(device.device, []), training.get(names[device.device]))
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


def _summary(
    rounds: Sequence[RoundRow],
    rows: Sequence[DeviceRoundRow],
    devices: Sequence[DeviceRow],
    counting: Sequence[EnergyFigure],
) -> Summary:
    trained = [row for row in rounds if row.round > 0]
    accuracies = [row.accuracy for row in trained if row.accuracy is not None]
    processor_of = {device.device: device.processor for device in devices}
    taking_part = {row.device for row in rows}
    epochs = {row.plan["epochs"] for row in rows if "epochs" in row.plan}
    cutoffs = {processor_of.get(row.device, ""): float(row.plan.get("cutoff_s", 0.0)) for row in rows}
    return Summary(
        clients=len(taking_part),
        local_epochs=int(epochs.pop()) if len(epochs) == 1 else None,
        rounds=len(trained),
        processors=", ".join(sorted({processor_of[device] for device in taking_part if device in processor_of})),
        cutoffs_s=cutoffs,
        accuracy=accuracies[-1] if accuracies else None,
        best_accuracy=max(accuracies, default=None),
        time_s=sum(row.wall_s for row in trained),
        energy=sum_up([figure for figure in counting if figure.phase == "train"], len(rows)),
        energy_all=sum_up(counting, len(rows)),
        bytes_moved=sum((row.download_bytes or 0) + (row.upload_bytes or 0) for row in rows),
        partial=sum(row.outcome == "partial" for row in rows),
    )


def _device(
    device: DeviceRow, name: str, rows: Sequence[DeviceRoundRow], energy: Optional[EnergyFigures]
) -> DeviceFigures:
    asked = [row for row in rows if row.outcome != "skipped"]
    answered = [row for row in rows if row.outcome in ("ok", "partial")]
    per_round = [phase_seconds(row) for row in answered]
    counted = Counter(row.outcome for row in rows)
    return DeviceFigures(
        name=name,
        processor=device.processor,
        examples=next((row.num_examples for row in reversed(answered) if row.num_examples is not None), None),
        seconds={phase: sum(s[phase] for s in per_round) / len(per_round) if per_round else 0.0 for phase in PHASES},
        energy=energy,
        download_bytes=sum(row.download_bytes or 0 for row in rows),
        upload_bytes=sum(row.upload_bytes or 0 for row in rows),
        outcomes={outcome: counted[outcome] for outcome in OUTCOMES if counted[outcome]},
        examples_processed=sum(row.examples_processed or 0 for row in rows),
        steps=sum(row.steps or 0 for row in rows),
        planned_steps=sum(row.planned_steps or 0 for row in rows),
        peak_memory_bytes=max((row.peak_memory_bytes for row in rows if row.peak_memory_bytes), default=None),
        parts=dict(Counter(_part(row) for row in asked)),
        reasons=tuple(dict.fromkeys(reason for row in rows if (reason := _reason(row)))),
        facts=device.facts,
    )


def _reason(row: DeviceRoundRow) -> str:
    """Return why a device was asked what it was, or was not asked."""
    return f"not asked: {row.reason}" if row.outcome == "skipped" else str(row.plan.get("reason", ""))


def _part(row: DeviceRoundRow) -> str:
    """Return in words what a device was asked to train."""
    submodel, cut = row.plan.get("submodel") or "whole", row.plan.get("cut")
    return f"{submodel} from {cut}" if cut else str(submodel)
