"""How the bytes of ADB's protocol travel: over TCP, or over USB with the transport of adb-shell."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from deployment.errors import PlatformError, UnreachableError

__all__ = ["DEAD_LINK_S", "TcpTransport", "Transport", "UsbTransport", "usb_serials"]

CONNECT_S = 8.0
DEAD_LINK_S = 9
"""A link on which nothing is confirmed for so many seconds is dead; without this TCP would try for a quarter of an
hour."""


class Transport(Protocol):
    """Moves bytes until a deadline.

    Attributes
    ----------
    deadline
        On the monotonic clock; what is not done by then raises `TimeoutError`.
    """

    deadline: float

    def send(self, header: bytes, data: bytes) -> None:
        """Send a packet; it may be that USB needs the two apart."""

    def receive(self, size: int) -> bytes:
        """Return exactly so many bytes; `ConnectionError` where they will not come."""

    def close(self) -> None:
        """End the connection."""


def left_s(deadline: float) -> float:
    """Return the seconds until a deadline; `TimeoutError` when it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class TcpTransport:
    """ADB over TCP.

    adb-shell's own drops what a socket does not take at once, so that pushes of more than some 64 KiB hang, and spins
    when the device has closed the connection.

    Raises
    ------
    deployment.errors.UnreachableError
        Nothing answers there.
    """

    def __init__(self, name: str, host: str, port: int) -> None:
        self.deadline = time.monotonic() + CONNECT_S
        try:
            self.socket = socket.create_connection((host, port), timeout=CONNECT_S)
        except OSError as error:
            reason = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
            raise UnreachableError(
                name,
                f"{host}:{port} cannot be reached ({reason})",
                f"is it on, in this network, and does it listen? Over USB: adb tcpip {port}",
            ) from None
        watch_link(self.socket)

    def send(self, header: bytes, data: bytes) -> None:
        """Send a packet."""
        self._timed(self.socket.sendall, header + data)

    def receive(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        got = bytearray(size)
        view, at = memoryview(got), 0
        while at < size:
            part = self._timed(self.socket.recv_into, view[at:])
            if part == 0:
                raise ConnectionResetError("the device closed the connection")
            at += part
        return bytes(got)

    def close(self) -> None:
        """End the connection; whoever waits at it in another thread hears of it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _timed(self, call: Callable[..., Any], argument: object) -> Any:
        seconds = left_s(self.deadline)
        try:
            self.socket.settimeout(seconds)
            return call(argument)
        except TimeoutError as error:
            if error.errno is not None:  # the kernel's word for a dead link, and not our deadline
                raise ConnectionResetError("no answer any more") from None
            raise
        except ConnectionError:
            raise
        except OSError as error:  # no route any more, or closed by another thread
            raise ConnectionResetError((error.strerror or str(error)).lower()) from None


def watch_link(connection: socket.socket) -> None:
    """Let a dead link show within seconds, whether we are sending or waiting."""
    for level, option, value in (
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", max(1, DEAD_LINK_S // 3)),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", max(1, DEAD_LINK_S // 3)),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 2),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 1000 * DEAD_LINK_S),
    ):
        if hasattr(socket, option):  # some are Linux's alone
            connection.setsockopt(level, getattr(socket, option), value)


class UsbTransport:
    """ADB over USB, by adb-shell and libusb.

    Raises
    ------
    deployment.errors.PlatformError
        libusb is not installed.
    deployment.errors.UnreachableError
        No such device is plugged in, or another program holds it.
    """

    def __init__(self, name: str, serial: str) -> None:
        self.deadline = time.monotonic() + CONNECT_S
        try:
            usb_transport = _usb_transport()
        except _NoUsbError as error:
            raise PlatformError(name, str(error), "or start the adb program's server: adb start-server") from None
        try:
            self._usb = usb_transport.UsbTransport.find_adb(serial=serial)
            self._usb.connect()
        except Exception as error:  # libusb's and adb-shell's errors have no common base
            raise UnreachableError(
                name,
                f"no device with serial {serial} can be opened on USB ({error or type(error).__name__})",
                "plug it in, switch on USB debugging, and stop other programs that use it (adb kill-server)",
            ) from None

    def send(self, header: bytes, data: bytes) -> None:
        """Send a packet."""
        for part in (header, data) if data else (header,):
            self._timed(self._usb.bulk_write, part)

    def receive(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        got = b""
        while len(got) < size:
            got += self._timed(self._usb.bulk_read, size - len(got))
        return got

    def close(self) -> None:
        """Let go of the device."""
        self._usb.close()

    def _timed(self, call: Callable[..., Any], argument: object) -> Any:
        seconds = left_s(self.deadline)
        try:
            return call(argument, seconds)
        except Exception as error:
            left_s(self.deadline)  # a deadline is no broken link
            raise ConnectionResetError(f"USB: {error}") from None


def usb_serials() -> list[str]:
    """Return the serials of devices on USB that speak ADB; empty where libusb is not installed."""
    try:
        usb_transport = _usb_transport()
    except _NoUsbError:
        return []
    serials = set()
    with contextlib.suppress(usb_transport.usb1.USBError):
        for device in usb_transport.UsbTransport.find_all_adb_devices(default_transport_timeout_s=1):
            with contextlib.suppress(usb_transport.usb1.USBError):  # one that we may not open
                serials.add(str(device.serial_number))
    return sorted(serials)


class _NoUsbError(Exception):
    """USB cannot be used; says what to install."""


def _usb_transport() -> Any:
    """Return adb-shell's module, which opens libusb when it is imported."""
    try:
        from adb_shell.transport import usb_transport
    except ImportError:
        raise _NoUsbError("USB needs the Python package libusb1: pip install libusb1") from None
    except OSError:
        raise _NoUsbError("USB needs libusb's own library: apt install libusb-1.0-0") from None
    except Exception as error:  # libusb's errors have no base but this one
        raise _NoUsbError(f"USB cannot be opened by libusb ({error})") from None
    return usb_transport
