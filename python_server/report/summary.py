"""A run in one line, as the tables of the on-device paper have it (Mathur et al. 2021, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from python_server.energy_figures import EnergyFigure
from python_server.report.energy import EnergyFigures, sum_up
from python_server.run_rows import DeviceRoundRow, DeviceRow, RoundRow

__all__ = ["Summary", "summarize"]


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


def summarize(
    rounds: Sequence[RoundRow],
    rows: Sequence[DeviceRoundRow],
    devices: Sequence[DeviceRow],
    counting: Sequence[EnergyFigure],
) -> Summary:
    """Return a run's summary.

    Parameters
    ----------
    rounds, devices
        All of the run.
    rows
        Device rounds of devices that were asked.
    counting
        The joules that count.
    """
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
