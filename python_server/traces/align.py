"""Find out by how much a trace's clock is off, from a load whose times are known.

An instrument counts seconds from wherever it began. The device's work shows in its power: what it did when is known,
from the run's rows (`python_server.traces.timeline`) or from a marker played before the run (`edge_client.marker`).
The offset is the one at which mean power and known work correlate best (Pearson's coefficient over bins of equal
length, by FFT). Rounds of the same length look alike when shifted by one, so an offset is taken only if no other one,
more than a second away, comes near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from python_server.errors import TraceError
from python_server.traces.power_trace import PowerTrace

__all__ = ["Alignment", "align"]

_FINEST_S = 0.005
_MOST_BINS = 2**19
_LEAST_CORRELATION = 0.5
_LEAST_LEAD = 0.02
"""By how much the best correlation has to be above another to be told apart from it."""
_SAME_S = 1.0
"""Offsets nearer than this, or than half of the shortest load, are the same one."""
_AROUND_S = 2.0
"""Idle time before and after the known work that has to fit too."""


@dataclass(frozen=True)
class Alignment:
    """What to add to a trace's times to get Unix time.

    Attributes
    ----------
    offset_s
        The seconds to add.
    correlation
        Between power and known work, at most 1.
    next_best
        The best one of any other offset.
    slack_s
        By how much the offset may be off: so far from it correlate others that are not told apart from it.
    """

    offset_s: float
    correlation: float
    next_best: float
    slack_s: float


def align(trace: PowerTrace, busy: Sequence[tuple[float, float]]) -> Alignment:
    """Find the offset at which the trace shows a known load.

    Parameters
    ----------
    trace
        With a clock of its own.
    busy
        Start and end (Unix time) of each stretch in which the device worked; it did little around and between them.

    Raises
    ------
    TraceError
        The trace is shorter than the load, shows nothing like it, or fits in several places.
    """
    if not busy:
        raise TraceError("the run has no training of this device to align to")
    first, last = busy[0][0] - _AROUND_S, busy[-1][1] + _AROUND_S
    length_s = trace.end_s - trace.start_s
    if length_s < last - first:
        raise TraceError(
            f"the trace is {length_s:.1f} s long and the load to align to {last - first:.1f} s: it does not cover it"
        )
    bin_s = max(_FINEST_S, length_s / _MOST_BINS, 1.0 / trace.rate_hz)
    power = trace.mean_watts(trace.start_s + bin_s * np.arange(int(length_s / bin_s) + 1))
    power = np.nan_to_num(power - np.nanmean(power))
    edges = bin_s * np.arange(int((last - first) / bin_s) + 1)
    load = _share_busy(first + edges, busy)
    correlations = _correlations(power, load)
    best = int(np.argmax(correlations))
    apart = max(_SAME_S, min(end - start for start, end in busy) / 2) / bin_s
    elsewhere = np.abs(np.arange(len(correlations)) - best) > apart
    found = Alignment(
        first - (trace.start_s + bin_s * (best + _between(correlations, best))),
        float(correlations[best]),
        float(correlations[elsewhere].max()) if elsewhere.any() else 0.0,
        bin_s * _reach(correlations, best),
    )
    if found.correlation < _LEAST_CORRELATION:
        raise TraceError(
            f"the trace shows nothing like the load (correlation {found.correlation:.2f}): is it of this device "
            "and this run? Where its clock is known, give --offset"
        )
    if found.correlation - found.next_best < _LEAST_LEAD:
        raise TraceError(
            f"the load fits in several places of the trace (correlations {found.correlation:.3f} and "
            f"{found.next_best:.3f}): record a marker (--marker-at), or give --offset"
        )
    return found


def _share_busy(edges_s: np.ndarray, busy: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return the share of each bin in which the device worked, float64."""
    worked = np.zeros(len(edges_s))
    for start, end in busy:
        worked += np.clip(edges_s - start, 0.0, end - start)
    return np.diff(worked) / np.diff(edges_s)


def _correlations(power: np.ndarray, load: np.ndarray) -> np.ndarray:
    """Return Pearson's coefficient of ``load`` with each stretch of ``power`` of its length, float64."""
    n = len(load)
    size = len(power) + n
    load = load - load.mean()
    products = np.fft.irfft(np.fft.rfft(power, size) * np.conj(np.fft.rfft(load, size)), size)[: len(power) - n + 1]
    sums, squares = (np.concatenate([[0.0], np.cumsum(values)]) for values in (power, power**2))
    spread = (squares[n:] - squares[:-n]) - (sums[n:] - sums[:-n]) ** 2 / n
    scale = np.sqrt(np.maximum(spread, 1e-12 * max(float(squares[-1]), 1e-300)) * float((load**2).sum()))
    return products / scale if scale.any() else np.zeros(len(products))


def _reach(values: np.ndarray, best: int) -> int:
    """Return how many bins away from the best one the last of the peak's bins lies that is about as good."""
    poor = np.flatnonzero(values < values[best] - _LEAST_LEAD)
    before, after = poor[poor < best], poor[poor > best]
    left = best - (int(before[-1]) if len(before) else -1)
    right = (int(after[0]) if len(after) else len(values)) - best
    return max(left, right)


def _between(values: np.ndarray, best: int) -> float:
    """Return where the peak lies between bins, by a parabola through it and its neighbours."""
    if not 0 < best < len(values) - 1:
        return 0.0
    left, peak, right = values[best - 1 : best + 2]
    bend = left - 2 * peak + right
    return 0.0 if bend >= 0 else float(0.5 * (left - right) / bend)
