"""Joules summed up for a report: by device and phase, with how they were obtained, and what counts nowhere and why.

Which of several figures of one training counts is `python_server.energy_figures`'s to say; here they are only summed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from python_server.energy_figures import EnergyFigure, FigureKey
from python_server.run_rows import ENERGY_PHASES

__all__ = ["EnergyFigures", "EnergyLine", "ExcludedEnergy", "by_device_and_phase", "excluded", "sum_up"]


@dataclass(frozen=True)
class EnergyFigures:
    """Joules, and how they were obtained.

    Attributes
    ----------
    gross_j
        In all.
    above_idle_j
        Less what the devices would have used anyway; None unless that is known of every figure.
    methods, sources
        Of the figures, each once.
    covered, asked
        How many device rounds have a figure, of how many that could.
    covers
        What the sensors saw: ``device``, ``board``, ``module``, ``processor``, ``parts``.
    coverage
        Share of the phases' time that was seen, mean over the figures that tell; None: none does.
    uncertainty_j
        Standard uncertainty: the sum of the figures' own, as one sensor's error is the same in every round. None unless
        every figure has one.
    flags
        What was wrong with figures that count nevertheless, with how many.
    """

    gross_j: float
    above_idle_j: Optional[float]
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    covered: int
    asked: int
    covers: tuple[str, ...] = ()
    coverage: Optional[float] = None
    uncertainty_j: Optional[float] = None
    flags: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EnergyLine:
    """The energy of one device in one phase over the run; None: no figure."""

    device: str
    phase: str
    energy: EnergyFigures


@dataclass(frozen=True)
class ExcludedEnergy:
    """Figures of one device and phase that count in no sum, for the same reason.

    Attributes
    ----------
    rounds
        In which rounds.
    gross_j
        What they would have added up to.
    replaced
        In how many of these rounds another figure of the same device and phase counts instead.
    """

    device: str
    phase: str
    reason: str
    rounds: tuple[int, ...]
    gross_j: float
    replaced: int


def sum_up(figures: Sequence[EnergyFigure], asked: int) -> Optional[EnergyFigures]:
    """Return the sum of figures that count.

    Parameters
    ----------
    figures
        Of different device rounds or phases.
    asked
        How many device rounds could have one.

    Returns
    -------
    None without a figure: no energy is not zero energy.
    """
    if not figures:
        return None
    gross = sum(figure.gross_j for figure in figures)
    idle = [figure.idle_j for figure in figures if figure.idle_j is not None]
    seen = [figure.coverage for figure in figures if figure.coverage is not None]
    unsure = [figure.uncertainty_j for figure in figures if figure.uncertainty_j is not None]
    return EnergyFigures(
        gross_j=gross,
        above_idle_j=gross - sum(idle) if len(idle) == len(figures) else None,
        methods=tuple(sorted({figure.method for figure in figures})),
        sources=tuple(sorted({figure.source for figure in figures})),
        covered=len({(figure.round, figure.device) for figure in figures}),
        asked=asked,
        covers=tuple(sorted({figure.covers for figure in figures} - {""})),
        coverage=sum(seen) / len(seen) if seen else None,
        uncertainty_j=sum(unsure) if len(unsure) == len(figures) else None,
        flags=dict(Counter(flag for figure in figures for flag in figure.flags)),
    )


def by_device_and_phase(
    counting: Iterable[EnergyFigure], names: Mapping[str, str], asked: Mapping[str, int]
) -> list[EnergyLine]:
    """Return sums by device, in the order of ``names``, and phase.

    Parameters
    ----------
    counting
        The figures that count.
    names
        Names of devices by id.
    asked
        Device rounds by id.
    """
    groups: dict[tuple[str, str], list[EnergyFigure]] = {}
    for figure in counting:
        groups.setdefault((figure.device, figure.phase), []).append(figure)
    lines = []
    for device, name in names.items():
        for phase in ENERGY_PHASES:
            energy = sum_up(groups.get((device, phase), []), asked.get(device, 0))
            if energy is not None:
                lines.append(EnergyLine(name, phase, energy))
    return lines


def excluded(
    figures: Iterable[EnergyFigure], counting: Mapping[FigureKey, EnergyFigure], names: Mapping[str, str]
) -> list[ExcludedEnergy]:
    """Return what counts nowhere, by device, phase and reason."""
    groups: dict[tuple[str, str, str], list[EnergyFigure]] = {}
    for figure in figures:
        if figure.excluded:
            reason = "; ".join(figure.flags) or "no reason was given"
            groups.setdefault((names.get(figure.device, figure.device), figure.phase, reason), []).append(figure)
    return [
        ExcludedEnergy(
            device=device,
            phase=phase,
            reason=reason,
            rounds=tuple(figure.round for figure in several),
            gross_j=sum(figure.gross_j for figure in several),
            replaced=sum(figure.key in counting for figure in several),
        )
        for (device, phase, reason), several in sorted(groups.items())
    ]
