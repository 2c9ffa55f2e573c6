"""One device over a whole run: what it was asked, what became of it, and what it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from python_server.report.energy import EnergyFigures
from python_server.report.phases import PHASES, phase_seconds
from python_server.run_rows import OUTCOMES, DeviceRoundRow, DeviceRow

__all__ = ["DeviceFigures", "device_figures"]


@dataclass(frozen=True)
class DeviceFigures:
    """One device over the whole run.

    Attributes
    ----------
    name
        As it calls itself, with the end of its id where two devices have one name.
    seconds
        Means per round for each of `PHASES`.
    energy
        While training.
    parts
        Rounds by what it was asked to train, such as ``half from conv3``.
    reasons
        Why it was asked that, where a plan says it.
    """

    name: str
    processor: str
    examples: Optional[int]
    seconds: dict[str, float]
    energy: Optional[EnergyFigures]
    download_bytes: int
    upload_bytes: int
    outcomes: dict[str, int]
    examples_processed: int
    steps: int
    planned_steps: int
    peak_memory_bytes: Optional[int]
    parts: dict[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)


def device_figures(
    device: DeviceRow, name: str, rows: Sequence[DeviceRoundRow], energy: Optional[EnergyFigures]
) -> DeviceFigures:
    """Return a device's figures.

    Parameters
    ----------
    device, name
        Its row, and its name in the report.
    rows
        Its device rounds.
    energy
        Its joules while training.
    """
    asked = [row for row in rows if row.outcome != "skipped"]
    answered = [row for row in rows if row.outcome in ("ok", "partial")]
    per_round = [phase_seconds(row) for row in answered]
    counted = Counter(row.outcome for row in rows)
    return DeviceFigures(
        name=name,
        processor=device.processor,
        examples=next((row.num_examples for row in reversed(answered) if row.num_examples is not None), None),
        seconds={phase: sum(s[phase] for s in per_round) / len(per_round) if per_round else 0.0 for phase in PHASES},
        energy=energy,
        download_bytes=sum(row.download_bytes or 0 for row in rows),
        upload_bytes=sum(row.upload_bytes or 0 for row in rows),
        outcomes={outcome: counted[outcome] for outcome in OUTCOMES if counted[outcome]},
        examples_processed=sum(row.examples_processed or 0 for row in rows),
        steps=sum(row.steps or 0 for row in rows),
        planned_steps=sum(row.planned_steps or 0 for row in rows),
        peak_memory_bytes=max((row.peak_memory_bytes for row in rows if row.peak_memory_bytes), default=None),
        parts=dict(Counter(_part(row) for row in asked)),
        reasons=tuple(dict.fromkeys(reason for row in rows if (reason := _reason(row)))),
        facts=device.facts,
    )


def _reason(row: DeviceRoundRow) -> str:
    """Return why a device was asked what it was, or was not asked."""
    return f"not asked: {row.reason}" if row.outcome == "skipped" else str(row.plan.get("reason", ""))


def _part(row: DeviceRoundRow) -> str:
    """Return in words what a device was asked to train."""
    submodel, cut = row.plan.get("submodel") or "whole", row.plan.get("cut")
    return f"{submodel} from {cut}" if cut else str(submodel)
