"""Which joules count: all energies that a run holds, and the one of each device, round and phase that sums are made of.

A device's own meter, a battery gauge, a model and a bench supply may each have told of the same training. They are
never added up: one counts, by `PRECEDENCE`, and the others stay to be shown. What cannot be trusted counts nowhere.

Runs of older versions hold energies only in the columns of ``device_rounds``; they are read as the phase ``train``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Protocol

from python_server.run_rows import (
    ENERGY,
    ENERGY_EXCLUDED,
    ENERGY_PHASES,
    PREDICTED,
    DeviceRoundRow,
    MeasurementRow,
)

__all__ = ["PRECEDENCE", "TRACE", "EnergyFigure", "FigureKey", "all_figures", "best", "counted", "figures_of"]

TRACE = "trace"
"""Key of a measurement's ``info``: the trace that the figure was taken from, recorded beside the client."""

PRECEDENCE = ("trace measured", "rail", "measured", "battery", "modelled")
"""Whose figure counts, the best first: an instrument in the supply line, power rails, the device's own meter, the
battery's gauge, a model. Any other method comes last."""

FigureKey = tuple[int, str, str]
"""Round, device (its id) and phase."""


@dataclass(frozen=True)
class EnergyFigure:
    """Joules of one device in one phase of one round.

    Attributes
    ----------
    round, device, phase
        Where it belongs; ``device`` is the id, ``phase`` one of `python_server.run_rows.ENERGY_PHASES`.
    gross_j, idle_j
        Joules in all, and what the device would have used anyway (None: not known).
    method, source
        ``measured``, ``rail``, ``battery`` or ``modelled``; and where it comes from, in words.
    covers
        ``device``, ``board``, ``module``, ``processor`` or ``parts``; empty: not told.
    rate_hz, coverage, uncertainty_j
        Readings per second, share of the phase's seconds that were seen (0 to 1), one standard uncertainty.
        None: not known.
    flags
        What was wrong, in words.
    excluded
        Whether it counts in no sum; the flags say why.
    trace
        File that it was taken from, if the client did not tell it itself; else empty.
    """

    round: int
    device: str
    phase: str
    gross_j: float
    idle_j: Optional[float]
    method: str
    source: str
    covers: str = ""
    rate_hz: Optional[float] = None
    coverage: Optional[float] = None
    uncertainty_j: Optional[float] = None
    flags: tuple[str, ...] = ()
    excluded: bool = False
    trace: str = ""

    @property
    def key(self) -> FigureKey:
        """Round, device and phase."""
        return self.round, self.device, self.phase

    @property
    def net_j(self) -> Optional[float]:
        """What the work itself cost: gross less idle; None where the idle share is not known."""
        return None if self.idle_j is None else self.gross_j - self.idle_j


class _Run(Protocol):
    def measurements(self) -> list[MeasurementRow]: ...

    def device_rounds(self) -> list[DeviceRoundRow]: ...


def all_figures(run: _Run) -> list[EnergyFigure]:
    """Return every energy that a run holds, excluded ones too, in the order of rounds.

    Parameters
    ----------
    run
        Usually a `python_server.run_reader.RunReader`.
    """
    return figures_of(run.measurements(), run.device_rounds())


def figures_of(measurements: Iterable[MeasurementRow], device_rounds: Iterable[DeviceRoundRow]) -> list[EnergyFigure]:
    """Return the energies among a run's rows; what was predicted is none of them."""
    figures = [
        _of_measurement(row)
        for row in measurements
        if row.quantity in (ENERGY, ENERGY_EXCLUDED)
        and row.method != PREDICTED
        and row.info.get("phase") in ENERGY_PHASES
    ]
    told = {figure.key for figure in figures if not figure.trace}
    figures += [
        EnergyFigure(
            row.round, row.device, "train", row.energy_j, row.energy_idle_j, row.energy_method, row.energy_source
        )
        for row in device_rounds
        if row.energy_j is not None and row.energy_source and (row.round, row.device, "train") not in told
    ]
    return sorted(figures, key=lambda figure: figure.round)


def counted(figures: Iterable[EnergyFigure]) -> dict[FigureKey, EnergyFigure]:
    """Return the one figure of each round, device and phase that sums are made of."""
    alone: dict[FigureKey, EnergyFigure] = {}
    several: dict[FigureKey, list[EnergyFigure]] = {}
    for figure in figures:
        if not figure.excluded:
            first = alone.setdefault(figure.key, figure)
            if first is not figure:
                several.setdefault(figure.key, [first]).append(figure)
    chosen = {key: best(each) for key, each in several.items()}
    return {**alone, **{key: figure for key, figure in chosen.items() if figure is not None}}


def best(figures: Sequence[EnergyFigure]) -> Optional[EnergyFigure]:
    """Return which of several figures of the same round, device and phase counts.

    By `PRECEDENCE`; of two alike, the one that saw more of the phase, then the later one. None if all are excluded.
    """
    usable = [(index, figure) for index, figure in enumerate(figures) if not figure.excluded]
    if not usable:
        return None
    return min(usable, key=lambda item: (_rank(item[1]), -(item[1].coverage or 0.0), -item[0]))[1]


def _rank(figure: EnergyFigure) -> int:
    method = "trace measured" if figure.trace and figure.method == "measured" else figure.method
    return PRECEDENCE.index(method) if method in PRECEDENCE else len(PRECEDENCE)


def _of_measurement(row: MeasurementRow) -> EnergyFigure:
    info = row.info
    flags = info.get("flags")
    return EnergyFigure(
        round=row.round,
        device=row.device,
        phase=str(info["phase"]),
        gross_j=row.value,
        idle_j=_number(info.get("idle_j")),
        method=row.method,
        source=row.source,
        covers=str(info.get("covers") or ""),
        rate_hz=_number(info.get("rate_hz")),
        coverage=_number(info.get("coverage")),
        uncertainty_j=_number(info.get("uncertainty_j")),
        flags=tuple(map(str, flags)) if flags and isinstance(flags, list) else (),
        excluded=row.quantity == ENERGY_EXCLUDED,
        trace=str(info.get(TRACE) or ""),
    )


def _number(value: Any) -> Optional[float]:
    if type(value) is float:
        return value
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else None
