"""Joules of one interval or many, from the running series of one source."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Callable, Optional, Protocol

from edge_client.energy.figure import EXCLUDED, Energy
from edge_client.energy.sampler import Sampler
from edge_client.energy.series import Span
from edge_client.energy.source import About, PowerSource

__all__ = ["Baseline", "EnergyMeter", "SampledMeter"]

_LEAST_COVERAGE = 0.9
_FULL_COVERAGE = 0.99
_BUSY_BASELINE = 0.1


class EnergyMeter(Protocol):
    """Measures one interval at a time: ``with meter: work()``, then `energy`."""

    def __enter__(self) -> EnergyMeter:
        """Begin an interval."""

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """End it."""

    @property
    def energy(self) -> Optional[Energy]:
        """Joules of the last interval; None when the source failed during it."""


@dataclass(frozen=True)
class Baseline:
    """Power of the idle device.

    Attributes
    ----------
    power_w
        Median of the readings.
    uncertainty_w
        Standard uncertainty of that median, from the readings' spread (median absolute deviation); None: not measured.
    flags
        What was wrong while it was measured.
    """

    power_w: float
    uncertainty_w: Optional[float] = None
    flags: tuple[str, ...] = ()


class SampledMeter:
    """A source that is read at a rate, and at the beginning and end of every interval.

    Parameters
    ----------
    source
        What to read.
    why
        Why it was chosen, in words.
    rate_hz
        Readings per second; None takes what suits the source.
    clock, cpu
        As for `edge_client.energy.sampler.Sampler`.
    """

    def __init__(
        self,
        source: PowerSource,
        *,
        why: str = "",
        rate_hz: Optional[float] = None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self.why = why
        self.sampler = Sampler(source, rate_hz=rate_hz, clock=clock, cpu=cpu)
        idle_w = source.about.idle_w
        self.baseline: Optional[Baseline] = None if idle_w is None else Baseline(idle_w)
        self._start = 0.0
        self._energy: Optional[Energy] = None

    @property
    def about(self) -> About:
        """What is known of the source."""
        return self.sampler.source.about

    def __enter__(self) -> SampledMeter:
        self._energy = None
        self._start = self.mark()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._energy = self.between(self._start, self.mark())

    @property
    def energy(self) -> Optional[Energy]:
        """Joules of the last interval; None when nothing could be read."""
        return self._energy

    def mark(self) -> float:
        """Read now, and return the moment on the meter's clock: a boundary of intervals."""
        self.sampler.start()
        return self.sampler.mark()

    def close(self) -> None:
        """End the thread and close the source."""
        self.sampler.stop()

    def measure_idle(self, seconds: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Measure what the idle device uses; nothing of ours may run meanwhile.

        Without effect where idle power is known beforehand, as in a model.

        Parameters
        ----------
        seconds
            How long; 0: not at all.
        """
        if seconds <= 0 or self.about.idle_w is not None:
            return
        start, busy = self.mark(), _busy_share()
        sleep(seconds)
        end = self.mark()
        powers, span = self.sampler.powers(start, end), self.sampler.between(start, end)
        if len(powers) < 3 or span is None or any(flag.startswith(EXCLUDED) for flag in span.flags):
            return
        median = statistics.median(powers)
        # 1.4826 and 1.2533: from the median absolute deviation to σ, and from σ/√n to the median's (normal spread).
        spread = 1.4826 * statistics.median([abs(power - median) for power in powers])
        share = busy()
        flags = list(span.flags)
        if share is not None and share > _BUSY_BASELINE:
            flags.append(f"{100 * share:.0f} % of the processor was busy while the idle power was measured")
        self.baseline = Baseline(median, 1.2533 * spread / math.sqrt(len(powers)), tuple(flags))

    def between(self, start: float, end: float) -> Optional[Energy]:
        """Return the joules between two moments on the meter's clock; None when nothing was read."""
        span = self.sampler.between(start, end)
        if span is None or (span.covered_s <= 0 and span.seconds > 0 and not span.flags):
            return None
        about, baseline = self.about, self.baseline
        coverage = min(1.0, span.covered_s / span.seconds) if span.seconds > 0 else 1.0
        flags = [*span.flags, *(baseline.flags if baseline else ())]
        if coverage < _LEAST_COVERAGE:
            flags.append(f"{EXCLUDED}readings cover {100 * coverage:.0f} % of the interval")
        elif coverage < _FULL_COVERAGE:
            flags.append(f"readings cover {100 * coverage:.0f} % of the interval")
        return Energy(
            gross_j=span.joules,
            idle_j=None if baseline is None else baseline.power_w * span.covered_s,
            method=about.method,
            source=self._words(),
            covers=about.covers,
            rate_hz=self._rate_hz(span),
            coverage=coverage,
            uncertainty_j=_uncertainty_j(about, span),
            flags=tuple(flags),
        )

    def _rate_hz(self, span: Span) -> Optional[float]:
        """Return how often was read; readings at an interval's ends do not make it faster than the thread is."""
        if self.sampler.rate_hz <= 0 or span.seconds <= 0:
            return None
        return min(self.sampler.rate_hz, max(0, span.readings - 1) / span.seconds)

    def _words(self) -> str:
        """Return the source in words, with where its uncertainty and its idle power come from."""
        words = self.about.title
        if self.about.accuracy is not None:
            words += f"; uncertainty: {self.about.accuracy.origin}"
        if self.baseline is not None and self.baseline.uncertainty_w is not None:
            idle_w, uncertainty_w = self.baseline.power_w, self.baseline.uncertainty_w
            words += f"; idle {idle_w:.3f} W (± {uncertainty_w:.3f} W by the readings' spread), measured before the run"
        return words


def _uncertainty_j(about: About, span: Span) -> Optional[float]:
    """Return gain, offset and what happened between readings, taken together; None without the first two."""
    if about.accuracy is None:
        return None
    accuracy = about.accuracy
    return math.hypot(accuracy.gain * span.joules, accuracy.offset_w * span.covered_s, span.deviation_j)


def _busy_share() -> Callable[[], Optional[float]]:
    """Return a function that tells which share of the machine's processors has worked since now."""
    first = _processor_ticks()

    def share() -> Optional[float]:
        last = _processor_ticks()
        if first is None or last is None or last[1] <= first[1]:
            return None
        return 1.0 - (last[0] - first[0]) / (last[1] - first[1])

    return share


def _processor_ticks() -> Optional[tuple[int, int]]:
    """Return idle and all ticks of all processors (``/proc/stat``)."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(word) for word in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    return (fields[3] + fields[4], sum(fields)) if len(fields) == 8 else None
