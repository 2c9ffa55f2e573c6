from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edge_client.energy.series import Series
from edge_client.energy.source import About

WATTS = About("test", "a test", "measured", "board", most_w=50.0)
JOULES = replace(WATTS, unit="J")


def filled(values: list[tuple[float, float]], about: About = WATTS, cpu: float = 0.0) -> Series:
    series = Series(about)
    for at, value in values:
        series.add(at, value, cpu * at)
    return series


def test_trapezoids_over_the_moments_when_readings_were_taken() -> None:
    """0.1 s at 2 to 4 W, 0.3 s at 4 W, 0.1 s at 4 to 1 W: 0.3 + 1.2 + 0.25 J."""
    span = filled([(10.0, 2.0), (10.1, 4.0), (10.4, 4.0), (10.5, 1.0)]).between(10.0, 10.5)
    assert span is not None
    assert span.joules == pytest.approx(1.75)
    assert (span.covered_s, span.seconds, span.readings) == pytest.approx((0.5, 0.5, 4))
    assert span.deviation_j == pytest.approx(math.hypot(2 * 0.1, 0, 3 * 0.1) / math.sqrt(12))
    assert span.flags == ()


def test_any_interval_of_a_running_series() -> None:
    series = filled([(i / 10, 3.0 + i % 2) for i in range(101)])
    whole, first, second = series.between(0, 10), series.between(0, 3.33), series.between(3.33, 10)
    assert whole is not None
    assert first is not None
    assert second is not None
    assert whole.joules == pytest.approx(35.0)
    assert first.joules + second.joules == pytest.approx(whole.joules)
    assert first.joules == pytest.approx(3.33 * 3.5, rel=0.01)


def test_nothing_read_is_no_figure_and_what_was_not_seen_is_not_covered() -> None:
    assert Series(WATTS).between(0, 1) is None
    span = filled([(5.0, 2.0), (5.2, 2.0)]).between(4.0, 6.0)
    assert span is not None
    assert (span.joules, span.covered_s) == pytest.approx((0.4, 0.2))


def test_a_gap_is_not_bridged() -> None:
    span = filled([(0.0, 2.0), (0.1, 2.0), (7.1, 9.0), (7.2, 9.0)]).between(0.0, 7.2)
    assert span is not None
    assert span.joules == pytest.approx(0.2 + 0.9)
    assert span.covered_s == pytest.approx(0.2)
    assert span.flags == ("1 gaps in the readings, the last of 7.0 s",)


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (-0.5, "1 readings of no power, or less, were left out"),
        (0.0, "1 readings of no power, or less, were left out"),
        (math.nan, "1 readings were no numbers and left out"),
        (60.0, "1 readings beyond the sensor's range were left out"),
    ],
)
def test_readings_that_cannot_be_true_are_left_out_and_told(value: float, flag: str) -> None:
    span = filled([(0.0, 2.0), (0.1, 2.0), (0.2, value), (0.3, 2.0), (0.4, 2.0)]).between(0.0, 0.4)
    assert span is not None
    assert span.joules == pytest.approx(0.8)
    assert span.flags == (flag,)


@pytest.mark.parametrize("factor", [1000, 1e-3])
def test_a_change_of_unit_excludes_what_follows(factor: float) -> None:
    """Milliwatts that become microwatts, or the other way round."""
    readings = [(i / 10, 2.0 + 0.01 * (i % 3)) for i in range(20)]
    readings += [(i / 10, (2.0 + 0.01 * (i % 3)) * factor) for i in range(20, 40)]
    series = filled(readings, replace(WATTS, most_w=1e9))
    before, after = series.between(0.0, 1.9), series.between(2.0, 3.9)
    assert before is not None
    assert after is not None
    assert before.flags == ()
    assert after.flags[0].startswith("excluded: 20 readings differ by a factor of hundreds")
    assert after.joules == 0


def test_a_load_that_comes_and_goes_is_no_change_of_unit() -> None:
    readings = [(i / 10, 0.4) for i in range(20)] + [(2 + i / 10, 40.0) for i in range(20)]
    span = filled(readings).between(0.0, 3.9)
    assert span is not None
    assert span.flags == ()
    assert span.joules == pytest.approx(1.9 * 0.4 + 0.1 * 20.2 + 1.9 * 40)


@pytest.mark.parametrize(
    ("cpu", "expected"), [(1.0, "excluded: the same reading for 12 s while the"), (0.01, "the sa")]
)
def test_a_sensor_that_sticks(cpu: float, expected: str) -> None:
    """While the processor works that is a defect; on an idle board it may be so."""
    series = filled([(i / 10, 5.0 if i < 121 else 5.0 + 0.01 * (i % 2 + 1)) for i in range(200)], cpu=cpu)
    stuck, later = series.between(0.0, 12.0), series.between(13.0, 19.0)
    assert stuck is not None
    assert later is not None
    assert stuck.flags[0].startswith(expected)
    assert later.flags == ()


def test_a_counter_needs_no_readings_between() -> None:
    span = filled([(0.0, 1000.0), (60.0, 1300.0)], JOULES).between(0.0, 30.0)
    assert span is not None
    assert (span.joules, span.covered_s, span.flags) == (150.0, 30.0, ())


def test_a_counter_that_goes_back_or_jumps_excludes() -> None:
    series = filled([(0.0, 100.0), (1.0, 110.0), (2.0, 5.0), (3.0, 120.0), (4.0, 99_999.0), (5.0, 99_999.0)], JOULES)
    back, jumped = series.between(1.5, 3.0), series.between(3.5, 5.0)
    assert back is not None
    assert jumped is not None
    assert back.flags == ("excluded: the counter went back 1 times",)
    assert jumped.flags == ("excluded: the counter jumped 1 times by more than can be true",)
    assert jumped.joules == 0


def test_old_readings_are_thinned_out_and_sums_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_client.energy.series._MOST_POINTS", 64)
    thin = filled([(i / 10, 1.0 + i % 7) for i in range(1000)])
    monkeypatch.undo()
    whole = filled([(i / 10, 1.0 + i % 7) for i in range(1000)])
    a, b = thin.between(0, 99.9), whole.between(0, 99.9)
    assert a is not None
    assert b is not None
    assert (a.joules, a.covered_s) == pytest.approx((b.joules, 99.9))
    assert a.readings == b.readings == 1000
    assert len(thin.powers(0, 99.9)) <= 64


def test_powers_of_both_kinds() -> None:
    assert filled([(0.0, 2.0), (1.0, 3.0)]).powers(0.0, 1.0) == [2.0, 3.0]
    assert filled([(0.0, 7.0), (1.0, 9.0), (3.0, 10.0)], JOULES).powers(0.0, 3.0) == [2.0, 0.5]
