"""ADB's protocol towards a device: getting in, and one stream at a time.

Source: AOSP, ``packages/modules/adb``, ``protocol.txt`` and ``docs/dev/internals.md``. adb-shell speaks it as well, but
loses a device's answers while it writes, waits in vain where a service is refused, and knows neither standard input
nor exit statuses.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from deployment.adb.keys import AdbKey
from deployment.adb.transports import Transport
from deployment.errors import LostLinkError, PlatformError, UnauthorisedError

__all__ = ["Link", "Opener", "Stream"]


class Stream(Protocol):
    """A service of the device, in conversation."""

    def write(self, data: bytes) -> bool:
        """Send bytes and wait until they are taken; False where the device has closed the stream."""

    def read(self) -> bytes:
        """Return what comes next; empty: the device has closed the stream."""


class Opener(Protocol):
    """A device, connected.

    Attributes
    ----------
    deadline
        On the monotonic clock; what is not done by then raises `TimeoutError`.
    """

    deadline: float

    def open(self, service: str) -> Stream:
        """Open a service; one that was open before is over."""

    def close(self) -> None:
        """End the connection."""


def _command(name: bytes) -> int:
    return int.from_bytes(name, "little")


CNXN, AUTH, OPEN, OKAY, CLSE, WRTE, STLS = map(
    _command, (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE", b"STLS")
)
TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3
VERSION, CHECKSUMS_BEFORE = 0x01000001, 0x01000001
MOST_BYTES = 1 << 20
FEATURES = "shell_v2,cmd"
_HEADER = struct.Struct("<6I")
_MASK = 0xFFFFFFFF
HANDSHAKE_S = 10.0


class _Packet(NamedTuple):
    command: int
    arg0: int
    arg1: int
    data: bytes


class Link:
    """A connection to a device's daemon.

    Parameters
    ----------
    name
        The device's name, for messages.
    transport
        Closed if the device does not let us in.
    key
        Ours.
    tell
        Called with a sentence for people when the device asks its owner.
    allow_s
        Seconds to wait for its owner.

    Raises
    ------
    deployment.errors.UnauthorisedError
        Its owner has not allowed this computer.
    deployment.errors.PlatformError
        It is not one that we can work with.
    """

    def __init__(
        self, name: str, transport: Transport, key: AdbKey, *, tell: Callable[[str], None], allow_s: float
    ) -> None:
        self._name, self._transport = name, transport
        self._ids = 0
        self._current: _LinkStream | None = None
        self._checksums = True
        self.most_bytes = 4096
        try:
            self.banner = self._enter(key, tell, allow_s)
            self._check()
        except BaseException:
            transport.close()
            raise

    @property
    def deadline(self) -> float:
        """When patience is over, on the monotonic clock."""
        return self._transport.deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._transport.deadline = value

    def open(self, service: str) -> Stream:
        """Open a service."""
        self._ids = self._ids % _MASK + 1
        stream = _LinkStream(self, self._ids)
        self._current = None
        self.send(OPEN, stream.local, 0, service.encode() + b"\0")
        while True:
            packet = self.receive()
            if packet.arg1 != stream.local:
                continue
            if packet.command == OKAY:
                stream.remote = packet.arg0
                self._current = stream
                return stream
            if packet.command == CLSE:
                kind = service.partition(":")[0]
                raise PlatformError(self._name, f"its adbd refuses the service {kind!r}", "is its system very old?")

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def send(self, command: int, arg0: int, arg1: int, data: bytes = b"") -> None:
        """Send a packet."""
        checksum = sum(data) & _MASK if self._checksums else 0
        self._transport.send(_HEADER.pack(command, arg0, arg1, len(data), checksum, command ^ _MASK), data)

    def receive(self) -> _Packet:
        """Return the next packet that is for the current stream, or for none."""
        while True:
            packet = self._receive()
            if packet.command == WRTE and (self._current is None or packet.arg1 != self._current.local):
                self.send(CLSE, packet.arg1, packet.arg0)  # of a stream that we have given up
                continue
            return packet

    def _receive(self) -> _Packet:
        command, arg0, arg1, size, _, magic = _HEADER.unpack(self._transport.receive(_HEADER.size))
        if magic != command ^ _MASK or size > MOST_BYTES:
            raise ConnectionAbortedError("what answers there does not speak ADB")
        return _Packet(command, arg0, arg1, self._transport.receive(size) if size else b"")

    def _enter(self, key: AdbKey, tell: Callable[[str], None], allow_s: float) -> str:
        """Get in; return what the device says of itself."""
        self.deadline = time.monotonic() + HANDSHAKE_S
        self.send(CNXN, VERSION, MOST_BYTES, f"host::features={FEATURES}".encode())
        signed = asked = False
        while True:
            try:
                packet = self._receive()
            except (TimeoutError, ConnectionError) as error:
                if asked:
                    raise self._unauthorised(key) from None
                raise LostLinkError(
                    self._name, f"no greeting came ({error or 'no answer'})", "is it an Android device's adbd?"
                ) from None
            if packet.command == CNXN:
                self._checksums = min(packet.arg0, VERSION) < CHECKSUMS_BEFORE
                self.most_bytes = min(packet.arg1, MOST_BYTES)
                return packet.data.rstrip(b"\0").decode("utf-8", "replace")
            if packet.command == STLS:
                raise PlatformError(
                    self._name,
                    "it wants the encrypted connection of Android's wireless debugging",
                    "connect it by USB and run: adb tcpip 5555; or pair it with the adb program and use `serial`",
                )
            if packet.command != AUTH or packet.arg0 != TOKEN:
                continue  # USB still holds packets of an earlier connection
            if not signed:
                signed = True
                self.send(AUTH, SIGNATURE, 0, key.sign(packet.data))
            elif not asked:
                asked = True
                self.send(AUTH, PUBLIC_KEY, 0, key.public + b"\0")
                self.deadline = time.monotonic() + allow_s
                tell(
                    f"{self._name}: unlock it, and on 'Allow USB debugging?' tick 'Always allow' and tap 'Allow' "
                    f"(key {key.fingerprint})"
                )
            else:
                raise self._unauthorised(key)

    def _unauthorised(self, key: AdbKey) -> UnauthorisedError:
        return UnauthorisedError(
            self._name,
            f"it has not allowed this computer (key {key.fingerprint})",
            "unlock it, tick 'Always allow' and tap 'Allow', and run this again; no dialog: revoke USB debugging "
            "authorisations in its developer options",
        )

    def _check(self) -> None:
        state, _, rest = self.banner.partition("::")
        words = dict(part.partition("=")[::2] for part in rest.split(";"))
        if state != "device":
            raise PlatformError(self._name, f"it is in state {state!r}", "start its system")
        if "shell_v2" not in words.get("features", "").split(","):
            raise PlatformError(self._name, "its adbd is older than Android 7", "the app needs Android 8 or later")


class _LinkStream:
    """A stream of a link."""

    def __init__(self, link: Link, local: int) -> None:
        self._link, self.local = link, local
        self.remote = 0
        self._arrived: deque[bytes] = deque()
        self._closed = False

    def write(self, data: bytes) -> bool:
        """Send bytes, and collect what comes meanwhile."""
        for start in range(0, len(data), self._link.most_bytes):
            if self._closed:
                return False
            self._link.send(WRTE, self.local, self.remote, data[start : start + self._link.most_bytes])
            while not self._closed and self._next() != OKAY:
                pass
        return not self._closed

    def read(self) -> bytes:
        """Return what comes next."""
        while not self._arrived and not self._closed:
            self._next()
        return self._arrived.popleft() if self._arrived else b""

    def _next(self) -> int:
        packet = self._link.receive()
        if packet.arg1 != self.local:
            return 0
        if packet.command == WRTE:
            self._link.send(OKAY, self.local, self.remote)
            if packet.data:
                self._arrived.append(packet.data)
        elif packet.command == CLSE:
            self._closed = True
            self._link.send(CLSE, self.local, self.remote)
        return packet.command
