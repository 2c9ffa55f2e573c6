from __future__ import annotations

from typing import Any, Optional

import pytest

from python_server.report.stragglers import CLASSES, slowness, stragglers
from python_server.run_rows import DeviceRoundRow, RoundRow

NAMES = {"a": "fast", "b": "usual", "c": "slow"}


def _row(number: int, device: str, read: Optional[float], outcome: str = "ok", **more: Any) -> DeviceRoundRow:
    return DeviceRoundRow(number, device, device, outcome, sent_after_s=1.0, read_after_s=read, **more)


def _round(number: int) -> RoundRow:
    return RoundRow(number, 1, 0.0, 22.0, 20.0, 0.1, 0.2, 3, 3, 1, "", "")


def test_rounds_wait_for_the_last_answer() -> None:
    rows = {n: [_row(n, "a", 3.0), _row(n, "b", 5.0), _row(n, "c", 9.0)] for n in (1, 2)}
    slow, fast, usual = stragglers([_round(1), _round(2)], rows, NAMES)
    assert (slow.device, slow.last_in, slow.waited_s) == ("slow", 2, 8.0)
    assert (slow.median_s, slow.relative) == (8.0, 2.0)
    assert (fast.device, fast.waited_s, usual.relative) == ("fast", 0.0, 1.0)


def test_late_devices_share_the_time_to_the_end() -> None:
    rows = {1: [_row(1, "a", 4.0), _row(1, "b", None, "late"), _row(1, "c", None, "late")]}
    found = {each.device: each for each in stragglers([_round(1)], rows, NAMES)}
    assert found["slow"].waited_s == found["usual"].waited_s == pytest.approx(8.0)
    assert (found["slow"].late, found["slow"].median_s, found["slow"].answered) == (1, None, 0)
    assert (found["fast"].waited_s, found["fast"].last_in) == (0.0, 0)


def test_who_was_not_asked_is_no_straggler() -> None:
    rows = {1: [_row(1, "a", 4.0), _row(1, "b", None, "skipped")]}
    assert [each.device for each in stragglers([_round(1)], rows, NAMES)] == ["fast"]


def test_classes_are_relative_to_the_round() -> None:
    rows = [
        _row(1, "a", 2.0),
        _row(1, "b", 3.0),
        _row(1, "c", 3.0),
        _row(1, "d", 5.5),
        _row(1, "e", None, "late"),
        _row(1, "f", 2.0, "rejected"),
        _row(1, "g", None, "skipped"),
    ]
    words = {device: CLASSES[index][1] for device, index in slowness(rows).items()}
    assert words["a"].startswith("under 0.8")
    assert words["b"].startswith("0.8 to 1.25")
    assert words["d"].startswith("over 2")
    assert [words[device].split()[0].rstrip(":") for device in "efg"] == ["late", "refused", "not"]
    assert slowness([]) == {}
