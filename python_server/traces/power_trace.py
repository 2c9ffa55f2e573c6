"""A recording of power as running sums: joules, and the seconds that they stand for.

Instruments give watts at moments (integrated here by the trapezoid rule over the real times) or a counter of joules.
Kept as sums, the joules between any two moments are a difference. Nothing is assumed where nothing was recorded:
gaps, values that are no numbers, counters that went back, and an instrument that repeats itself for half a minute add
neither joules nor covered seconds, and so count against the coverage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from python_server.errors import TraceError

__all__ = ["PowerTrace", "Span"]

_SHORTEST_GAP_S = 1.0
_GAP_PERIODS = 10.0
"""Readings further apart than both are a gap."""
_STUCK_S = 30.0
_STUCK_READINGS = 30
"""So long the very same reading, and the instrument was stuck: its noise alone changes the last digit."""
_LEAST_W, _MOST_W = 1e-4, 500.0
"""No phone or board uses less or more on average; outside of it a unit is wrong. A single reading may be 0, or below
by an instrument's noise."""
_SOME = 0.5
_WORTH_TELLING = 0.01


@dataclass(frozen=True)
class Span:
    """What a trace says about a stretch of time: joules, the seconds that they stand for, and readings in it."""

    joules: float
    covered_s: float
    readings: int

    @property
    def watts(self) -> float:
        """Mean power over the covered seconds; 0 without any."""
        return self.joules / self.covered_s if self.covered_s > 0 else 0.0


@dataclass(frozen=True)
class PowerTrace:
    """A recording of one device's power.

    Attributes
    ----------
    times_s
        When it was read, float64, shape ``[n]``, strictly rising.
    joules, covered_s
        Running sums up to each reading, float64, shape ``[n]``.
    unix
        Whether ``times_s`` is Unix time; else it counts from wherever the instrument began.
    method, source, covers
        As in `python_server.energy_figures.EnergyFigure`.
    flags
        What was found wrong, in words.
    """

    times_s: np.ndarray
    joules: np.ndarray
    covered_s: np.ndarray
    unix: bool
    method: str
    source: str
    covers: str
    flags: tuple[str, ...] = ()

    @classmethod
    def of_watts(
        cls, times_s: np.ndarray, watts: np.ndarray, *, unix: bool, source: str, method: str = "measured", covers: str
    ) -> PowerTrace:
        """Integrate watts read at moments.

        Parameters
        ----------
        times_s, watts
            Float64, shape ``[n]``. Readings of the same moment are averaged; NaN watts are no reading.
        unix, source, method, covers
            See `PowerTrace`.

        Raises
        ------
        TraceError
            Time goes back, there are fewer than two readings, or the mean power is no device's.
        """
        times_s, watts = _merged(times_s, watts)
        beyond = np.abs(watts) > _MOST_W
        wrong = "" if not beyond.any() else f"{int(beyond.sum())} readings beyond {_MOST_W:g} W were left out"
        if beyond.mean() < _SOME:  # else it is the unit that is wrong, which the mean tells
            watts = np.where(beyond, np.nan, watts)
        steps = np.diff(times_s)
        joules = steps * (watts[1:] + watts[:-1]) / 2
        stuck = _stuck(times_s, watts)
        return _build(cls, times_s, joules, stuck, wrong, unix=unix, source=source, method=method, covers=covers)

    @classmethod
    def of_joules(
        cls, times_s: np.ndarray, counter_j: np.ndarray, *, unix: bool, source: str, method: str, covers: str
    ) -> PowerTrace:
        """Take a counter of joules, or the sum of several, as it was read at moments; see `of_watts`."""
        times_s, counter_j = _merged(times_s, counter_j)
        joules = np.diff(counter_j)
        joules[joules < 0] = np.nan  # the device started anew
        # A counter's steps may be of some joules, so a short time says little of its power.
        jumps = joules > _MOST_W * np.maximum(np.diff(times_s), 1.0)
        wrong = "" if not jumps.any() else f"its counter jumped {int(jumps.sum())} times by more than can be true"
        if jumps.mean() < _SOME:
            joules[jumps] = np.nan
        stuck = _stuck(times_s, counter_j)
        return _build(cls, times_s, joules, stuck, wrong, unix=unix, source=source, method=method, covers=covers)

    @property
    def start_s(self) -> float:
        """Time of the first reading."""
        return float(self.times_s[0])

    @property
    def end_s(self) -> float:
        """Time of the last reading."""
        return float(self.times_s[-1])

    @property
    def rate_hz(self) -> float:
        """Readings a second."""
        return (len(self.times_s) - 1) / (self.end_s - self.start_s)

    def shifted(self, seconds: float) -> PowerTrace:
        """Return the trace with ``seconds`` added to its times."""
        return replace(self, times_s=self.times_s + seconds)

    def over(self, start_s: float, end_s: float) -> Span:
        """Return what was used between two moments of the trace's clock."""
        if end_s <= start_s:
            return Span(0.0, 0.0, 0)
        edges = np.array([start_s, end_s])
        joules, covered = (np.interp(edges, self.times_s, sums) for sums in (self.joules, self.covered_s))
        first, last = np.searchsorted(self.times_s, edges)
        return Span(float(joules[1] - joules[0]), float(covered[1] - covered[0]), int(last - first))

    def mean_watts(self, edges_s: np.ndarray) -> np.ndarray:
        """Return the mean power between each two neighbours of ``edges_s``, float64; NaN where nothing is known."""
        joules, covered = (np.diff(np.interp(edges_s, self.times_s, sums)) for sums in (self.joules, self.covered_s))
        known = covered > 0.5 * np.diff(edges_s)
        watts = np.full(len(joules), np.nan)
        np.divide(joules, covered, out=watts, where=known)
        return watts


def _build(
    cls: type[PowerTrace],
    times_s: np.ndarray,
    joules: np.ndarray,
    stuck: np.ndarray,
    wrong: str,
    *,
    unix: bool,
    source: str,
    method: str,
    covers: str,
) -> PowerTrace:
    steps = np.diff(times_s)
    gaps = steps > max(_SHORTEST_GAP_S, _GAP_PERIODS * float(np.median(steps)))
    unknown = gaps | stuck | ~np.isfinite(joules)
    joules, seconds = np.where(unknown, 0.0, joules), np.where(unknown, 0.0, steps)
    covered = float(seconds.sum())
    if covered <= 0:
        raise TraceError("it holds no stretch of time in which power is known")
    watts = float(joules.sum()) / covered
    if not _LEAST_W <= watts <= _MOST_W:
        raise TraceError(
            f"its mean power is {watts:.3g} W, which no phone or board uses: a unit or a sign is wrong; "
            "name columns and units with --column, such as --column amps=-COLUMN:mA"
        )
    flags = [wrong] if wrong else []
    back = joules < 0
    if -joules[back].sum() > _WORTH_TELLING * joules.sum():
        flags.append(f"power below zero for {float(steps[back].sum()):.1f} s: something fed the device, or the supply")
    if gaps.any():
        flags.append(f"{int(gaps.sum())} gaps, {float(steps[gaps].sum()):.1f} s in all")
    if stuck.any():
        flags.append(f"the instrument repeats the same reading for {float(steps[stuck].sum()):.0f} s")
    zero = np.zeros(1)
    return cls(
        times_s,
        np.concatenate([zero, np.cumsum(joules)]),
        np.concatenate([zero, np.cumsum(seconds)]),
        unix,
        method,
        source,
        covers,
        tuple(flags),
    )


def _merged(times_s: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check the times, and average what was read at the same moment."""
    times_s, values = np.asarray(times_s, np.float64), np.asarray(values, np.float64)
    if not np.isfinite(times_s).all():
        raise TraceError(f"reading {int(np.argmin(np.isfinite(times_s))) + 1} has no time")
    steps = np.diff(times_s)
    if (steps < 0).any():
        where = int(np.argmax(steps < 0))
        raise TraceError(
            f"time goes back from {times_s[where]:.6f} to {times_s[where + 1]:.6f} s at reading {where + 2}: "
            "the clock jumped, or several recordings were joined; cut it there"
        )
    if not steps.all():
        times_s, first = np.unique(times_s, return_index=True)
        values = np.add.reduceat(values, first) / np.diff(np.append(first, len(values)))
    if len(times_s) < 2:
        raise TraceError("it holds fewer than two readings")
    return times_s, values


def _stuck(times_s: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Tell which steps lie in a long run of one and the same value."""
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    ends = np.append(starts[1:], len(values)) - 1
    long = (times_s[ends] - times_s[starts] >= _STUCK_S) & (ends - starts + 1 >= _STUCK_READINGS)
    stuck = np.zeros(len(values) - 1, bool)
    for start, end in zip(starts[long], ends[long]):
        stuck[start:end] = True
    return stuck
