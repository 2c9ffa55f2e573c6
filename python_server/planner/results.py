"""What a plan says: of each device, and of the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from python_server.run_rows import ENERGY_PHASES as PHASES

__all__ = ["PHASES", "Change", "DeviceForecast", "Forecast"]


@dataclass(frozen=True)
class Change:
    """Another setting to try in the place of the experiment's; None: as the experiment says.

    Attributes
    ----------
    epochs
        Local epochs E.
    clients
        Devices C in a round.
    cutoff_s
        Cutoff τ of every device's training; 0: none.
    """

    epochs: Optional[int] = None
    clients: Optional[int] = None
    cutoff_s: Optional[float] = None


@dataclass
class DeviceForecast:
    """One device: means over the rounds in which it is asked, unless said otherwise.

    Attributes
    ----------
    name
        Its name.
    examples
        Training samples.
    asked, late, cut_off, skipped
        Rounds of the experiment in which it is asked, does not answer before the deadline, is stopped by its cutoff,
        and is left out with a reason.
    reason
        The first reason why it is left out, or why it is given its plan.
    submodel, cut, epochs
        Of its last plan.
    steps, planned_steps
        In a round.
    download_s, prepare_s, train_s, upload_s, wait_s
        Of a round; ``wait_s`` until the next task.
    energy_j, energy_idle_j
        By phase, of a round; empty where no power is known.
    download_bytes, upload_bytes
        Of a round.
    memory_bytes, memory_available
        That a step needs, and all memory of the device; None: not known.
    battery_percent
        Of its capacity that the whole experiment drains; None: no battery is known.
    sources, remarks
        As in `PlannedDevice`.
    """

    name: str
    examples: int
    asked: int = 0
    late: int = 0
    cut_off: int = 0
    skipped: int = 0
    reason: str = ""
    submodel: str = ""
    cut: str = ""
    epochs: int = 0
    steps: float = 0.0
    planned_steps: float = 0.0
    download_s: float = 0.0
    prepare_s: float = 0.0
    train_s: float = 0.0
    upload_s: float = 0.0
    wait_s: float = 0.0
    energy_j: dict[str, float] = field(default_factory=dict)
    energy_idle_j: dict[str, float] = field(default_factory=dict)
    download_bytes: float = 0.0
    upload_bytes: float = 0.0
    memory_bytes: Optional[int] = None
    memory_available: Optional[int] = None
    battery_percent: Optional[float] = None
    sources: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = field(default_factory=tuple)

    @property
    def own_s(self) -> float:
        """Seconds of a round in which it works."""
        return self.download_s + self.prepare_s + self.train_s + self.upload_s


@dataclass(frozen=True)
class Forecast:
    """A fleet.

    Attributes
    ----------
    devices
        By name.
    rounds
        Of the experiment.
    worked_out
        Of these, rounds that were worked out one by one; the others are taken to be like them.
    round_s, shortest_s, longest_s
        Median, shortest and longest round.
    total_s
        All rounds, without the wait for devices before the first.
    energy_j
        Of all devices in all rounds, by phase; empty where no power is known.
    download_bytes, upload_bytes
        Of all devices in all rounds.
    local_epochs
        Passes through their data that all devices do together in all rounds, cut short ones in part.
    overhead
        What a round takes beside the devices, and where that comes from.
    """

    devices: Sequence[DeviceForecast]
    rounds: int
    worked_out: int
    round_s: float
    shortest_s: float
    longest_s: float
    total_s: float
    energy_j: Mapping[str, float]
    download_bytes: float
    upload_bytes: float
    local_epochs: float
    overhead: str
