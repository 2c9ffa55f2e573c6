"""Joules of each device and phase, added up as a run goes on, so that a long run is not added up anew every round."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from python_server.energy_figures import EnergyFigure, counted
from python_server.run_rows import ENERGY_PHASES, Json

__all__ = ["EnergySums"]


@dataclass
class _Phase:
    gross_j: float = 0.0
    net_j: Optional[float] = 0.0
    rounds: int = 0


@dataclass
class _Device:
    phases: dict[str, _Phase] = field(default_factory=dict)
    methods: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    covers: set[str] = field(default_factory=set)
    flags: set[str] = field(default_factory=set)
    excluded: int = 0


class EnergySums:
    """Sums of the figures that count, by device and phase."""

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}

    def add(self, figures: Iterable[EnergyFigure]) -> set[str]:
        """Add figures and return the devices whose sums changed.

        Figures of the same round, device and phase have to come in one call: one of them counts.
        """
        figures = list(figures)
        changed = set()
        for figure in counted(figures).values():
            device = self._devices.setdefault(figure.device, _Device())
            phase = device.phases.setdefault(figure.phase, _Phase())
            phase.gross_j += figure.gross_j
            # A sum above idle would be wrong if some rounds were left out of it.
            phase.net_j = None if figure.net_j is None or phase.net_j is None else phase.net_j + figure.net_j
            phase.rounds += 1
            device.methods.add(figure.method)
            device.sources.add(figure.source)
            device.flags.update(figure.flags)
            if figure.covers:
                device.covers.add(figure.covers)
            changed.add(figure.device)
        for figure in figures:
            if figure.excluded:
                device = self._devices.setdefault(figure.device, _Device())
                device.excluded += 1
                device.flags.update(figure.flags)
                changed.add(figure.device)
        return changed

    def of(self, device: str) -> Optional[Json]:
        """Return a device's sums for the page; None where there are none."""
        sums = self._devices.get(device)
        if sums is None:
            return None
        nets = [phase.net_j for phase in sums.phases.values()]
        known = [net for net in nets if net is not None]
        return {
            "phases": {name: sums.phases[name].gross_j for name in ENERGY_PHASES if name in sums.phases},
            "rounds": {name: sums.phases[name].rounds for name in ENERGY_PHASES if name in sums.phases},
            "gross_j": sum(phase.gross_j for phase in sums.phases.values()),
            "net_j": sum(known) if known and len(known) == len(nets) else None,
            "methods": sorted(sums.methods),
            "sources": sorted(sums.sources),
            "covers": sorted(sums.covers),
            "flags": sorted(sums.flags),
            "excluded": sums.excluded,
        }
