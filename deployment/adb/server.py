"""Devices behind the server of Google's ``adb`` program: on USB, or paired by Android's wireless debugging.

While that server runs it holds the devices on USB, so we go through it. Source: AOSP, ``packages/modules/adb``,
``docs/dev/services.md`` and ``OVERVIEW.TXT``.
"""

from __future__ import annotations

import os
import select
from collections import deque

from deployment.adb.link import Stream
from deployment.adb.transports import TcpTransport, left_s
from deployment.errors import LostLinkError, PlatformError, UnauthorisedError, UnreachableError

__all__ = ["AdbServer", "server_devices", "server_port"]

HOST = "127.0.0.1"
_BLOCK_BYTES = 1 << 16


def server_port() -> int:
    """Return the port of the ``adb`` program's server."""
    value = os.environ.get("ANDROID_ADB_SERVER_PORT", "")
    return int(value) if value.isdecimal() else 5037


def server_devices() -> dict[str, str]:
    """Return the devices of a running server and their states (``device``, ``unauthorized``, ``offline``, ...)."""
    try:
        transport = _ask("adb server", "host:devices")
    except (UnreachableError, OSError):
        return {}
    try:
        size = int(transport.receive(4), 16)
        lines = transport.receive(size).decode().splitlines()
    except (OSError, ValueError):
        return {}
    finally:
        transport.close()
    return {serial: state for serial, _, state in (line.partition("\t") for line in lines) if state}


class AdbServer:
    """A device behind the server.

    Parameters
    ----------
    name
        Its name, for messages.
    serial
        As ``adb devices`` lists it.

    Raises
    ------
    deployment.errors.DeployError
        There is no server, it does not know the device, or the device is not ready.
    """

    def __init__(self, name: str, serial: str) -> None:
        self._name, self._serial = name, serial
        self._transport: TcpTransport | None = None
        self._deadline = 0.0
        features = self._features()
        if "shell_v2" not in features.split(","):
            raise PlatformError(name, "its adbd is older than Android 7", "the app needs Android 8 or later")

    @property
    def deadline(self) -> float:
        """When patience is over, on the monotonic clock."""
        return self._deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = value
        if self._transport is not None:
            self._transport.deadline = value

    def open(self, service: str) -> Stream:
        """Open a service."""
        self.close()
        transport = self._asked(f"host:transport:{self._serial}")
        transport.deadline = self._deadline
        _request(self._name, transport, service)
        self._transport = transport
        return _ServerStream(transport)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _features(self) -> str:
        transport = self._asked(f"host-serial:{self._serial}:features")
        try:
            return transport.receive(int(transport.receive(4), 16)).decode()
        except (OSError, ValueError):
            raise LostLinkError(self._name, "the adb program's server broke off", "run this again") from None
        finally:
            transport.close()

    def _asked(self, request: str) -> TcpTransport:
        return _ask(self._name, request)


def _ask(name: str, request: str) -> TcpTransport:
    transport = TcpTransport(name, HOST, server_port())
    try:
        _request(name, transport, request)
    except BaseException:
        transport.close()
        raise
    return transport


def _request(name: str, transport: TcpTransport, request: str) -> None:
    words = request.encode()
    transport.send(f"{len(words):04x}".encode() + words, b"")
    answer = transport.receive(4)
    if answer == b"OKAY":
        return
    if answer != b"FAIL":
        raise UnreachableError(name, f"what answers at {HOST}:{server_port()} is not the adb program's server")
    reason = transport.receive(int(transport.receive(4), 16)).decode("utf-8", "replace")
    if "unauthorized" in reason or "authorizing" in reason:
        raise UnauthorisedError(
            name,
            "it has not allowed this computer's adb",
            "unlock it, tick 'Always allow' and tap 'Allow', and run this again",
        )
    raise UnreachableError(name, f"adb: {reason}", "see `adb devices`")


class _ServerStream:
    """The socket of a service."""

    def __init__(self, transport: TcpTransport) -> None:
        self._transport = transport
        self._socket = transport.socket
        self._arrived: deque[bytes] = deque()
        self._closed = False

    def write(self, data: bytes) -> bool:
        """Send bytes, and collect what comes meanwhile."""
        rest = memoryview(data)
        while rest and not self._closed:
            left = left_s(self._transport.deadline)
            readable, writable = self._wait(left, writing=True)
            if readable:
                self._collect()
            if writable and not self._closed:
                try:
                    self._socket.setblocking(False)
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    pass
                except OSError:
                    self._closed = True
        return not self._closed

    def read(self) -> bytes:
        """Return what comes next."""
        while not self._arrived and not self._closed:
            if self._wait(left_s(self._transport.deadline), writing=False)[0]:
                self._collect()
        return self._arrived.popleft() if self._arrived else b""

    def _wait(self, seconds: float, *, writing: bool) -> tuple[bool, bool]:
        """Wait until something can be read, or written."""
        try:
            readable, writable, _ = select.select([self._socket], [self._socket] if writing else [], [], seconds)
        except (OSError, ValueError):  # closed by another thread
            raise ConnectionResetError("the connection was closed") from None
        return bool(readable), bool(writable)

    def _collect(self) -> None:
        try:
            data = self._socket.recv(_BLOCK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # reset, or closed by another thread
            data = b""
        if data:
            self._arrived.append(data)
        else:
            self._closed = True
