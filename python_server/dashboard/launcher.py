"""Start runs from the dashboard, and stop runs, whoever started them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from python_server.errors import DashboardError
from python_server.orphans import die_with_parent
from python_server.run_rows import Json

__all__ = ["Launcher"]

_KEPT_LINES = 30
_KEPT_RUNS = 10
_MOST_AT_ONCE = 4
_STOP_S = 15.0


@dataclass(eq=False)
class _Started:
    """A run that was started here."""

    title: str
    process: asyncio.subprocess.Process
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    reading: asyncio.Task[None] | None = None

    @property
    def code(self) -> int | None:
        """How it ended; None while it goes on, or has lines that were not read yet: the last of them says why."""
        return self.process.returncode if self.reading is not None and self.reading.done() else None


class Launcher:
    """Runs ``pocketfleet`` in processes of their own, none of which outlives the dashboard."""

    def __init__(self) -> None:
        self._started: list[_Started] = []

    def told(self) -> Json:
        """Return what was started here, the newest first, for the page."""
        return {
            "started": [
                {"title": each.title, "code": each.code, "lines": list(each.lines)[-3:]}
                for each in reversed(self._started)
            ]
        }

    async def start(self, title: str, *arguments: str) -> None:
        """Start ``pocketfleet`` with these arguments.

        Parameters
        ----------
        title
            What the page calls it; one of a title goes on at a time.
        arguments
            Words after the program's name.

        Raises
        ------
        DashboardError
            It goes on already, or too many do.
        OSError
            It cannot be started.
        """
        going = [each for each in self._started if each.process.returncode is None]
        if any(each.title == title for each in going):
            raise DashboardError(f"{title} was started here and still goes on")
        if len(going) >= _MOST_AT_ONCE:
            raise DashboardError(f"{len(going)} runs that were started here still go on; stop one first")
        here = str(Path(__file__).resolve().parent.parent.parent)
        paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        parent = os.getpid()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "python_server.cli", *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C in the terminal is for us; we tell it
            preexec_fn=lambda: die_with_parent(parent),
        )  # fmt: skip
        started = _Started(title, process)
        started.reading = asyncio.create_task(_read(started))
        self._started = [*self._started, started][-_KEPT_RUNS - _MOST_AT_ONCE :]

    async def close(self) -> None:
        """Stop what was started here, as Ctrl-C would, and wait until it is over."""
        going = [each for each in self._started if each.process.returncode is None]
        for each in going:
            with contextlib.suppress(ProcessLookupError):
                each.process.terminate()
        for each in going:
            try:
                await asyncio.wait_for(each.process.wait(), _STOP_S)
            except asyncio.TimeoutError:
                each.process.kill()
                await each.process.wait()


async def _read(started: _Started) -> None:
    stream = started.process.stdout
    assert stream is not None
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # a line longer than the buffer, which was thrown away
            continue
        if not line:
            break
        started.lines.append(line.decode("utf-8", errors="replace").rstrip()[:2000])
    await started.process.wait()
