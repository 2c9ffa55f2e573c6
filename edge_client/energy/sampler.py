"""Reads a source at a rate, in its own thread, and knows what that costs."""

from __future__ import annotations

import math
import threading
import time
from typing import Callable, Optional

from edge_client.energy.series import Series, Span
from edge_client.energy.source import PowerSource, ReadingError

__all__ = ["Sampler"]

_SLEPT_S = 1.0
_SET_S = 2.0
_LOOK_S = 0.5
_PATIENCE_S = 0.9
"""A mark waits no longer for a reading that is going on: work must not wait for a meter that is out of reach."""


class Sampler:
    """The running series of one source's readings.

    Parameters
    ----------
    source
        What to read; closed by `stop`.
    rate_hz
        Readings per second; None takes what suits the source. 0: only where `mark` is called.
    clock
        Seconds that never go back; a clock that is set does not matter.
    cpu
        Processor seconds of this process.
    """

    def __init__(
        self,
        source: PowerSource,
        *,
        rate_hz: Optional[float] = None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self.source = source
        self.rate_hz = source.about.rate_hz if rate_hz is None else rate_hz
        self._clock, self._cpu = clock, cpu
        self._series = Series(source.about)
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._unreachable = False
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._busy_s = 0.0
        self._since = 0.0
        self._offsets: Optional[tuple[float, float]] = None

    @property
    def overhead(self) -> Optional[float]:
        """Share of one core that the thread, and processes of the source, have used so far; None without a thread."""
        elapsed = self._clock() - self._since
        return self._busy_s / elapsed if self._thread is not None and elapsed > 0 else None

    def start(self) -> None:
        """Begin to read. Without effect when it has begun, or at a rate of 0."""
        if self._thread is None and self.rate_hz > 0:
            self._since = self._clock()
            self._thread = threading.Thread(target=self._run, name="energy", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread and close the source."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        self.source.close()

    def mark(self) -> float:
        """Read now, and return the moment: a boundary of intervals.

        Where the thread waits in vain for a reading, it only returns the moment.
        """
        threaded = self._thread is not None
        if (threaded and self._unreachable) or not self._reading.acquire(timeout=_PATIENCE_S if threaded else -1):
            return self._clock()
        try:
            return self._read()
        finally:
            self._reading.release()

    def between(self, start: float, end: float) -> Optional[Span]:
        """Return what was read between two moments."""
        with self._lock:
            return self._series.between(start, end)

    def powers(self, start: float, end: float) -> list[float]:
        """Return the power at each reading between two moments, in watts."""
        with self._lock:
            return self._series.powers(start, end)

    def _run(self) -> None:
        period = 1.0 / self.rate_hz
        due = self._clock() + period
        while not self._stop.wait(max(0.0, due - self._clock())):
            with self._reading:
                self._read()
            # Missed moments are not made up for: they are gaps, and readings in a burst would not fill them.
            due = max(due + period, self._clock())
            self._busy_s = time.thread_time() + self.source.helpers_cpu_s()

    def _read(self) -> float:
        before = self._clock()
        try:
            value = self.source.read()
        except ReadingError as error:
            kind = "unusable" if error.excludes else "failed"
            self._unreachable = self._clock() - before > _PATIENCE_S
            with self._lock:
                self._watch_clocks(before)
                self._series.note(before, kind, str(error), excludes=error.excludes)
            return before
        after = self._clock()
        # A bus may be slow: the reading was taken somewhere between asking and having it.
        at = 0.5 * (before + after)
        self._unreachable = False
        with self._lock:
            self._watch_clocks(before)
            self._series.add(at, value, self._cpu())
        return at

    def _watch_clocks(self, now: float) -> None:
        """Notice that the device slept, or that its clock was set, since the last reading."""
        start = time.monotonic()
        offsets = (_boottime() - start, time.time() - start)
        if time.monotonic() - start > _LOOK_S:
            return  # something else ran between one clock and the other, so their difference says nothing
        if self._offsets is not None:
            slept = offsets[0] - self._offsets[0]
            moved = offsets[1] - self._offsets[1] - slept
            if slept > _SLEPT_S:
                self._series.note(now, "slept", f"{slept:.0f}")
            if math.fabs(moved) > _SET_S:
                self._series.note(now, "clock", f"{moved:+.0f}")
        self._offsets = offsets


def _boottime() -> float:
    """Return seconds since the start, sleep included, where the system tells; else without."""
    identity = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if identity is None else time.clock_gettime(identity)
