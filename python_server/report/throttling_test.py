from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import pytest

from python_server.report.throttling import Pace, paces
from python_server.run_rows import TEMPERATURE, DeviceRoundRow, MeasurementRow


def _pace(seconds: Sequence[float], celsius: Optional[Sequence[float]] = None, cuts: Sequence[str] = ()) -> Pace:
    rows = [
        DeviceRoundRow(
            n, "d", "pi", "ok", steps=100, train_s=s, plan={"submodel": "", "cut": cuts[n - 1] if cuts else ""}
        )
        for n, s in enumerate(seconds, start=1)
    ]  # fmt: skip
    heat = [
        MeasurementRow(n, "d", TEMPERATURE, value, "°C", "zone", "measured", {"at": at})
        for n, c in enumerate(celsius or (), start=1)
        for at, value in (("start", c - 20), ("end", c))
    ]
    (pace,) = paces(rows, heat, {"d": "pi"})
    return pace


def test_slower_and_warmer_is_throttled() -> None:
    pace = _pace([10, 10, 10, 11, 12, 12.5, 12.5, 12.5, 12.5], [50, 50, 50, 60, 65, 70, 71, 71, 71])
    assert (pace.early, pace.late) == (10.0, 8.0)
    assert pace.change == pytest.approx(-0.2)
    assert (pace.early_c, pace.late_c) == (50, 71)
    assert "throttled by heat" in pace.verdict


@pytest.mark.parametrize(
    ("celsius", "verdict"),
    [([50] * 6, "slower, but not warmer: another cause"), (None, "slower; its temperature is not known")],
)
def test_heat_is_not_blamed_without_a_sign_of_it(celsius: Optional[list[float]], verdict: str) -> None:
    assert _pace([10, 10, 12, 12, 13, 13], celsius).verdict == verdict


def test_steady_or_too_short_has_no_verdict() -> None:
    assert _pace([10, 10, 10, 10.5, 10.5, 10.5], [50, 50, 60, 60, 70, 70]).verdict == ""
    short = _pace([10, 10, 20, 20, 20])
    assert (short.early, short.change, short.verdict) == (None, None, "")


def test_rounds_with_another_part_of_the_model_are_another_pace() -> None:
    pace = _pace([10] * 6 + [20] * 3, cuts=[""] * 6 + ["conv3"] * 3)
    assert sorted(pace.steps_per_s) == [1, 2, 3, 4, 5, 6]
    assert pace.verdict == ""


def test_who_did_not_train_has_no_pace() -> None:
    assert paces([DeviceRoundRow(1, "d", "pi", "late"), DeviceRoundRow(2, "d", "pi", "ok", steps=3)], [], {}) == []
