from __future__ import annotations

from typing import Any

import pytest

from python_server.report.phases import Timeline, phase_seconds, run_timeline
from python_server.run_rows import DeviceRoundRow, RoundRow


def _round(number: int) -> RoundRow:
    return RoundRow(number, 1, 1000.0 * number, 12.0, 10.0, 0.1, 0.2, 1, 1, 1, "", "")


def _row(number: int = 1, outcome: str = "ok", **changes: Any) -> DeviceRoundRow:
    times: dict[str, Any] = {
        "download_s": 1.0,
        "prepare_s": 0.5,
        "train_s": 4.0,
        "upload_s": 1.5,
        "sent_after_s": 0.5,
        "replied_after_s": 8.0,
        "read_after_s": 9.5,
    }
    return DeviceRoundRow(number, "d", "pi", outcome, **{**times, **changes})


def _timeline(*rows: DeviceRoundRow, rounds: int = 2) -> Timeline:
    by_round: dict[int, list[DeviceRoundRow]] = {}
    for row in rows:
        by_round.setdefault(row.round, []).append(row)
    return run_timeline([_round(n) for n in range(rounds + 1)], by_round, {"d": "pi"})


def test_waiting_is_what_is_left_and_never_negative() -> None:
    assert phase_seconds(_row()) == {"download": 1.0, "prepare": 0.5, "train": 4.0, "upload": 1.5, "wait": 2.0}
    assert phase_seconds(_row(read_after_s=2.0))["wait"] == 0.0


def test_phases_stand_in_order_and_end_with_the_answer() -> None:
    line = _timeline(_row(1), _row(2))
    bars = [(bar.part, bar.start, bar.end) for bar in line.lanes["pi"]]
    assert bars[:5] == [
        ("wait", 0.5, 2.5),
        ("download", 2.5, 3.5),
        ("prepare", 3.5, 4.0),
        ("train", 4.0, 8.0),
        ("upload", 8.0, 9.5),
    ]
    # The second round begins where the first ends, whatever pause was between them.
    assert bars[5][1] == pytest.approx(12.5)
    assert (line.marks, line.end_s) == ([(0.0, "1"), (12.0, "2")], 24.0)


@pytest.mark.parametrize(
    ("outcome", "changes", "part", "end"),
    [
        ("late", {"read_after_s": None, "replied_after_s": None}, "no answer in time", 10.0),
        ("rejected", {}, "refused or failed", 9.5),
        ("error", {"read_after_s": None, "replied_after_s": 3.0}, "refused or failed", 3.0),
    ],
)
def test_who_did_not_do_it_has_one_bar(outcome: str, changes: dict[str, Any], part: str, end: float) -> None:
    (bar,) = _timeline(_row(1, outcome, reason="no space", **changes)).lanes["pi"]
    assert (bar.part, bar.start, bar.end, bar.words) == (part, 0.5, end, "pi, round 1: no space")


def test_who_was_not_asked_has_no_bar() -> None:
    assert _timeline(_row(1, "skipped")).lanes == {"pi": []}


def test_what_would_be_too_large_is_left_out_and_counted() -> None:
    lanes = {str(n): f"device {n}" for n in range(100)}
    line = run_timeline([_round(n) for n in range(2001)], {}, lanes)
    assert (len(line.lanes), line.left_out) == (20, 80)
    assert (len(line.marks), line.rounds_left_out) == (1200, 800)
    assert next(iter(line.lanes)) == "device 0"  # those first that are to be kept
    assert line.marks[-1][1] == "2000"
