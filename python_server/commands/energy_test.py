"""A recording is attached to a run by the command, and what it says comes out of the run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_client.marker import MARKER
from python_server.cli import main
from python_server.energy_figures import all_figures, counted
from python_server.run_reader import RunReader
from python_server.traces import conftest as bench


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return bench.make_run(tmp_path / "run")


EXPECTED_J = {
    ("download", 1): 2 * bench.FETCH_W,
    ("train", 1): 6 * bench.TRAIN_W,
    ("upload", 1): 1.5 * bench.FETCH_W,
    ("wait", 2): 8.5 * bench.IDLE_W,  # from the answer's end at 13.5 s to 22 s
    ("download", 2): 2 * bench.FETCH_W,
    ("train", 2): 10 * bench.TRAIN_W,
    ("upload", 2): 1.5 * bench.FETCH_W,
}


def write_csv(path: Path, times: np.ndarray, watts: np.ndarray) -> Path:
    np.savetxt(path, np.stack([times, watts], 1), fmt="%.6f", delimiter=",", header="time,power", comments="")
    return path


def joules(run: Path) -> dict[tuple[str, int], float]:
    with RunReader(run) as reader:
        figures = counted(all_figures(reader))
    return {(phase, number): each.gross_j for (number, _, phase), each in figures.items()}


def output(capsys: pytest.CaptureFixture[str], *arguments: Any, status: int = 0) -> str:
    assert main([str(each) for each in arguments]) == status
    captured = capsys.readouterr()
    return captured.out if status == 0 else captured.err


@pytest.mark.parametrize("begins_at", [0.0, bench.START_AT], ids=["own clock", "unix time"])
def test_joules_of_every_phase_come_out_of_a_recording(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], begins_at: float
) -> None:
    times, watts = bench.recorded()
    file = write_csv(tmp_path / "bench.csv", times - bench.START_AT + begins_at, watts)
    attach = ("energy", "attach", run, "--device", "pi", file)
    assert "would add: 7 figures" in output(capsys, *attach, "--dry-run")
    assert joules(run) == {}
    for _ in range(2):  # a second time replaces the first
        assert "added: 7 figures of pi" in output(capsys, *attach)
    found = joules(run)
    assert found.keys() == EXPECTED_J.keys()
    for key, expected in EXPECTED_J.items():
        assert found[key] == pytest.approx(expected, abs=0.1), key
    with RunReader(run) as reader:
        figures = [each for each in all_figures(reader) if each.phase == "train"]
    assert len(figures) == 2
    for figure in figures:
        assert figure.idle_j == pytest.approx(2.0 * figure.gross_j / 6.0, rel=0.02)
        assert figure.rate_hz == pytest.approx(100, rel=0.01)
        assert figure.coverage == pytest.approx(1.0)
        assert (figure.method, figure.covers, figure.trace) == ("measured", "device", "bench.csv")
        # A second of preparing before or after, 0.05 s until the server looked: √2 × 4 W × 1.05 s / √3.
        # The clock adds less than half a second to that.
        assert 4 * 2**0.5 * 1.05 / 3**0.5 < (figure.uncertainty_j or 0) < 4 * 2**0.5 * 1.55 / 3**0.5
    table = output(capsys, "energy", "show", run)
    assert "measured, trace" in table
    lines = json.loads(output(capsys, "energy", "show", run, "--json"))
    assert all(line["counts"] and line["name"] == "pi" for line in lines)
    assert "removed: 7 figures" in output(capsys, "energy", "detach", run, "--device", "pi")
    assert joules(run) == {}
    assert "holds no figures of pi" in output(capsys, "energy", "detach", run, "--device", "pi", status=1)


def test_a_recording_that_ends_early_is_refused_or_taken_in_part(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times, watts = bench.recorded()
    early = times < bench.train_spans()[1][0] + 4
    file = write_csv(tmp_path / "bench.csv", times[early], watts[early])
    attach = ("energy", "attach", run, "--device", "pi", file)
    assert "does not cover the training of pi in round 2 (of 1 to 2)" in output(capsys, *attach, status=1)
    assert joules(run) == {}
    text = output(capsys, *attach, "--partial")
    assert "train, round 2: excluded: the trace covers 40 % of it" in text
    assert joules(run).keys() == EXPECTED_J.keys() - {("train", 2), ("upload", 2)}
    assert "pi, round 2, train: 24 J (measured): the trace covers 40 % of it" in output(capsys, "energy", "show", run)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "nobody"], "no device is called 'nobody'; there are: other, pi"),
        (["--device", "pi", "--offset", "-99999"], "covers nothing of the run: it lasts from 2025-10-08"),
        (["--device", "pi", "--volts", "-1"], "a supply has a positive voltage"),
        (["--device", "pi", "--format", "perfetto"], "it is no trace of Perfetto"),
        (["--device", "pi", "--column", "watts=nothing"], "there is no such column; there are: time, power"),
        (["--device", "pi", "--column", "watts=power:furlong"], "watts are in one of W, mW"),
        (["--device", "pi", "--column", "watts=-power"], "its mean power is -3"),
    ],
)
def test_what_does_not_fit_is_told_and_changes_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    file = write_csv(tmp_path / "bench.csv", *bench.recorded(20))
    assert words in output(capsys, "energy", "attach", run, file, *arguments, status=1)
    assert joules(run) == {}


def test_a_clock_that_is_off_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times, watts = bench.recorded()
    file = write_csv(tmp_path / "bench.csv", times - 3.0, watts)
    text = output(capsys, "energy", "attach", run, "--device", "pi", file)
    assert "flag: the training shows 3.0 s earlier in the trace than in the run" in text
    assert "see --offset 3.0" in text


def test_a_clock_that_is_off_a_little_is_put_right(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times, watts = bench.recorded()
    file = write_csv(tmp_path / "bench.csv", times + 0.4, watts)
    text = output(capsys, "energy", "attach", run, "--device", "pi", file)
    assert "its own Unix time, put right by -0.40 s" in text
    found = joules(run)
    for key, expected in EXPECTED_J.items():
        assert found[key] == pytest.approx(expected, abs=0.1), key


def test_a_marker_sets_the_clock(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times, watts = bench.recorded(before_s=60.0)
    marker_at = bench.START_AT - 40.0
    for start, end in MARKER:
        watts[(times >= marker_at + start) & (times < marker_at + end)] = 4.0
    file = write_csv(tmp_path / "bench.csv", times - times[0], watts)
    output(capsys, "energy", "attach", run, "--device", "pi", file, "--marker-at", marker_at)
    found = joules(run)
    for key, expected in EXPECTED_J.items():
        assert found[key] == pytest.approx(expected, abs=0.1), key


def test_a_run_without_energies_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no energies" in output(capsys, "energy", "show", run)
