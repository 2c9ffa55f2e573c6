"""How far each device is: bars on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from deployment.fleet import Outcome, Watcher
from deployment.steps import Step

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["PlainWatcher", "TerminalWatcher", "choose_watcher"]


class PlainWatcher(Watcher):
    """One line for each step that is done."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()

    def ended(self, device: str, step: Step, moved: int) -> None:
        """Say what was done."""
        self._say(f"{device}: {step.describe}")

    def trouble(self, device: str, text: str) -> None:
        """Say what went wrong."""
        self._say(text)

    def _say(self, line: str) -> None:
        with self._lock:
            print(line, file=self._out, flush=True)


class TerminalWatcher(Watcher):
    """A bar for each device."""

    def __init__(self, progress: Progress, devices: Sequence[str]) -> None:
        self._progress = progress
        self._tasks = {device: progress.add_task(device, total=None, what="waiting") for device in devices}

    def began(self, device: str, step: Step) -> None:
        """Show the step."""
        self._progress.reset(self._tasks[device], total=step.payload_bytes or None, what=step.describe)

    def moved(self, device: str, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._tasks[device], completed=done, total=total)

    def trouble(self, device: str, text: str) -> None:
        """Show what went wrong."""
        self._progress.update(self._tasks[device], what=text)

    def finished(self, outcome: Outcome) -> None:
        """Fill the bar."""
        what = "failed" if outcome.error else "done"
        self._progress.update(self._tasks[outcome.device], completed=1, total=1, what=what)


@contextmanager
def choose_watcher(devices: Sequence[str], *, quiet: bool) -> Iterator[Watcher]:
    """Give what fits standard error, where progress goes; standard output is for results."""
    if quiet:
        yield Watcher()
    elif not sys.stderr.isatty():
        yield PlainWatcher(sys.stderr)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(20), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TextColumn("{task.fields[what]}"), console=Console(stderr=True)) as progress:
            yield TerminalWatcher(progress, devices)
