"""Raspberry Pi 5's power chip (PMIC), which the firmware reads for ``vcgencmd pmic_read_adc``.

It tells current and voltage of twelve rails behind the converters, so what the converters lose, and what hangs on 5 V
directly (USB, HATs), is not in the sum. On one board, a meter in the supply line showed 1.145 times the sum plus 0.59 W
(github.com/jfikar/RPi5-power); that is told here, and not applied.

The firmware is asked through its mailbox (``/dev/vcio``), as ``vcgencmd`` does it, without starting a process for each
reading (github.com/raspberrypi/firmware/wiki/Mailbox-property-interface; tag 0x00030080).
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import resource
import struct
import subprocess
from pathlib import Path
from typing import Optional, Protocol

from device_profiles import EnergySource
from edge_client.energy.source import About, PowerSource, ReadingError

__all__ = ["Mailbox", "PmicSource", "Vcgencmd", "find_pmic", "watts_of"]

_COMMAND = "pmic_read_adc"
_DEVICES = ("dev/vcio_gencmd", "dev/vcio")
_TOOLS = ("usr/bin/vcgencmd", "opt/vc/bin/vcgencmd")
_LINE = re.compile(r"^\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=(\d+(?:\.\d+)?)[AV]$", re.MULTILINE)
_WITHOUT_CURRENT = ("EXT5V", "BATT")

_TAG = 0x00030080
_MOST_BYTES = 1024
_LAYOUT = f"=6I{_MOST_BYTES}sI"
_IOWR = (3 << 30) | (struct.calcsize("P") << 16) | (100 << 8)
"""Linux's ``_IOWR(100, 0, char *)``."""


def watts_of(answer: str) -> float:
    """Return the sum of current × voltage over all rails of an answer.

    Raises
    ------
    edge_client.energy.source.ReadingError
        It holds no rails, or one of them is incomplete, as in an answer that was cut short.
    """
    values = {(rail, unit): float(value) for rail, unit, value in _LINE.findall(answer)}
    rails = {rail for rail, _ in values} - set(_WITHOUT_CURRENT)
    if not rails:
        raise ReadingError(f"{_COMMAND}: {' '.join(answer.split())[:80] or 'no answer'}")
    missing = sorted(rail for rail in rails if (rail, "A") not in values or (rail, "V") not in values)
    if missing:
        raise ReadingError(f"{_COMMAND}: rail {missing[0]} is without its current or voltage")
    return math.fsum(values[rail, "A"] * values[rail, "V"] for rail in rails)


class _Firmware(Protocol):
    """A way to the firmware."""

    rate_hz: float

    def ask(self) -> str:
        """Return the answer to ``pmic_read_adc``."""

    def close(self) -> None:
        """Let go of it."""

    def cpu_s(self) -> float:
        """Return the processor seconds of processes that were started."""


class Mailbox:
    """The firmware's mailbox.

    Parameters
    ----------
    device
        Its character device.

    Raises
    ------
    OSError
        It cannot be opened.
    """

    rate_hz = 10.0

    def __init__(self, device: Path) -> None:
        self._descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)

    def ask(self) -> str:
        """Return the answer to ``pmic_read_adc``.

        Raises
        ------
        edge_client.energy.source.ReadingError
            The firmware refuses.
        """
        message = bytearray(
            struct.pack(_LAYOUT, struct.calcsize(_LAYOUT), 0, _TAG, _MOST_BYTES, 0, 0, _COMMAND.encode("ascii"), 0)
        )
        try:
            fcntl.ioctl(self._descriptor, _IOWR, message, True)
        except OSError as error:
            raise ReadingError(f"the firmware's mailbox: {error.strerror}") from None
        content: bytes = struct.unpack(_LAYOUT, message)[6]
        return content.partition(b"\0")[0].decode("ascii", errors="replace")

    def close(self) -> None:
        """Close the device."""
        os.close(self._descriptor)

    def cpu_s(self) -> float:
        """Return 0: it starts no process."""
        return 0.0


class Vcgencmd:
    """The tool, where the mailbox cannot be opened; a process for each reading, so fewer readings.

    Parameters
    ----------
    tool
        Its path.
    """

    rate_hz = 1.0

    def __init__(self, tool: Path) -> None:
        self._tool = str(tool)
        self._start_s = self._children_s()

    def ask(self) -> str:
        """Return what the tool prints.

        Raises
        ------
        edge_client.energy.source.ReadingError
            It cannot be started, or fails.
        """
        try:
            done = subprocess.run(
                [self._tool, _COMMAND],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=5.0,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ReadingError(f"{self._tool}: {error}") from None
        return done.stdout.decode("ascii", errors="replace")

    def close(self) -> None:
        """Nothing is held."""

    def cpu_s(self) -> float:
        """Return the processor seconds of all processes that ended since."""
        return self._children_s() - self._start_s

    @staticmethod
    def _children_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime


class PmicSource(PowerSource):
    """The sum of the power chip's rails.

    Parameters
    ----------
    firmware
        How to ask for it.
    """

    def __init__(self, firmware: _Firmware) -> None:
        self._firmware = firmware
        self.about = About(
            kind="pmic",
            title="Raspberry Pi 5's power chip, sum of its rails, without the converters' losses, USB and HATs",
            method="rail",
            covers="parts",
            rate_hz=firmware.rate_hz,
            most_w=60.0,
        )

    def read(self) -> float:
        """Return watts.

        Raises
        ------
        edge_client.energy.source.ReadingError
            The firmware gave no answer, or half of one.
        """
        return watts_of(self._firmware.ask())

    def close(self) -> None:
        """Let go of the firmware."""
        self._firmware.close()

    def helpers_cpu_s(self) -> float:
        """Return the processor seconds of ``vcgencmd``."""
        return self._firmware.cpu_s()


def find_pmic(root: Path, known: Optional[EnergySource] = None) -> PmicSource:
    """Return the board's power chip.

    Raises
    ------
    edge_client.energy.source.ReadingError
        This is no Raspberry Pi 5, or its firmware cannot be asked.
    """
    problem = "no /dev/vcio and no vcgencmd: no Raspberry Pi"
    for place in (*_DEVICES, *_TOOLS):
        path = root / place
        if not path.exists():
            continue
        try:
            firmware: _Firmware = Mailbox(path) if place in _DEVICES else Vcgencmd(path)
        except OSError as error:
            problem = f"/{place}: {error.strerror}; is this user in the group video?"
            continue
        source = PmicSource(firmware)
        try:
            source.read()
        except ReadingError as error:
            problem = str(error)
            source.close()
            continue
        return source
    raise ReadingError(problem)
