"""Joules over an interval, and how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

__all__ = ["COVERS", "EXCLUDED", "METHODS", "Energy", "added_up"]

METHODS = ("measured", "rail", "battery", "modelled")
COVERS = ("device", "board", "module", "processor", "parts")
EXCLUDED = "excluded: "
"""Begins a flag that says why a figure must not be counted."""


@dataclass(frozen=True)
class Energy:
    """Joules over an interval. A figure without a source does not exist.

    Attributes
    ----------
    gross_j
        Of what the source covers, over the interval.
    idle_j
        What the device would have used anyway; ``gross_j - idle_j`` is the cost of the work. None: not known.
    method
        ``measured`` (a meter or counter of the whole), ``rail`` (a sum of rails without a total), ``battery`` (its
        gauge) or ``modelled``.
    source
        Which counter, or the model and its numbers, and where the uncertainty comes from, in words.
    covers
        ``device``, ``board``, ``module``, ``processor`` or ``parts``.
    rate_hz
        Readings per second; None: a counter that needs none.
    coverage
        Share of the interval's seconds that the joules stand for, 0 to 1; None: not known.
    uncertainty_j
        One standard uncertainty of ``gross_j``; None: not known.
    flags
        What was wrong, in words. One that begins with ``excluded: `` says why the figure must not be counted.
    """

    gross_j: float
    idle_j: Optional[float]
    method: str
    source: str
    covers: str
    rate_hz: Optional[float] = None
    coverage: Optional[float] = None
    uncertainty_j: Optional[float] = None
    flags: tuple[str, ...] = ()

    @property
    def excluded(self) -> bool:
        """Whether a flag says that the figure must not be counted."""
        return any(flag.startswith(EXCLUDED) for flag in self.flags)


def added_up(parts: Sequence[tuple[float, Energy]]) -> Optional[Energy]:
    """Return the sum of figures of one source; None if there is none.

    Uncertainties of one instrument are mostly its gain's, so they are added, not their squares.

    Parameters
    ----------
    parts
        Seconds and figure of each interval.
    """
    if not parts:
        return None
    energies = [energy for _, energy in parts]
    seconds = math.fsum(s for s, _ in parts)

    def total(values: Sequence[Optional[float]]) -> Optional[float]:
        known = [value for value in values if value is not None]
        return math.fsum(known) if len(known) == len(values) else None

    def mean(values: Sequence[Optional[float]]) -> Optional[float]:
        weighted = total([None if value is None else value * s for value, (s, _) in zip(values, parts)])
        return None if weighted is None or not seconds else weighted / seconds

    last = energies[-1]
    return Energy(
        gross_j=math.fsum(energy.gross_j for energy in energies),
        idle_j=total([energy.idle_j for energy in energies]),
        method=last.method,
        source=last.source,
        covers=last.covers,
        rate_hz=mean([energy.rate_hz for energy in energies]),
        coverage=mean([energy.coverage for energy in energies]),
        uncertainty_j=total([energy.uncertainty_j for energy in energies]),
        flags=tuple(dict.fromkeys(flag for energy in energies for flag in energy.flags)),
    )
