"""NVIDIA's ``tegrastats``, for Jetsons whose monitor cannot be read in sysfs.

It prints a line per interval. Its powers are ``NAME now/mean``, in mW, with the unit from Jetson Linux R34 on::

    … POM_5V_IN 2746/2911 POM_5V_GPU 159/161 POM_5V_CPU 796/989
    … VDD_GPU_SOC 2340mW/2340mW VDD_CPU_CV 390mW/390mW VIN_SYS_5V0 4025mW/4025mW NC 0mW/0mW …

The second number is the mean since the tool was started, and not used.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Optional

from device_profiles import EnergySource
from edge_client.energy.ina3221 import choose_names
from edge_client.energy.source import About, PowerSource, ReadingError

__all__ = ["TegrastatsSource", "find_tegrastats", "powers_of"]

_PLACES = ("usr/bin/tegrastats", "home/nvidia/tegrastats", "home/ubuntu/tegrastats")
_POWER = re.compile(r"(?<!\S)([A-Za-z]\w*) (\d+)(?:mW)?/\d+(?:mW)?(?!\S)")
_INTERVAL_MS = 500
_STALE_S = 2.5
_FIRST_LINE_S = 5.0


def powers_of(line: str) -> dict[str, float]:
    """Return the power of each rail that a line tells, in watts."""
    return {name: int(now) / 1e3 for name, now in _POWER.findall(line) if name not in ("NC", "RAM", "SWAP", "IRAM")}


class TegrastatsSource(PowerSource):
    """The power of the board, or of its rails, in the last line of a ``tegrastats`` that runs beside the client.

    Parameters
    ----------
    tool
        Path of the tool.
    known
        What the device's profile says of its rails.
    clock
        Seconds that never go back.

    Raises
    ------
    edge_client.energy.source.ReadingError
        It cannot be started, says nothing, or nothing that can be used.
    """

    def __init__(
        self, tool: Path, known: Optional[EnergySource] = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._latest: tuple[float, dict[str, float]] = (0.0, {})
        self._came = threading.Event()
        try:
            self._process = subprocess.Popen(
                [str(tool), "--interval", str(_INTERVAL_MS)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we end it
            )
        except OSError as error:
            raise ReadingError(f"{tool}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._follow, name="tegrastats", daemon=True)
        self._thread.start()
        try:
            self._came.wait(_FIRST_LINE_S)
            powers = self._latest[1]
            if not powers:
                raise ReadingError(f"{tool}: it told no power within {_FIRST_LINE_S:g} s")
            self._names, covers = choose_names(powers, known)
        except BaseException:
            self.close()
            raise
        total = len(self._names) == 1 and covers != "parts"
        self.about = About(
            kind="tegrastats",
            title=f"tegrastats, {' + '.join(self._names)}",
            method="measured" if total else "rail",
            covers=covers,
            rate_hz=1000 / _INTERVAL_MS,
            most_w=100.0 * len(self._names),
        )

    def read(self) -> float:
        """Return watts, as of the last line.

        Raises
        ------
        edge_client.energy.source.ReadingError
            The tool has ended, is silent, or left a rail out.
        """
        at, powers = self._latest
        if self._process.poll() is not None:
            raise ReadingError(f"tegrastats ended with status {self._process.returncode}")
        if self._clock() - at > _STALE_S:
            raise ReadingError(f"tegrastats has said nothing for {self._clock() - at:.0f} s")
        try:
            return sum(powers[name] for name in self._names)
        except KeyError as error:
            raise ReadingError(f"tegrastats does not tell {error} any more") from None

    def close(self) -> None:
        """End the tool."""
        self._process.terminate()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()

    def helpers_cpu_s(self) -> float:
        """Return the processor seconds of the tool."""
        try:
            with open(f"/proc/{self._process.pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0

    def _follow(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream:
            for line in stream:
                powers = powers_of(line.decode("ascii", errors="replace"))
                if powers:
                    self._latest = (self._clock(), powers)
                    self._came.set()
        self._came.set()


def find_tegrastats(root: Path, known: Optional[EnergySource] = None) -> TegrastatsSource:
    """Start the machine's tool.

    Raises
    ------
    edge_client.energy.source.ReadingError
        There is none, or it tells no power.
    """
    for place in _PLACES:
        if os.access(root / place, os.X_OK):
            return TegrastatsSource(root / place, known)
    raise ReadingError("no tegrastats in /usr/bin")
