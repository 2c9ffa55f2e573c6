"""Tell a person, or a program, how a run goes: a live line on a terminal, plain lines in a pipe, JSON on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from python_server.run_rows import DeviceRoundRow, RoundRow

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["JsonProgress", "PlainProgress", "Progress", "SeveralProgress", "TerminalProgress", "choose_progress"]


class Progress:
    """Hears of everything that happens in a run, in order; this one says nothing."""

    def started(self, run: Path, address: str, resumed_after: int | None) -> None:
        """Hear that the server listens; the run is new, or goes on after a round."""

    def simulating(self, run: Path, devices: int, resumed_after: int | None) -> None:
        """Hear that so many devices are simulated; the run is new, or goes on after a round."""

    def waiting(self, present: int, needed: int) -> None:
        """Hear that devices are being waited for."""

    def round_started(self, number: int, rounds: int, asked: Mapping[str, str]) -> None:
        """Hear that devices were chosen and are about to be asked: their names by id."""

    def answered(self, row: DeviceRoundRow) -> None:
        """Hear that a device's part in the round is settled."""

    def round_done(self, row: RoundRow, devices: Sequence[DeviceRoundRow]) -> None:
        """Hear that the round is committed."""

    def note(self, text: str) -> None:
        """Hear something else that is worth a line."""

    def close(self) -> None:
        """Hear that nothing more will come."""


class PlainProgress(Progress):
    """One plain line for each thing that happened."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._present = -1

    def started(self, run: Path, address: str, resumed_after: int | None) -> None:
        """Name the run and the address."""
        self._say(f"run: {run}")
        self._say(f"listening: {address}")
        if resumed_after is not None:
            self._say(f"resumed after round {resumed_after}")

    def simulating(self, run: Path, devices: int, resumed_after: int | None) -> None:
        """Name the run."""
        self._say(f"run: {run}")
        self._say(f"simulated devices: {devices}; times and energy are modelled")
        if resumed_after is not None:
            self._say(f"resumed after round {resumed_after}")

    def waiting(self, present: int, needed: int) -> None:
        """Say how many devices are there, when that changed."""
        if present != self._present:
            self._say(f"waiting for devices: {present} of {needed}")
            self._present = present

    def answered(self, row: DeviceRoundRow) -> None:
        """Name devices that could not be used."""
        if row.outcome not in ("ok", "partial"):
            self._say(f"round {row.round}: {row.name} {row.outcome}: {row.reason}")

    def round_done(self, row: RoundRow, devices: Sequence[DeviceRoundRow]) -> None:
        """Sum the round up."""
        self._say(_summary(row))

    def note(self, text: str) -> None:
        """Pass the line on."""
        self._say(text)

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class TerminalProgress(PlainProgress):
    """Plain lines, and below them a live one that says what is going on now."""

    def __init__(self, console: Console) -> None:
        super().__init__(console.file)
        self._console = console
        self._status = console.status("starting")
        self._status.start()
        self._settled = 0
        self._asked = 0
        self._where = ""

    def waiting(self, present: int, needed: int) -> None:
        """Show how many devices are there."""
        self._status.update(f"waiting for devices: {present} of {needed}")

    def round_started(self, number: int, rounds: int, asked: Mapping[str, str]) -> None:
        """Show the round."""
        self._where, self._asked, self._settled = f"round {number} of {rounds}", len(asked), 0
        self._status.update(f"{self._where}: 0 of {self._asked} devices done")

    def answered(self, row: DeviceRoundRow) -> None:
        """Show how many devices are done."""
        super().answered(row)
        self._settled += 1
        self._status.update(f"{self._where}: {self._settled} of {self._asked} devices done")

    def close(self) -> None:
        """Remove the live line."""
        self._status.stop()

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class SeveralProgress(Progress):
    """Passes all that it hears on to several others."""

    def __init__(self, *others: Progress) -> None:
        self._others = others

    def started(self, run: Path, address: str, resumed_after: int | None) -> None:
        """Pass it on."""
        for other in self._others:
            other.started(run, address, resumed_after)

    def simulating(self, run: Path, devices: int, resumed_after: int | None) -> None:
        """Pass it on."""
        for other in self._others:
            other.simulating(run, devices, resumed_after)

    def waiting(self, present: int, needed: int) -> None:
        """Pass it on."""
        for other in self._others:
            other.waiting(present, needed)

    def round_started(self, number: int, rounds: int, asked: Mapping[str, str]) -> None:
        """Pass it on."""
        for other in self._others:
            other.round_started(number, rounds, asked)

    def answered(self, row: DeviceRoundRow) -> None:
        """Pass it on."""
        for other in self._others:
            other.answered(row)

    def round_done(self, row: RoundRow, devices: Sequence[DeviceRoundRow]) -> None:
        """Pass it on."""
        for other in self._others:
            other.round_done(row, devices)

    def note(self, text: str) -> None:
        """Pass it on."""
        for other in self._others:
            other.note(text)

    def close(self) -> None:
        """Pass it on."""
        for other in self._others:
            other.close()


class JsonProgress(Progress):
    """One JSON object a line."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def started(self, run: Path, address: str, resumed_after: int | None) -> None:
        """Name the run and the address."""
        self._say("started", run=str(run), address=address, resumed_after=resumed_after)

    def simulating(self, run: Path, devices: int, resumed_after: int | None) -> None:
        """Name the run."""
        self._say("started", run=str(run), simulated_devices=devices, resumed_after=resumed_after)

    def answered(self, row: DeviceRoundRow) -> None:
        """Pass on the device's row."""
        self._say("device", **vars(row))

    def round_done(self, row: RoundRow, devices: Sequence[DeviceRoundRow]) -> None:
        """Pass on the round's row."""
        self._say("round", **vars(row))

    def note(self, text: str) -> None:
        """Pass on the line."""
        self._say("note", text=text)

    def _say(self, kind: str, **values: object) -> None:
        print(json.dumps({"event": kind, **values}), file=self._out, flush=True)


def choose_progress(*, as_json: bool) -> Progress:
    """Return what fits the program's standard output."""
    if as_json:
        return JsonProgress(sys.stdout)
    if sys.stdout.isatty():
        from rich.console import Console

        return TerminalProgress(Console())
    return PlainProgress(sys.stdout)


def _summary(row: RoundRow) -> str:
    parts = []
    if row.accuracy is not None and row.loss is not None:
        parts.append(f"accuracy {row.accuracy:.4f}, loss {row.loss:.4f}")
    if row.client_accuracy is not None and row.client_loss is not None:
        parts.append(f"on clients accuracy {row.client_accuracy:.4f}, loss {row.client_loss:.4f}")
    if row.asked:
        parts.append(f"{row.used} of {row.asked} devices")
    parts.append(f"{row.wall_s:.2f} s")
    return f"round {row.round}: " + ", ".join(parts)
