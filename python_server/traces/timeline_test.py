from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from python_server.run_reader import RunReader
from python_server.run_rows import (
    EVALUATION_ANSWERED,
    EVALUATION_DOWNLOAD,
    EVALUATION_STARTED,
    DeviceRoundRow,
    MeasurementRow,
    RoundRow,
)
from python_server.traces import DevicePhase, device_phases
from python_server.traces.conftest import START_AT, make_run, train_spans

Rows = tuple[list[RoundRow], list[DeviceRoundRow], list[MeasurementRow]]


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    with RunReader(make_run(tmp_path / "run")) as run:
        return run.rounds(), run.device_rounds(), run.measurements()


def spans(phases: list[DevicePhase], phase: str) -> list[tuple[float, float]]:
    return [(each.start_at, each.end_at) for each in phases if each.phase == phase]


def moment(number: int, device: str, quantity: str, at: float) -> MeasurementRow:
    return MeasurementRow(number, device, quantity, at, "s", "server's clock", "measured")


def test_phases_lie_where_the_rows_put_them(rows: Rows) -> None:
    phases = device_phases("sha256:pi", *rows)
    assert spans(phases, "train") == [pytest.approx(span) for span in train_spans()]
    assert spans(phases, "download")[0] == pytest.approx((START_AT + 2, START_AT + 4))
    assert spans(phases, "upload")[0] == pytest.approx((START_AT + 12, START_AT + 13.5))
    assert spans(phases, "wait") == [pytest.approx((START_AT + 13.5, START_AT + 22))]
    assert [each.slack_s for each in phases if each.phase == "train"] == pytest.approx([1.05, 1.05])
    assert not any(each.problem for each in phases)


def test_runs_without_the_moments_are_placed_from_their_rounds_ends(rows: Rows) -> None:
    rounds, device_rounds, _ = rows
    phases = device_phases("sha256:pi", rounds, device_rounds)
    assert spans(phases, "train") == [pytest.approx(span) for span in train_spans()]
    assert [each.slack_s for each in phases if each.phase == "train"] == pytest.approx([1.3, 1.3])


def test_what_was_not_answered_has_no_phases(rows: Rows) -> None:
    rounds, device_rounds, _ = rows
    lost = [
        replace(row, outcome="late", replied_after_s=None, read_after_s=None)
        if (row.round, row.name) == (1, "pi")
        else row
        for row in device_rounds
    ]
    assert {each.round for each in device_phases("sha256:pi", rounds, lost)} == {2}
    assert device_phases("sha256:nobody", rounds, device_rounds) == []
    # The exchange went on until its deadline, so its last answer does not tell when it began.
    (other,) = spans(device_phases("sha256:other", [replace(rounds[0], train_phase_s=12.55)], lost), "train")
    assert other == pytest.approx(train_spans()[0])


def test_evaluation_lies_between_two_waits(rows: Rows) -> None:
    rounds, device_rounds, moments = rows
    evaluated = [replace(row, evaluate_s=1.5) for row in device_rounds]
    moments = [
        *moments,
        moment(1, "", EVALUATION_STARTED, START_AT + 15),
        moment(1, "sha256:pi", EVALUATION_ANSWERED, START_AT + 17.125),
    ]
    phases = device_phases("sha256:pi", [replace(row, client_loss=0.5) for row in rounds], evaluated, moments)
    first = [each for each in phases if each.phase == "evaluate"]
    assert spans(first, "evaluate") == [pytest.approx((START_AT + 15.5, START_AT + 17))]
    assert first[0].slack_s == pytest.approx(0.125)
    assert spans(phases, "wait") == [
        pytest.approx((START_AT + 13.5, START_AT + 15.5)),
        pytest.approx((START_AT + 17, START_AT + 22)),
    ]


def test_the_download_of_an_evaluation_is_no_waiting(rows: Rows) -> None:
    """Half a second before it, and before a quarter of a second in which the weights are set."""
    rounds, device_rounds, moments = rows
    evaluated = [replace(row, evaluate_s=1.0, prepare_s=0.5) for row in device_rounds]
    moments = [
        *moments,
        moment(1, "", EVALUATION_STARTED, START_AT + 15),
        moment(1, "sha256:pi", EVALUATION_ANSWERED, START_AT + 18.125),
        moment(1, "sha256:pi", EVALUATION_DOWNLOAD, 0.5),
    ]
    phases = device_phases("sha256:pi", rounds, evaluated, moments)
    assert spans(phases, "evaluate") == [pytest.approx((START_AT + 17, START_AT + 18))]
    (download,) = [
        each for each in phases if each.phase == "download" and each.start_at > START_AT + 12 and each.round == 1
    ]
    assert (download.start_at, download.end_at) == pytest.approx((START_AT + 16.25, START_AT + 16.75))
    assert download.slack_s == pytest.approx(0.125 + 0.125)
    first, second = spans(phases, "wait")
    assert first[1] == pytest.approx(START_AT + 16.25)
    assert second[0] == pytest.approx(START_AT + 18), "from one task to the next, not from download to evaluation"


def test_evaluation_of_unknown_place_is_not_waiting(rows: Rows) -> None:
    rounds, device_rounds, moments = rows
    evaluated = [replace(row, client_loss=0.5) for row in rounds]
    phases = device_phases("sha256:pi", evaluated, device_rounds, moments)
    assert spans(phases, "wait") == [pytest.approx((START_AT + 20, START_AT + 22))]
    assert spans(phases, "evaluate") == []


def test_a_clock_that_jumped_is_not_believed(rows: Rows) -> None:
    rounds, device_rounds, moments = rows
    jumped = [replace(row, train_s=3600.0) if row.round == 2 else row for row in device_rounds]
    phases = device_phases("sha256:pi", rounds, jumped, moments)
    problems = {each.phase: each.problem for each in phases if each.round == 2 and each.phase in ("download", "train")}
    assert all("its clock jumped" in problem for problem in problems.values())
    assert not any(each.problem for each in phases if each.round == 1)
