from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from python_server.live import LIVE, Live, LiveFile, read_live
from python_server.progress_test import play
from python_server.run_rows import DeviceRoundRow
from python_server.store_test import a_round


def test_a_reader_sees_the_round_that_goes_on(tmp_path: Path) -> None:
    file = LiveFile(tmp_path)
    assert read_live(tmp_path) == Live()
    file.waiting(1, 2)
    live = read_live(tmp_path)
    assert (live.stage, live.present, live.needed, live.round) == ("waiting", 1, 2, None)
    file.round_started(3, 9, {"d1": "pi", "d2": "phone"})
    file.answered(DeviceRoundRow(3, "d2", "phone", "late", "no answer"))
    live = read_live(tmp_path)
    assert (live.stage, live.round, live.asked) == ("round", 3, {"d1": "pi", "d2": "phone"})
    outcome, reason, at = live.answered["d2"]
    assert (outcome, reason, list(live.answered)) == ("late", "no answer", ["d2"])
    assert at >= live.at
    file.round_done(a_round(3), [])
    live = read_live(tmp_path)
    assert (live.stage, live.round, live.answered) == ("done", 3, {})


def test_the_file_does_not_grow_with_the_rounds(tmp_path: Path) -> None:
    file = LiveFile(tmp_path)
    sizes = set()
    for number in range(10, 30):
        file.round_started(number, 99, {"d1": "pi"})
        file.answered(DeviceRoundRow(number, "d1", "pi", "ok"))
        sizes.add((tmp_path / LIVE).stat().st_size // 10)
    assert len(sizes) <= 2


def test_where_it_cannot_be_written_the_run_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    file = LiveFile(run)
    shutil.rmtree(run)
    play(file)
    assert not run.exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]\n", '{"event": "round"}\n', '{"at": "x", "event": "round"}\n', "\x00\xff\n", "3\nnull\n"]
)
def test_what_is_not_whole_counts_as_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / LIVE).write_text(text)
    assert read_live(tmp_path) == Live()


def test_half_a_line_at_the_end_is_left_for_later(tmp_path: Path) -> None:
    file = LiveFile(tmp_path)
    file.round_started(1, 2, {"d1": "pi"})
    file.answered(DeviceRoundRow(1, "d1", "pi", "ok"))
    text = (tmp_path / LIVE).read_text()
    (tmp_path / LIVE).write_text(text[:-9])
    live = read_live(tmp_path)
    assert (live.stage, live.answered) == ("round", {})
