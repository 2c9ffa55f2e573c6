"""The figures of a run, gathered once: what the HTML page, the CSV files and the JSON file all show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from python_server.run_reader import RunReader
from python_server.run_rows import OUTCOMES, DeviceRoundRow, DeviceRow, EventRow, RoundRow

__all__ = ["PHASES", "DeviceFigures", "EnergyFigures", "RunFigures", "Summary", "gather"]

PHASES = ("download", "prepare", "train", "upload", "wait")
"""How a device's round divides: ``wait`` is the rest, polling and the server's own work."""


@dataclass(frozen=True)
class EnergyFigures:
    """Joules, and how they were obtained; ``covered`` of ``asked`` device rounds have a figure."""

    gross_j: float
    above_idle_j: Optional[float]
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    covered: int
    asked: int


@dataclass(frozen=True)
class DeviceFigures:
    """One device over the whole run.

    Attributes
    ----------
    seconds
        Means per round for each of `PHASES`.
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
    energy
        Of all devices together.
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
    bytes_moved: int
    partial: int


@dataclass(frozen=True)
class RunFigures:
    """All that a report shows; ``architectures``: accuracy by architecture and round, where there are several."""

    run_id: str
    status: str
    meta: dict[str, str]
    experiment: str
    summary: Summary
    rounds: list[RoundRow]
    device_rounds: list[DeviceRoundRow]
    devices: list[DeviceFigures]
    events: list[EventRow]
    architectures: dict[str, dict[int, float]]


def gather(run: RunReader) -> RunFigures:
    """Read a run's figures.

    Parameters
    ----------
    run
        A run; it may still be going on.
    """
    rounds, rows, devices = run.rounds(), run.device_rounds(), run.devices()
    asked = [row for row in rows if row.outcome != "skipped"]
    return RunFigures(
        run_id=run.run_id,
        status=run.status,
        meta=run.meta,
        experiment=run.experiment_text(),
        summary=_summary(rounds, asked, devices),
        rounds=rounds,
        device_rounds=rows,
        devices=[_device(device, [row for row in rows if row.device == device.device]) for device in devices],
        events=run.events(),
        architectures=run.architectures(),
    )


def phase_seconds(row: DeviceRoundRow) -> dict[str, float]:
    """Return how long each of `PHASES` took in one device's round; what was not reported counts as waiting."""
    seconds = {
        "download": row.download_s or 0.0,
        "prepare": row.prepare_s or 0.0,
        "train": row.train_s or 0.0,
        "upload": row.upload_s or 0.0,
    }
    end = row.read_after_s if row.read_after_s is not None else row.replied_after_s
    total = 0.0 if end is None else end - (row.sent_after_s or 0.0)
    return {**seconds, "wait": max(0.0, total - sum(seconds.values()))}


def _summary(rounds: Sequence[RoundRow], rows: Sequence[DeviceRoundRow], devices: Sequence[DeviceRow]) -> Summary:
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
        energy=_energy(rows),
        bytes_moved=sum((row.download_bytes or 0) + (row.upload_bytes or 0) for row in rows),
        partial=sum(row.outcome == "partial" for row in rows),
    )


def _device(device: DeviceRow, rows: Sequence[DeviceRoundRow]) -> DeviceFigures:
    asked = [row for row in rows if row.outcome != "skipped"]
    answered = [row for row in rows if row.outcome in ("ok", "partial")]
    per_round = [phase_seconds(row) for row in answered]
    counted = Counter(row.outcome for row in rows)
    return DeviceFigures(
        name=device.name,
        processor=device.processor,
        examples=next((row.num_examples for row in reversed(answered) if row.num_examples is not None), None),
        seconds={phase: sum(s[phase] for s in per_round) / len(per_round) if per_round else 0.0 for phase in PHASES},
        energy=_energy(asked),
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


def _energy(rows: Sequence[DeviceRoundRow]) -> Optional[EnergyFigures]:
    known = [row for row in rows if row.energy_j is not None]
    if not known:
        return None
    idle = [row.energy_idle_j for row in known if row.energy_idle_j is not None]
    gross = sum(row.energy_j or 0.0 for row in known)
    return EnergyFigures(
        gross_j=gross,
        above_idle_j=gross - sum(idle) if len(idle) == len(known) else None,
        methods=tuple(sorted({row.energy_method for row in known})),
        sources=tuple(sorted({row.energy_source for row in known})),
        covered=len(known),
        asked=len(rows),
    )
