"""Readings over time, added up, with everything that looked wrong.

Power is integrated by trapezoids between readings at the moments when they were taken; a counter's differences are
added. What is kept per reading are running totals, so that the joules of any interval are a difference of two of them,
and old readings can be thinned out without changing a sum.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from dataclasses import dataclass
from typing import NamedTuple, Optional

from edge_client.energy.figure import EXCLUDED
from edge_client.energy.source import About

__all__ = ["Series", "Span"]

_MOST_POINTS = 1 << 17
_UNIT_FACTOR = 300.0
"""No board's power changes by this much from one moment to the next; milli- and microwatts do."""
_FEWEST_STUCK = 20
_BUSY = 0.3
"""Share of a core. Readings that stay the same are wrong while the processor works; on an idle board they may be
right."""


class _Point(NamedTuple):
    """Running totals at a reading."""

    joules: float
    covered_s: float
    variance: float
    readings: int
    watts: float


class _Event(NamedTuple):
    """Something that looked wrong."""

    at: float
    kind: str
    text: str
    excludes: bool


@dataclass(frozen=True)
class Span:
    """What readings say of an interval.

    Attributes
    ----------
    seconds
        Its length.
    joules
        Over the part of it that readings cover.
    covered_s
        Length of that part.
    deviation_j
        Standard uncertainty from what may have happened between two readings: if power went from one to the next at any
        time between them, the trapezoid is off by up to half their difference times that time, evenly distributed.
    readings
        How many.
    flags
        What looked wrong.
    """

    seconds: float
    joules: float
    covered_s: float
    deviation_j: float
    readings: int
    flags: tuple[str, ...]


class Series:
    """Readings of one source.

    Parameters
    ----------
    about
        What is known of the source.
    """

    def __init__(self, about: About) -> None:
        self._about = about
        self._counter = about.unit == "J"
        self._longest_step_s = math.inf if self._counter else max(1.0, 5.0 / about.rate_hz)
        self._times: list[float] = []
        self._points: list[_Point] = []
        self._events: deque[_Event] = deque(maxlen=20_000)
        self._value: Optional[float] = None
        self._usual: deque[float] = deque(maxlen=31)
        # Since when the reading has not changed: time, processor seconds, readings.
        self._same_since = (0.0, 0.0, 0)
        self._stuck: deque[tuple[float, float, float]] = deque(maxlen=1000)

    def add(self, at: float, value: float, cpu_s: float) -> None:
        """Add a reading.

        Parameters
        ----------
        at
            When it was taken, on a clock that never goes back.
        value
            Watts or joules.
        cpu_s
            Processor seconds that this process has used, to tell a stuck sensor from a quiet board.
        """
        if self._times and at <= self._times[-1]:
            return
        problem = self._problem(value)
        if problem is not None:
            kind, excludes = problem
            self.note(at, kind, "", excludes=excludes)
            return
        self._follow_stuck(at, value, cpu_s)
        if not self._times:
            self._append(at, _Point(0.0, 0.0, 0.0, 1, math.nan if self._counter else value))
        elif self._counter:
            self._add_counted(at, value)
        else:
            self._add_power(at, value)
        self._value = value

    def note(self, at: float, kind: str, text: str, *, excludes: bool = False) -> None:
        """Write down that something was wrong, such as a reading that failed."""
        self._events.append(_Event(at, kind, text, excludes))

    def between(self, start: float, end: float) -> Optional[Span]:
        """Return what is known of an interval; None if nothing was read yet."""
        if not self._times:
            return None
        a, b = self._at(start), self._at(end)
        first, last = bisect_left(self._times, start), bisect_right(self._times, end)
        return Span(
            seconds=end - start,
            joules=b.joules - a.joules,
            covered_s=b.covered_s - a.covered_s,
            deviation_j=math.sqrt(max(0.0, b.variance - a.variance)),
            # By the running totals: some of the readings themselves may have been thinned out.
            readings=self._points[last - 1].readings - self._points[first].readings + 1 if first < last else 0,
            flags=self._flags(start, end),
        )

    def powers(self, start: float, end: float) -> list[float]:
        """Return the power at each reading of an interval in watts; of a counter, its mean since the reading before."""
        first, last = bisect_left(self._times, start), bisect_right(self._times, end)
        return [point.watts for point in self._points[first:last] if not math.isnan(point.watts)]

    def _problem(self, value: float) -> Optional[tuple[str, bool]]:
        """Return what is wrong with a reading, and whether that makes all around it worthless."""
        if not math.isfinite(value):
            return "no number", False
        if self._counter:
            return ("counter went back", True) if self._value is not None and value < self._value else None
        if value <= 0:
            # Who reads is running, and takes power: a gauge that shows none measures nothing.
            return "no power", False
        if len(self._usual) >= 5:
            usual = statistics.median(self._usual)
            if not usual / _UNIT_FACTOR < value < usual * _UNIT_FACTOR:
                return "unit", True
        if value > self._about.most_w:
            return "beyond range", False
        self._usual.append(value)
        return None

    def _add_counted(self, at: float, value: float) -> None:
        before, seconds = self._points[-1], at - self._times[-1]
        joules = value - (self._value or 0.0)
        if joules > self._about.most_w * seconds and joules > 1.0:
            self.note(at, "counter jumped", "", excludes=True)
            joules = 0.0
            seconds = 0.0
        watts = joules / seconds if seconds > 0 else math.nan
        self._append(at, _Point(before.joules + joules, before.covered_s + seconds, 0.0, before.readings + 1, watts))

    def _add_power(self, at: float, watts: float) -> None:
        before, seconds = self._points[-1], at - self._times[-1]
        if seconds > self._longest_step_s:
            self.note(at, "gap", f"{seconds:.1f}")
            self._append(at, before._replace(readings=before.readings + 1, watts=watts))
            return
        step = watts - before.watts
        self._append(
            at,
            _Point(
                before.joules + 0.5 * (watts + before.watts) * seconds,
                before.covered_s + seconds,
                before.variance + (step * seconds) ** 2 / 12,
                before.readings + 1,
                watts,
            ),
        )

    def _append(self, at: float, point: _Point) -> None:
        self._points.append(point)
        self._times.append(at)
        if len(self._times) > _MOST_POINTS:
            half = _MOST_POINTS // 2
            del self._points[1:half:2], self._times[1:half:2]

    def _at(self, when: float) -> _Point:
        """Return the running totals at a moment, between two readings in proportion."""
        index = bisect_right(self._times, when)
        if index == 0:
            return self._points[0]
        if index == len(self._times):
            return self._points[-1]
        a, b = self._points[index - 1], self._points[index]
        share = (when - self._times[index - 1]) / (self._times[index] - self._times[index - 1])
        return _Point(
            a.joules + share * (b.joules - a.joules),
            a.covered_s + share * (b.covered_s - a.covered_s),
            a.variance + share * (b.variance - a.variance),
            a.readings,
            a.watts,
        )

    def _follow_stuck(self, at: float, value: float, cpu_s: float) -> None:
        since, cpu, count = self._same_since
        if value != self._value:
            self._same_since = (at, cpu_s, 1)
            return
        self._same_since = (since, cpu, count + 1)
        seconds = at - since
        if count + 1 < _FEWEST_STUCK or seconds < self._about.stuck_after_s:
            return
        if self._stuck and self._stuck[-1][0] == since:
            self._stuck.pop()
        self._stuck.append((since, at, (cpu_s - cpu) / seconds))

    def _flags(self, start: float, end: float) -> tuple[str, ...]:
        """Return what looked wrong within an interval, each kind of trouble once."""
        events = [event for event in self._events if start <= event.at <= end]
        counts = Counter(event.kind for event in events)
        last = {event.kind: event for event in events}
        flags = []
        for kind, count in counts.items():
            words = _WORDS.get(kind, kind).format(count=count, text=last[kind].text)
            flags.append(f"{EXCLUDED}{words}" if any(e.excludes for e in events if e.kind == kind) else words)
        for since, until, busy in self._stuck:
            if since < end and until > start:
                words = f"the same reading for {until - since:.0f} s"
                flags.append(f"{EXCLUDED}{words} while the processor worked" if busy > _BUSY else words)
        return tuple(flags)


_WORDS = {
    "failed": "{count} readings failed, at last: {text}",
    "unusable": "{text}",
    "no number": "{count} readings were no numbers and left out",
    "no power": "{count} readings of no power, or less, were left out",
    "beyond range": "{count} readings beyond the sensor's range were left out",
    "unit": "{count} readings differ by a factor of hundreds: the unit seems to have changed",
    "counter went back": "the counter went back {count} times",
    "counter jumped": "the counter jumped {count} times by more than can be true",
    "gap": "{count} gaps in the readings, the last of {text} s",
    "slept": "the device slept for {text} s",
    "clock": "the clock was set by {text} s; the figure does not depend on it",
}
