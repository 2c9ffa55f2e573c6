"""From a trace to joules of a device in each phase of each round.

Each phase gets the joules between its ends, the share of it that the trace covers, and one standard uncertainty: what
the phase's ends being off by their slack could change, ``slack / √3`` (a rectangular distribution, GUM 4.3.7) times
the step of the power at that end. What the instrument itself is off by is not in it.

The idle share is the power before the first round times the phase's length, if the trace begins early enough.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from python_server.energy_figures import TRACE
from python_server.errors import TraceError
from python_server.run_rows import ENERGY, ENERGY_EXCLUDED, Json, MeasurementRow
from python_server.traces.power_trace import PowerTrace
from python_server.traces.timeline import DevicePhase

__all__ = ["TRACE_HASH", "Attached", "attach", "idle_watts"]

TRACE_HASH = "trace_sha256"
"""Key of a measurement's ``info``: the SHA-256 of the trace's file, by which it is known when it is attached again."""

LEAST_COVERAGE = 0.9
"""Of a phase's seconds; a figure that saw less counts in no sum."""
_EDGE_S = 0.25
"""Power just inside and outside of a phase's ends is the mean over so long."""
_IDLE_LEAST_S = 5.0
_IDLE_MOST_S = 60.0
_IDLE_GUARD_S = 1.0
"""The idle power is that of up to a minute before the first round, less its last second."""


@dataclass(frozen=True)
class Attached:
    """What a trace says about a run.

    Attributes
    ----------
    rows
        To be added to the run.
    rounds
        Of the device, in which it answered.
    covered
        Of those, which the trace covers.
    idle_w
        Power before the first round; None: not known.
    """

    rows: list[MeasurementRow]
    rounds: list[int]
    covered: list[int]
    idle_w: Optional[float]


def attach(
    trace: PowerTrace,
    device: str,
    phases: Sequence[DevicePhase],
    file: Path,
    *,
    alignment: str,
    slack_s: float = 0.0,
    idle_w: Optional[float] = None,
) -> Attached:
    """Work out the measurements that a trace gives.

    Parameters
    ----------
    trace
        In Unix time of the server's clock.
    device
        Its id.
    phases
        Of that device; see `python_server.traces.timeline.device_phases`.
    file
        The trace's file.
    alignment
        How the trace's clock was set, in words.
    slack_s
        By how much that may be off.
    idle_w
        Idle power; None: found in the trace.

    Raises
    ------
    TraceError
        The device answered in no round, or the trace covers none of them.
    """
    if not phases:
        raise TraceError("the run holds no round in which this device answered")
    if idle_w is None:
        idle_w = idle_watts(trace, phases[0].start_at)
    mark: Json = {TRACE: file.name, TRACE_HASH: hashlib.sha256(file.read_bytes()).hexdigest()}
    by_key: dict[tuple[int, str], list[DevicePhase]] = {}
    for phase in phases:
        by_key.setdefault((phase.round, phase.phase), []).append(phase)
    rows = []
    for (number, name), parts in by_key.items():
        spans = [trace.over(part.start_at, part.end_at) for part in parts]
        seconds, covered_s = sum(part.seconds for part in parts), sum(span.covered_s for span in spans)
        if covered_s <= 0:
            continue
        coverage = min(covered_s / seconds, 1.0)
        flags = list(trace.flags)
        excluded = next((part.problem for part in parts if part.problem), "") or (
            f"the trace covers {100 * coverage:.0f} % of it" if coverage < LEAST_COVERAGE else ""
        )
        if excluded:
            flags.insert(0, excluded)
        info: Json = {
            "phase": name,
            "idle_j": None if idle_w is None else idle_w * covered_s,
            "covers": trace.covers,
            "rate_hz": sum(span.readings for span in spans) / covered_s,
            "coverage": coverage,
            "uncertainty_j": math.hypot(*(_uncertainty(trace, part, slack_s) for part in parts)),
            "flags": flags,
            **mark,
        }
        quantity = ENERGY_EXCLUDED if excluded else ENERGY
        source = f"{trace.source}; {alignment}; uncertainty of the phase's ends alone"
        joules = sum(span.joules for span in spans)
        rows.append(MeasurementRow(number, device, quantity, joules, "J", source, trace.method, info))
    train = {row.round for row in rows if row.quantity == ENERGY and row.info["phase"] == "train"}
    if not rows:
        raise TraceError(
            f"it covers nothing of the run: it lasts from {_clock(trace.start_s)} to {_clock(trace.end_s)}, the device "
            f"worked from {_clock(phases[0].start_at)} to {_clock(phases[-1].end_at)} (UTC); see --offset"
        )
    rounds = sorted({phase.round for phase in phases})
    return Attached(rows, rounds, [number for number in rounds if number in train], idle_w)


def idle_watts(trace: PowerTrace, before_at: float) -> Optional[float]:
    """Return the median power of the seconds before a moment; None where the trace does not reach back far enough."""
    until = before_at - _IDLE_GUARD_S
    start = max(trace.start_s, until - _IDLE_MOST_S)
    if until - start < _IDLE_LEAST_S:
        return None
    watts = trace.mean_watts(np.arange(start, until, 1.0))
    watts = watts[np.isfinite(watts)]
    return float(np.median(watts)) if len(watts) >= _IDLE_LEAST_S - 1 else None


def _uncertainty(trace: PowerTrace, phase: DevicePhase, slack_s: float) -> float:
    off_s = (phase.slack_s + slack_s) / math.sqrt(3)
    squares = 0.0
    for edge in (phase.start_at, phase.end_at):
        step_w = trace.over(edge, edge + _EDGE_S).watts - trace.over(edge - _EDGE_S, edge).watts
        squares += (off_s * step_w) ** 2
    return math.sqrt(squares)


def _clock(seconds: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.1f} s"
