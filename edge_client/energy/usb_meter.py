"""RDTech's USB meters UM24C, UM25C and UM34C between a board and its supply, over Bluetooth's serial port.

Their maker publishes no protocol. It was worked out by others (sigrok.org/wiki/RDTech_UM_series, and sigrok's and
rdumtool's handling of it): to each byte 0xF0 comes an answer of 130 bytes, integers in big-endian order:

====  =====  ===========================================================================
from  bytes  meaning
====  =====  ===========================================================================
0     2      model: 0x0963 UM24C, 0x09C9 UM25C, 0x0D4C UM34C
2     2      voltage: 10 mV, of UM25C 1 mV
4     2      current: 1 mA, of UM25C 0.1 mA
6     4      power: 1 mW
128   2      of UM24C 0xFFF1; of UM34C the second is the exclusive or of 32 bytes
====  =====  ===========================================================================

The power field is what counts: its bit is 1 mW, while the rounding of voltage and current on UM24C and UM34C moves
their product by up to 5 mW at 5 V and 0.6 A. (Whether the meter multiplies before it rounds, nobody says.) The product
tells answers that were garbled, as only UM34C has a known checksum. The meter's own counters (mWh) are not used: one
step is 3.6 J.

A meter seems to measure twice a second; who asks more often gets the same values again (github.com/kolinger/rd-usb,
issue 54; the maker tells a refresh rate of 2 Hz for UM25C).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import select
import struct
import termios
import time
from functools import reduce
from operator import xor
from typing import NamedTuple, Optional

from edge_client.energy.source import About, Accuracy, PowerSource, ReadingError, limit

__all__ = ["Reading", "UsbMeterSource", "find_usb_meter", "take_reading"]

_REQUEST = b"\xf0"
_LENGTH = 130
_FIELDS = struct.Struct(">HHHI")
_CHECKED = (
    *(1, 3, 7, 9, 15, 17, 19, 23, 31, 39, 41, 45, 49, 53, 55, 57),
    *(59, 63, 67, 69, 73, 79, 83, 89, 97, 99, 109, 111, 113, 119, 121, 127),
)
_RATE_HZ = 2.0
_ANSWER_S = 1.0
_FIRST_ANSWER_S = 8.0
"""A port of Bluetooth connects when it is opened, which takes seconds."""


_MOST_NONSENSE = 8 * _LENGTH


class _Model(NamedTuple):
    """What differs: one bit of voltage and current, and what the last two bytes are (UM25C: not known)."""

    name: str
    volt: float
    ampere: float
    end: bytes = b""
    checksum: bool = False


_MODELS = {
    0x0963: _Model("UM24C", 0.01, 0.001, end=b"\xff\xf1"),
    0x09C9: _Model("UM25C", 0.001, 0.0001),
    0x0D4C: _Model("UM34C", 0.01, 0.001, checksum=True),
}


class Reading(NamedTuple):
    """What an answer says.

    Attributes
    ----------
    model
        Name of the meter.
    volts, amperes, watts
        As the meter tells them.
    """

    model: str
    volts: float
    amperes: float
    watts: float


def take_reading(received: bytearray) -> Optional[Reading]:
    """Take the first whole answer out of what was received, and what stands before it.

    Parameters
    ----------
    received
        Bytes so far; begins afterwards with the first that may still belong to an answer.

    Returns
    -------
    Optional[Reading]
        None: there is no whole answer yet.
    """
    while len(received) >= 2:
        model = _MODELS.get(received[0] << 8 | received[1])
        if model is not None:
            if len(received) < _LENGTH:
                return None
            reading = _read(bytes(received[:_LENGTH]), model)
            if reading is not None:
                del received[:_LENGTH]
                return reading
        del received[0]
    return None


def _read(answer: bytes, model: _Model) -> Optional[Reading]:
    """Return what an answer says; None if it is garbled."""
    whole = answer.endswith(model.end)
    if model.checksum:
        whole = reduce(xor, (answer[place] for place in _CHECKED)) == answer[-1]
    _, volt_bits, ampere_bits, milliwatts = _FIELDS.unpack_from(answer)
    volts, amperes, watts = volt_bits * model.volt, ampere_bits * model.ampere, milliwatts / 1e3
    # Wide, as nobody says that the three are of the same moment; a byte lost or a wrong scale is off by far more.
    if not whole or math.fabs(volts * amperes - watts) > 0.2 * max(volts * amperes, watts) + 0.05:
        return None
    return Reading(model.name, volts, amperes, watts)


class UsbMeterSource(PowerSource):
    """Power that a meter of the family sees. It is opened anew after it was unplugged.

    Parameters
    ----------
    device
        Its serial port, such as ``/dev/rfcomm0``. A wired port keeps the speed that it is set to.
    answer_s, first_answer_s
        How long to wait for an answer, and for the first one.

    Raises
    ------
    edge_client.energy.source.ReadingError
        The port cannot be opened, or nothing answers that is such a meter.
    """

    def __init__(self, device: str, *, answer_s: float = _ANSWER_S, first_answer_s: float = _FIRST_ANSWER_S) -> None:
        self._device = device
        self._answer_s = answer_s
        self._port: Optional[int] = None
        try:
            first = self._ask(first_answer_s)
        except BaseException:
            self.close()
            raise
        self.about = About(
            kind="usb-meter",
            title=f"{first.model} at {device}, {first.volts:.2f} V",
            method="measured",
            covers="device",
            rate_hz=_RATE_HZ,
            most_w=120.0,
            # At a steady load a meter that shows whole milliamperes may well show the same for a while.
            stuck_after_s=30.0,
            accuracy=_accuracy(first),
        )

    def read(self) -> float:
        """Return watts.

        Raises
        ------
        edge_client.energy.source.ReadingError
            The meter is silent, garbled, or unplugged.
        """
        return self._ask(self._answer_s).watts

    def close(self) -> None:
        """Close the port."""
        if self._port is not None:
            os.close(self._port)
            self._port = None

    def _ask(self, patience_s: float) -> Reading:
        """Ask until an answer comes, once a second: a request may be lost while Bluetooth still connects."""
        received = bytearray()
        heard = 0
        end = time.monotonic() + patience_s
        try:
            if self._port is None:
                self._port = _open(self._device)
            # What is left of an answer that came too late.
            termios.tcflush(self._port, termios.TCIFLUSH)
            while (left := end - time.monotonic()) > 0:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._port, _REQUEST)
                again = time.monotonic() + min(left, _ANSWER_S)
                while (left := again - time.monotonic()) > 0:
                    content = _receive(self._port, left)
                    heard += len(content)
                    received += content
                    reading = take_reading(received)
                    if reading is not None:
                        return reading
                    if heard > _MOST_NONSENSE:
                        end = again = 0.0
        except (OSError, termios.error) as error:
            self.close()
            raise ReadingError(f"{self._device}: {_why(error)}") from None
        if heard:
            raise ReadingError(f"{self._device}: {heard} bytes came that are no answer of a UM24C, UM25C or UM34C")
        raise ReadingError(f"{self._device}: no answer in {patience_s:g} s; is the meter on, paired and in reach?")


def find_usb_meter(device: str) -> UsbMeterSource:
    """Return the meter at a serial port.

    Parameters
    ----------
    device
        The port, such as ``/dev/rfcomm0``.

    Raises
    ------
    edge_client.energy.source.ReadingError
        No port is named, it cannot be opened, or nothing answers that is such a meter.
    """
    if not device:
        raise ReadingError("only if its serial port is named: --energy usb-meter:/dev/rfcomm0")
    return UsbMeterSource(device)


def _open(device: str) -> int:
    """Open a serial port without waiting for a carrier, for bytes as they come and for nobody else."""
    port = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = termios.tcgetattr(port)
        mode[0] = mode[1] = mode[3] = 0
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.CRTSCTS)
        mode[2] |= termios.CS8 | termios.CREAD | termios.CLOCAL
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(port, termios.TCSANOW, mode)
        # Two programs that read one meter would take bytes from each other's answers.
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return port
        raise OSError(errno.EBUSY, "")
    except BaseException:
        os.close(port)
        raise


def _receive(port: int, patience_s: float) -> bytes:
    """Return what has come, or comes; nothing if the time is over."""
    poll = select.poll()
    poll.register(port, select.POLLIN)
    if not poll.poll(1000 * patience_s):
        return b""
    with contextlib.suppress(BlockingIOError):
        content = os.read(port, 4096)
        if not content:
            raise OSError(errno.EIO, "")
        return content
    return b""


def _why(error: Exception) -> str:
    """Return what went wrong with a port, and what helps."""
    number = error.args[0]
    if number == errno.ENOENT:
        return "there is no such device; for a meter on Bluetooth: rfcomm bind 0 ADDRESS"
    if number in (errno.EACCES, errno.EPERM):
        return "no permission; is this user in the group dialout?"
    if number in (errno.ENOTTY, errno.EINVAL, errno.EISDIR):
        return "no serial port"
    if number == errno.EBUSY:
        return "another program uses it"
    if number in (errno.EIO, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN, errno.ENOTCONN):
        return "the meter is gone: unplugged, switched off or out of reach"
    return os.strerror(number)


def _accuracy(reading: Reading) -> Optional[Accuracy]:
    """Return UM25C's largest errors as standard uncertainties, at the supply's voltage.

    Voltage 0.5 ‰ and 2 digits of 1 mV, current 1 ‰ and 4 digits of 0.1 mA: the maker's figures as
    github.com/davatorium/um25c-client quotes them. Half a bit of the power field adds to the offset. For the other two
    models no source was found.
    """
    if reading.model != "UM25C" or reading.volts <= 0:
        return None
    gain = math.hypot(limit(0.0005 + 2 * 0.001 / reading.volts), limit(0.001))
    offset_w = math.hypot(limit(4 * 0.0001 * reading.volts), limit(0.0005))
    origin = f"UM25C's maker as quoted by davatorium/um25c-client, at {reading.volts:.2f} V"
    return Accuracy(gain, offset_w, origin)
