"""Where joules come from: a counter of the processor where it can be read, else a labelled model.

A figure without a source does not exist: every `Energy` says how it was obtained.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Callable, Optional, Protocol

from device_profiles import PowerModel, load_profile

__all__ = ["Energy", "EnergyMeter", "ModelMeter", "RaplMeter", "find_meter"]

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Energy:
    """Joules over an interval.

    Attributes
    ----------
    gross_j
        Of the whole device (or of the part that the source covers) over the interval.
    idle_j
        What the device would have used anyway; ``gross_j - idle_j`` is the cost of the work. None: not known.
    method
        ``measured`` (a counter or sensor) or ``modelled``.
    source
        Which counter, or the model and its numbers, in words.
    """

    gross_j: float
    idle_j: Optional[float]
    method: str
    source: str


class EnergyMeter(Protocol):
    """Measures one interval at a time: ``with meter: work()``, then `energy`."""

    def __enter__(self) -> EnergyMeter:
        """Begin an interval."""

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End it."""

    @property
    def energy(self) -> Optional[Energy]:
        """Joules of the last interval; None when the source failed during it."""


class RaplMeter:
    """Intel and AMD running average power limit counters: all packages of the machine, in microjoules.

    They count the whole processor, so other programs' work is in the figure.

    Raises
    ------
    OSError
        There is no counter, or it cannot be read (most systems let only root).
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones = sorted(
            zone
            for zone in root.glob("intel-rapl:*")
            if zone.name.count(":") == 1 and (zone / "name").read_text().strip().startswith("package")
        )
        if not self._zones:
            raise OSError(f"{root}: no RAPL package counters")
        self._range_uj = [int((zone / "max_energy_range_uj").read_text()) for zone in self._zones]
        self._start = self._read()
        self._energy: Optional[Energy] = None

    def _read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self._zones]

    def __enter__(self) -> RaplMeter:
        self._energy = None
        self._start = self._read()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            end = self._read()
        except (OSError, ValueError):
            return
        # A counter wraps at its range; intervals are far shorter than the minutes it takes to wrap twice.
        used = [(b - a) % r if b < a else b - a for a, b, r in zip(self._start, end, self._range_uj)]
        self._energy = Energy(sum(used) / 1e6, None, "measured", f"RAPL, {len(used)} package(s), whole processor")

    @property
    def energy(self) -> Optional[Energy]:
        """Joules of the last interval; None when the counter could not be read."""
        return self._energy


class ModelMeter:
    """Idle power over wall time plus power per busy core over this process's CPU time."""

    def __init__(
        self,
        power: PowerModel,
        *,
        wall: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._power, self._wall, self._cpu = power, wall, cpu
        self._start = (0.0, 0.0)
        self._energy: Optional[Energy] = None

    def __enter__(self) -> ModelMeter:
        self._energy = None
        self._start = (self._wall(), self._cpu())
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        wall_s, cpu_s = self._wall() - self._start[0], self._cpu() - self._start[1]
        power = self._power
        source = f"CPU time × {power.busy_w_per_core} W per core + {power.idle_w} W idle ({power.source})"
        self._energy = Energy(power.energy_j(wall_s, cpu_s), power.idle_w * wall_s, "modelled", source)

    @property
    def energy(self) -> Optional[Energy]:
        """Joules of the last interval."""
        return self._energy


def find_meter(profile: str = "generic", *, root: Path = POWERCAP) -> EnergyMeter:
    """Return the best meter that this machine offers: a counter if one can be read, else the profile's model.

    Raises
    ------
    device_profiles.ProfileError
        There is no such profile.
    """
    power = load_profile(profile).power
    if os.access(root, os.R_OK):
        try:
            return RaplMeter(root)
        except (OSError, ValueError):
            pass
    return ModelMeter(power)
