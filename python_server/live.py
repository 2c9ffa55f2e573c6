"""What goes on in a run between two commits: a small file that the round loop writes and a dashboard reads.

The run store learns of a round when it is over. Until then ``live.jsonl`` in the run directory says what was asked of
whom, and who has answered: one JSON object a line. It starts anew with every round, so it stays small, and a
reader that comes late reads it from the start. It is worth nothing after the run: it is not synchronized to the disk,
and where it cannot be written, the run goes on without it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from python_server.progress import Progress
from python_server.run_rows import DeviceRoundRow, RoundRow

__all__ = ["LIVE", "Live", "LiveFile", "read_live"]

LIVE = "live.jsonl"
_MOST_BYTES = 4 * 2**20
"""Of the file that a reader takes: some 20,000 devices."""


class LiveFile(Progress):
    """Writes down what goes on.

    Parameters
    ----------
    run
        The run directory.
    """

    def __init__(self, run: Path) -> None:
        self._file = run / LIVE
        self._told: tuple[int, int] = (-1, -1)

    def waiting(self, present: int, needed: int) -> None:
        """Write how many devices are there, when that changed."""
        if (present, needed) != self._told:
            self._told = present, needed
            self._write("w", "waiting", present=present, needed=needed)

    def round_started(self, number: int, rounds: int, asked: Mapping[str, str]) -> None:
        """Write who was asked."""
        self._told = (-1, -1)
        self._write("w", "round", round=number, asked=dict(asked))

    def answered(self, row: DeviceRoundRow) -> None:
        """Write what became of a device's part."""
        self._write("a", "answered", device=row.device, outcome=row.outcome, reason=row.reason)

    def round_done(self, row: RoundRow, devices: Sequence[DeviceRoundRow]) -> None:
        """Write that the round is committed."""
        self._write("w", "done", round=row.round)

    def _write(self, mode: str, event: str, **values: object) -> None:
        line = json.dumps({"at": round(time.time(), 3), "event": event, **values}) + "\n"
        with contextlib.suppress(OSError), self._file.open(mode, encoding="utf-8") as file:
            file.write(line)


@dataclass(frozen=True)
class Live:
    """What goes on.

    Attributes
    ----------
    stage
        ``waiting`` for devices, ``round`` (a round is going on), ``done`` (one was committed), or empty: not known.
    at
        Since when, Unix time.
    round
        The round; None while waiting.
    present, needed
        Devices, while waiting.
    asked
        Names of the devices that were asked, by id.
    answered
        By id: outcome, reason, Unix time.
    """

    stage: str = ""
    at: float = 0.0
    round: Optional[int] = None
    present: int = 0
    needed: int = 0
    asked: dict[str, str] = field(default_factory=dict)
    answered: dict[str, tuple[str, str, float]] = field(default_factory=dict)


def read_live(run: Path) -> Live:
    """Return what goes on in a run; what cannot be read, or is being written, counts as not there."""
    try:
        with (run / LIVE).open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MOST_BYTES)
    except OSError:
        return Live()
    lines = [line for line in map(_parsed, text.splitlines()) if line is not None]
    if not lines:
        return Live()
    try:
        first = lines[0]
        return Live(
            stage=str(first["event"]),
            at=float(first["at"]),
            round=int(first["round"]) if "round" in first else None,
            present=int(first.get("present", 0)),
            needed=int(first.get("needed", 0)),
            asked={str(device): str(name) for device, name in dict(first.get("asked", {})).items()},
            answered={
                str(line["device"]): (str(line["outcome"]), str(line["reason"]), float(line["at"]))
                for line in lines[1:]
            },
        )
    except (KeyError, TypeError, ValueError):
        return Live()


def _parsed(line: str) -> Optional[dict[str, Any]]:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
