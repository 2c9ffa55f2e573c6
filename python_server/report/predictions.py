"""What the planner foretold beside what the run came to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from python_server.energy_figures import EnergyFigure
from python_server.run_rows import ENERGY, PREDICTED, DeviceRoundRow, MeasurementRow, RoundRow

__all__ = ["FLEET", "Prediction", "predictions"]

FLEET = "all devices"

_NOT_ALIKE = ("memory",)
"""Foretold is what a step needs, observed the peak of the whole client."""


@dataclass(frozen=True)
class Prediction:
    """A figure foretold and observed, both as means over the observed rounds.

    Attributes
    ----------
    device
        Name, or `FLEET`.
    quantity
        In words, with the phase of an energy.
    unit
        ``s``, ``J`` or ``B``.
    predicted, observed
        A round's figure; ``observed`` is None where the run tells nothing of it.
    rounds
        Over how many rounds ``observed`` is a mean.
    source
        What the prediction rests on, in the planner's words.
    """

    device: str
    quantity: str
    unit: str
    predicted: float
    observed: Optional[float]
    rounds: int
    source: str

    @property
    def off(self) -> Optional[float]:
        """How far the prediction was off, as a share of what was observed; None where the two are not alike."""
        return self.predicted / self.observed - 1 if self.observed and self.quantity not in _NOT_ALIKE else None


def predictions(
    measurements: Iterable[MeasurementRow],
    rounds: Sequence[RoundRow],
    device_rounds: Iterable[DeviceRoundRow],
    counting: Iterable[EnergyFigure],
    names: Mapping[str, str],
) -> list[Prediction]:
    """Return all that was foretold, the fleet first.

    Observed is: of the fleet, the length of rounds and the sums over devices; of a device, the seconds in which it
    works (all phases but waiting), the joules that count, the bytes both ways, and the client's peak memory. Only
    answers in time are compared.
    """
    groups: dict[tuple[str, str, str], list[MeasurementRow]] = {}
    for row in measurements:
        if row.method == PREDICTED:
            groups.setdefault((row.device, row.quantity, str(row.info.get("phase") or "")), []).append(row)
    if not groups:
        return []
    seen = _Observed(rounds, device_rounds, counting)
    found = []
    for (device, quantity, phase), rows in groups.items():
        told = {row.round: row.value for row in rows}
        by_round = seen.find(device, quantity, phase)
        paired = [(told.get(number, told.get(0)), value) for number, value in by_round.items()]
        both = [(foretold, value) for foretold, value in paired if foretold is not None]
        found.append(
            Prediction(
                device=names.get(device, device) if device else FLEET,
                quantity=f"{quantity}, {phase}" if phase else quantity,
                unit=rows[0].unit,
                predicted=_mean([foretold for foretold, _ in both] or list(told.values())),
                observed=_mean([value for _, value in both]) if both else None,
                rounds=len(both),
                source=rows[0].source,
            )
        )
    return sorted(found, key=lambda each: (each.device != FLEET, each.device))


class _Observed:
    """What the run tells of each quantity, by round."""

    def __init__(
        self, rounds: Sequence[RoundRow], device_rounds: Iterable[DeviceRoundRow], counting: Iterable[EnergyFigure]
    ) -> None:
        self._rounds = [row for row in rounds if row.round > 0]
        self._by_device: dict[str, list[DeviceRoundRow]] = {}
        for row in device_rounds:
            if row.outcome in ("ok", "partial"):
                self._by_device.setdefault(row.device, []).append(row)
        self._energy: dict[tuple[str, str], dict[int, float]] = {}
        for figure in counting:
            self._energy.setdefault((figure.device, figure.phase), {})[figure.round] = figure.gross_j
        self._values: dict[str, Callable[[DeviceRoundRow], Optional[float]]] = {
            "round time": _working_seconds,
            "bytes": _bytes,
            "memory": lambda row: row.peak_memory_bytes,
        }

    def find(self, device: str, quantity: str, phase: str) -> dict[int, float]:
        if quantity == ENERGY:
            return _added(
                each
                for (of_device, of_phase), each in self._energy.items()
                if (not device or device == of_device) and (not phase or phase == of_phase)
            )
        if not device and quantity == "round time":
            return {row.round: row.wall_s for row in self._rounds}
        of = self._values.get(quantity)
        if of is None:
            return {}
        devices = [device] if device else list(self._by_device)
        sums: dict[int, float] = {}
        for each in devices:
            for row in self._by_device.get(each, ()):
                value = of(row)
                if value is not None:
                    before = sums.get(row.round, 0.0)
                    sums[row.round] = max(before, value) if quantity == "memory" else before + value
        return sums


def _added(series: Iterable[Mapping[int, float]]) -> dict[int, float]:
    sums: dict[int, float] = {}
    for each in series:
        for number, value in each.items():
            sums[number] = sums.get(number, 0.0) + value
    return sums


def _working_seconds(row: DeviceRoundRow) -> Optional[float]:
    if row.train_s is None:
        return None
    return (row.download_s or 0.0) + (row.prepare_s or 0.0) + row.train_s + (row.upload_s or 0.0)


def _bytes(row: DeviceRoundRow) -> Optional[float]:
    if row.download_bytes is None and row.upload_bytes is None:
        return None
    return (row.download_bytes or 0) + (row.upload_bytes or 0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
