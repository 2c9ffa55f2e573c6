from __future__ import annotations

import numpy as np
import pytest

from edge_client.marker import MARKER, play
from python_server.errors import TraceError
from python_server.traces import PowerTrace, align

Spans = list[tuple[float, float]]


def a_trace(busy: Spans, *, length_s: float, rate_hz: float = 50.0, noise_w: float = 0.5) -> PowerTrace:
    """Return a trace of a device that uses 2 W, and 3 W more while it is busy."""
    times = np.arange(0, length_s, 1 / rate_hz)
    watts = 5 + np.random.default_rng(1).normal(0, noise_w, len(times))
    for start, end in busy:
        watts[(times >= start) & (times < end)] += 3
    return PowerTrace.of_watts(times, watts, unix=False, source="", covers="device")


def moved(busy: Spans, seconds: float) -> Spans:
    return [(start + seconds, end + seconds) for start, end in busy]


@pytest.mark.parametrize("rate_hz", [10.0, 1000.0])
def test_rounds_are_found_in_noise(rate_hz: float) -> None:
    busy = [(20.0, 31.0), (40.5, 50.0), (60.0, 75.0)]
    found = align(a_trace(busy, length_s=120, rate_hz=rate_hz), moved(busy, 1000.0))
    assert found.offset_s == pytest.approx(1000.0, abs=2 * max(1 / rate_hz, 0.005))
    assert found.slack_s < 0.5


@pytest.mark.parametrize("noise_w", [0.1, 3.0])
def test_the_offset_is_within_what_it_is_told_to_be(noise_w: float) -> None:
    busy = [(20.0, 31.0), (40.5, 50.0), (60.0, 75.0)]
    found = align(a_trace(busy, length_s=120, rate_hz=10, noise_w=noise_w), busy)
    assert abs(found.offset_s) <= found.slack_s
    assert found.slack_s == pytest.approx(0.2, abs=0.15)


def test_a_marker_fits_in_one_place_only() -> None:
    marker = moved(list(MARKER), 33.3)
    rounds = [(60.0 + 10 * number, 66.0 + 10 * number) for number in range(10)]
    found = align(a_trace([*marker, *rounds], length_s=200), moved(list(MARKER), 500.0))
    assert found.offset_s == pytest.approx(500.0 - 33.3, abs=0.05)
    assert found.correlation > 0.8
    assert found.next_best < 0.75


def test_rounds_that_look_alike_are_not_guessed() -> None:
    rounds = [(20.0 + 10 * number, 24.0 + 10 * number) for number in range(20)]
    with pytest.raises(TraceError, match=r"fits in several places .* record a marker"):
        align(a_trace(rounds, length_s=240), rounds[5:10])


def test_another_devices_trace_is_refused() -> None:
    with pytest.raises(TraceError, match="shows nothing like the load"):
        align(a_trace([], length_s=100), [(20.0, 30.0), (50.0, 55.0)])


def test_a_trace_that_is_too_short_is_refused() -> None:
    with pytest.raises(TraceError, match=r"20\.0 s long and the load to align to 44\.0 s"):
        align(a_trace([], length_s=20), [(0.0, 10.0), (30.0, 40.0)])
    with pytest.raises(TraceError, match="no training of this device"):
        align(a_trace([], length_s=20), [])


def test_the_marker_is_played_as_it_is_looked_for() -> None:
    now = [100.0]
    busy: list[float] = []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def clock() -> float:
        busy.append(now[0])
        now[0] += 0.01
        return now[0]

    assert play(wall=lambda: 1_000 + now[0], clock=clock, sleep=sleep) == pytest.approx(1_103.0)
    worked = [start for start, after in zip(busy, busy[1:]) if after - start < 0.02]
    assert len(worked) == pytest.approx(100 * sum(end - start for start, end in MARKER), rel=0.02)
    assert now[0] == pytest.approx(103.0 + MARKER[-1][1] + 3.0, abs=0.1)
