from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from python_server.progress import JsonProgress, PlainProgress, Progress, SeveralProgress, TerminalProgress
from python_server.run_rows import DeviceRoundRow
from python_server.store_test import a_round


def play(progress: Progress) -> None:
    progress.started(Path("runs/x"), "127.0.0.1:9092", 3)
    progress.waiting(0, 2)
    progress.waiting(0, 2)
    progress.waiting(1, 2)
    progress.round_started(4, 5, {"d1": "pi", "d2": "phone"})
    progress.answered(DeviceRoundRow(4, "d1", "pi", "ok"))
    progress.answered(DeviceRoundRow(4, "d2", "phone", "late", "no answer within [3] s"))
    progress.note("something else")
    progress.round_done(a_round(4, accuracy=0.5, loss=1.25, asked=2, client_accuracy=0.25, client_loss=2.0), [])
    progress.close()


def test_plain_lines() -> None:
    out = io.StringIO()
    play(PlainProgress(out))
    assert out.getvalue().splitlines() == [
        "run: runs/x",
        "listening: 127.0.0.1:9092",
        "resumed after round 3",
        "waiting for devices: 0 of 2",
        "waiting for devices: 1 of 2",
        "round 4: phone late: no answer within [3] s",
        "something else",
        "round 4: accuracy 0.5000, loss 1.2500, on clients accuracy 0.2500, loss 2.0000, 1 of 2 devices, 2.00 s",
    ]


def test_terminal_says_the_same() -> None:
    out = io.StringIO()
    play(TerminalProgress(Console(file=out, force_terminal=True, width=60, _environ={})))
    assert "round 4: phone late: no answer within [3] s\n" in out.getvalue()
    assert "round 4 of 5: 1 of 2 devices done" in out.getvalue() or "round 4: accuracy 0.5000" in out.getvalue()


def test_json_lines() -> None:
    out = io.StringIO()
    play(JsonProgress(out))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["started", "device", "device", "note", "round"]
    assert events[2]["outcome"] == "late"
    assert events[4]["accuracy"] == 0.5


def test_several_hear_the_same() -> None:
    first, second = io.StringIO(), io.StringIO()
    play(SeveralProgress(PlainProgress(first), JsonProgress(second)))
    play(alone := PlainProgress(io.StringIO()))
    assert first.getvalue() == alone._out.getvalue()  # type: ignore[attr-defined]
    assert len(second.getvalue().splitlines()) == 5


def test_the_silent_one_says_nothing() -> None:
    play(Progress())
