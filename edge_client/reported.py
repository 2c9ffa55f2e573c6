"""What a reply says about joules and conditions, under the names of ``docs/protocol.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

from edge_client.conditions import build, governor, temperature_c
from edge_client.energy import Energy, Phases
from edge_client.power_supply import battery_facts
from edge_client.records import (
    BATTERY_AT,
    BATTERY_PERCENT,
    BUILD,
    DOWNLOAD_ENERGY,
    ENERGY,
    ENERGY_COVERS,
    ENERGY_FLAGS,
    ENERGY_METHOD,
    ENERGY_SOURCE,
    GOVERNOR,
    PREVIOUS_UPLOAD_ENERGY,
    TEMPERATURE_AT,
    TEMPERATURE_SOURCE,
    WAIT_ENERGY,
    Scalar,
)

__all__ = ["Conditions", "phase_figures", "upload_figures"]

Metrics = dict[str, Union[int, float]]
_FAILED = "the energy source failed during this interval"


@dataclass(frozen=True)
class Conditions:
    """Temperature of the processor (°C) and charge of the battery (%) at a moment; None: not told."""

    temperature_c: Optional[float]
    battery_percent: Optional[float]

    @classmethod
    def now(cls) -> Conditions:
        """Read them."""
        percent = battery_facts().get(BATTERY_PERCENT)
        return cls(temperature_c(), percent if isinstance(percent, float) else None)

    def figures(self) -> Metrics:
        """Return the metrics of what began under these conditions and ends now."""
        metrics: Metrics = {}
        for temperature, battery, moment in zip(TEMPERATURE_AT, BATTERY_AT, (self, Conditions.now())):
            metrics[temperature] = _or_unknown(moment.temperature_c)
            metrics[battery] = _or_unknown(moment.battery_percent)
        return metrics

    @staticmethod
    def words() -> dict[str, Scalar]:
        """Return what goes into a reply's ``info``."""
        return {TEMPERATURE_SOURCE: "thermal zone", GOVERNOR: governor(), BUILD: build()}


def phase_figures(phases: Phases, phase: str) -> tuple[Metrics, dict[str, Scalar]]:
    """Return metrics and words about a task's own phase, and about those before it, which are forgotten.

    Parameters
    ----------
    phases
        What has used which joules since the last reply.
    phase
        ``train`` or ``evaluate``.
    """
    own, download, wait = phases.take(phase), phases.take("download"), phases.take("wait")
    metrics, words = upload_figures(phases)
    flags = [*(own.flags if own else ()), *_flags("download", download), *_flags("wait", wait)]
    flags += words.values()
    known = own or download or wait
    metrics.update(_joules(ENERGY, own))
    metrics.update(_joules(DOWNLOAD_ENERGY, download))
    metrics.update(_joules(WAIT_ENERGY, wait))
    return metrics, {
        ENERGY_SOURCE: known.source if known else _FAILED,
        ENERGY_METHOD: known.method if known else "none",
        ENERGY_COVERS: known.covers if known else "",
        ENERGY_FLAGS: "\n".join(flags),
    }


def upload_figures(phases: Phases) -> tuple[Metrics, dict[str, str]]:
    """Return the metrics of the last upload, which is forgotten, and the words about it."""
    upload = phases.take("upload")
    flags = _flags("upload", upload)
    return _joules(PREVIOUS_UPLOAD_ENERGY, upload), {ENERGY_FLAGS: "\n".join(flags)} if flags else {}


def _joules(names: Sequence[str], energy: Optional[Energy]) -> Metrics:
    if energy is None:
        return dict.fromkeys(names, -1.0)
    known = (energy.gross_j, energy.idle_j, energy.rate_hz, energy.coverage, energy.uncertainty_j)
    return dict(zip(names, map(_or_unknown, known)))


def _flags(phase: str, energy: Optional[Energy]) -> list[str]:
    return [f"{phase}: {flag}" for flag in energy.flags] if energy else []


def _or_unknown(value: Optional[float]) -> float:
    """−1 stands for "not known", as a metric cannot be absent."""
    return -1.0 if value is None else value
