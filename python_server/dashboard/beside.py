"""A dashboard beside a run: a process of its own, of low priority, that ends with it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from python_server.errors import DashboardError
from python_server.orphans import die_with_parent

__all__ = ["dashboard_beside"]

_NICE = 10
_STOP_S = 5.0


@contextlib.contextmanager
def dashboard_beside(folder: Path) -> Iterator[str]:
    """Serve a folder of runs while in the block.

    Parameters
    ----------
    folder
        Where the runs are; made if it is not there.

    Yields
    ------
    The address to open.

    Raises
    ------
    DashboardError
        It did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = str(Path(__file__).resolve().parent.parent.parent)
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(parent)
        os.nice(_NICE)

    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "python_server.cli", "dashboard", str(folder), "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])},
        start_new_session=True,  # Ctrl-C in the terminal is for us; it shows the end of the run first
        preexec_fn=prepare,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            address = str(json.loads(line)["dashboard"])
        except (ValueError, KeyError, TypeError):
            raise DashboardError("the dashboard did not start; without --dashboard the run does not need it") from None
        yield address
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
