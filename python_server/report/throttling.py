"""Devices that get slower as a run goes on, and whether heat is the likely reason.

A device's speed is its training steps per second, over the rounds in which it was asked for the same part of the model
as most often. The last third of these rounds is held against the first: slower by a tenth or more is worth telling;
with a temperature that rose by five kelvin or more, heat is the likely cause. It is a sign, not a proof: another
program on the device looks the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Optional

from python_server.run_rows import TEMPERATURE, DeviceRoundRow, MeasurementRow

__all__ = ["SLOWER", "WARMER_K", "Pace", "paces"]

SLOWER = 0.10
WARMER_K = 5.0
_FEWEST = 6


@dataclass(frozen=True)
class Pace:
    """How one device's speed and temperature went.

    Attributes
    ----------
    steps_per_s
        Training steps a second by round.
    temperature_c
        At the end of training by round, as the device tells it.
    early, late
        Median speed in the first and the last third of its rounds; None with fewer than six.
    early_c, late_c
        The same of the temperature.
    verdict
        In words; empty for a device that kept its pace.
    """

    device: str
    steps_per_s: dict[int, float]
    temperature_c: dict[int, float]
    early: Optional[float]
    late: Optional[float]
    early_c: Optional[float]
    late_c: Optional[float]
    verdict: str

    @property
    def change(self) -> Optional[float]:
        """Relative change of speed: -0.2 is a fifth slower."""
        return self.late / self.early - 1 if self.early and self.late is not None else None


def paces(
    device_rounds: Iterable[DeviceRoundRow], measurements: Iterable[MeasurementRow], names: Mapping[str, str]
) -> list[Pace]:
    """Return the pace of every device that trained, those first that lost most.

    Parameters
    ----------
    device_rounds, measurements
        Of the run; of the measurements only temperatures are read.
    names
        Names of devices by id.
    """
    rows: dict[str, list[DeviceRoundRow]] = {}
    for row in device_rounds:
        if row.outcome in ("ok", "partial") and row.steps and row.train_s:
            rows.setdefault(row.device, []).append(row)
    heat: dict[str, dict[int, float]] = {}
    for measured in measurements:
        if measured.quantity == TEMPERATURE and measured.info.get("at") == "end":
            heat.setdefault(measured.device, {})[measured.round] = measured.value
    found = [_pace(names.get(device, device), each, heat.get(device, {})) for device, each in rows.items()]
    return sorted(found, key=lambda pace: (pace.change if pace.change is not None else 0.0, pace.device))


def _pace(name: str, rows: Sequence[DeviceRoundRow], heat: dict[int, float]) -> Pace:
    usual = Counter(_asked(row) for row in rows).most_common(1)[0][0]
    speeds = {row.round: (row.steps or 0) / (row.train_s or 1.0) for row in rows if _asked(row) == usual}
    early, late = _ends(speeds)
    early_c, late_c = _ends(heat)
    return Pace(name, speeds, heat, early, late, early_c, late_c, _verdict(early, late, early_c, late_c))


def _asked(row: DeviceRoundRow) -> tuple[str, str]:
    return str(row.plan.get("submodel", "")), str(row.plan.get("cut", ""))


def _ends(by_round: Mapping[int, float]) -> tuple[Optional[float], Optional[float]]:
    values = [value for _, value in sorted(by_round.items())]
    if len(values) < _FEWEST:
        return None, None
    third = len(values) // 3
    return median(values[:third]), median(values[-third:])


def _verdict(early: Optional[float], late: Optional[float], early_c: Optional[float], late_c: Optional[float]) -> str:
    if not early or late is None or late / early > 1 - SLOWER:
        return ""
    if early_c is None or late_c is None:
        return "slower; its temperature is not known"
    if late_c - early_c >= WARMER_K:
        return "slower and warmer: throttled by heat, most likely"
    return "slower, but not warmer: another cause"
