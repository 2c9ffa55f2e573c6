"""One host's connection to an emulated ADB daemon: getting in, and streams, by the letter of the protocol."""

from __future__ import annotations

import base64
import contextlib
import os
import queue
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from tests.emulated_shell import EmulatedShell

if TYPE_CHECKING:
    from tests.emulated_adbd import EmulatedAdbd

__all__ = ["Connection", "Faults"]

_HEADER = struct.Struct("<6I")
_MASK = 0xFFFFFFFF
MOST_BYTES = 1 << 18
"""That of Android 8; newer systems take four times as much."""


def _name(command: int) -> str:
    return command.to_bytes(4, "little").decode("ascii", "replace")


def _command(name: str) -> int:
    return int.from_bytes(name.encode(), "little")


@dataclass
class Faults:
    """What goes wrong, once.

    Attributes
    ----------
    cut_after
        Reset the connection after so many bytes from the host.
    cut_sending_after
        Reset it after so many bytes to the host.
    """

    cut_after: int | None = None
    cut_sending_after: int | None = None


@dataclass
class _Stream:
    local: int
    remote: int
    inbox: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    acknowledged: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    unacknowledged: int = 0
    host_may_write: bool = True
    closed: bool = False


class _Packet(NamedTuple):
    command: str
    arg0: int
    arg1: int
    data: bytes


class Connection:
    """A connection that is served until one side ends it."""

    def __init__(self, adbd: EmulatedAdbd, connection: socket.socket) -> None:
        self._adbd, self._socket = adbd, connection
        self._lock = threading.Lock()
        self._streams: dict[int, _Stream] = {}
        self._ids = 100
        self._inside = False
        self._asked = False
        self._token = b""
        self._host_version = 0
        self._sent_bytes = 0
        self._most_bytes = 4096

    def serve(self) -> None:
        """Talk until the end."""
        try:
            while True:
                self._handle(self._receive())
        except (OSError, EOFError):
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        """Break off, with a reset."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
        for stream in list(self._streams.values()):
            self._end(stream)

    def _breach(self, what: str) -> None:
        self._adbd.breaches.append(what)
        raise EOFError(what)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(min(size - len(data), 1 << 16))
            if not part:
                raise EOFError
            data += part
            self._adbd.received_bytes += len(part)
            limit = self._adbd.faults.cut_after
            if limit is not None:
                self._adbd.faults.cut_after = limit = limit - len(part)
                if limit < 0:
                    self._adbd.faults.cut_after = None
                    raise EOFError("cut")
        return bytes(data)

    def _receive(self) -> _Packet:
        command, arg0, arg1, size, checksum, magic = _HEADER.unpack(self._exactly(_HEADER.size))
        if magic != command ^ _MASK:
            self._breach("wrong magic")
        if size > MOST_BYTES:
            self._breach(f"{_name(command)} with {size} bytes")
        data = self._exactly(size)
        old = min(self._host_version or 0, self._adbd.version) < 0x01000001
        if old and checksum != sum(data) & _MASK:
            self._breach(f"wrong checksum of {_name(command)}")
        return _Packet(_name(command), arg0, arg1, data)

    def _send(self, command: str, arg0: int, arg1: int, data: bytes = b"") -> None:
        number = _command(command)
        checksum = sum(data) & _MASK if min(self._host_version, self._adbd.version) < 0x01000001 else 0
        packet = _HEADER.pack(number, arg0, arg1, len(data), checksum, number ^ _MASK) + data
        with self._lock:
            limit = self._adbd.faults.cut_sending_after
            if limit is not None and self._sent_bytes + len(packet) > limit:
                self._adbd.faults.cut_sending_after = None
                self._socket.send(packet[: max(0, limit - self._sent_bytes)])
                self.drop()
                raise EOFError("cut")
            self._sent_bytes += len(packet)
            self._socket.sendall(packet)

    def _handle(self, packet: _Packet) -> None:
        if packet.command == "CNXN":
            if not packet.data.startswith(b"host::"):
                self._breach(f"CNXN says {packet.data!r}")
            self._host_version, self._most_bytes = packet.arg0, min(packet.arg1, MOST_BYTES)
            if self._adbd.wants_tls:
                self._send("STLS", 0x01000000, 0)
            elif self._adbd.ask is None:
                self._welcome()
            else:
                self._ask()
        elif packet.command == "AUTH":
            self._authenticate(packet)
        elif not self._inside:
            self._breach(f"{packet.command} before it was let in")
        elif packet.command == "OPEN":
            self._open(packet)
        else:
            self._stream_packet(packet)

    def _welcome(self) -> None:
        self._inside = True
        self._send("CNXN", self._adbd.version, MOST_BYTES, self._adbd.banner.encode())

    def _ask(self) -> None:
        self._token = os.urandom(20)
        self._send("AUTH", 1, 0, self._token)

    def _authenticate(self, packet: _Packet) -> None:
        if not self._token:
            self._breach("AUTH without a token")
        if packet.arg0 == 2:
            for key in self._adbd.keys:
                try:
                    key.verify(packet.data, self._token, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))
                except InvalidSignature:
                    continue
                self._welcome()
                return
            self._ask()
        elif packet.arg0 == 3:
            if not packet.data.endswith(b"\0"):
                self._breach("public key without its zero")
            self._adbd.dialogs.append(packet.data)
            if self._adbd.ask == "allow":
                self._adbd.keys.append(_public_key(packet.data))
                self._welcome()
        else:
            self._breach(f"AUTH of kind {packet.arg0}")

    def _open(self, packet: _Packet) -> None:
        service = packet.data.rstrip(b"\0").decode()
        if packet.arg0 == 0 or packet.arg1 != 0 or not packet.data.endswith(b"\0"):
            self._breach(f"OPEN {packet.arg0} {packet.arg1} {packet.data!r}")
        words, _, command = service.partition(":")
        kind, *options = words.split(",")
        if kind != "shell" or "v2" not in options or not command:
            self._send("CLSE", 0, packet.arg0)
            return
        self._ids += 1
        stream = self._streams[self._ids] = _Stream(self._ids, packet.arg0)
        self._send("OKAY", stream.local, stream.remote)
        threading.Thread(target=self._shell, args=(stream, command), daemon=True).start()

    def _stream_packet(self, packet: _Packet) -> None:
        stream = self._streams.get(packet.arg1)
        if stream is None:
            if packet.command == "WRTE":
                self._send("CLSE", 0, packet.arg0)
            return
        if packet.command == "CLSE":
            self._end(stream)
            return
        if packet.arg0 != stream.remote:
            self._breach(f"{packet.command} from {packet.arg0}, which is not stream {stream.remote}")
        if packet.command == "OKAY":
            if stream.unacknowledged == 0:
                self._breach("OKAY for nothing")
            stream.unacknowledged -= 1
            stream.acknowledged.release()
        elif packet.command == "WRTE":
            if not stream.host_may_write:
                self._breach("WRTE before the last one was acknowledged")
            if len(packet.data) > self._most_bytes:
                self._breach(f"WRTE with {len(packet.data)} bytes")
            stream.host_may_write = False
            stream.inbox.put(packet.data)
        else:
            self._breach(f"unexpected {packet.command}")

    def _end(self, stream: _Stream) -> None:
        stream.closed = True
        self._streams.pop(stream.local, None)
        stream.inbox.put(None)
        stream.acknowledged.release()

    def _write(self, stream: _Stream, data: bytes) -> None:
        for start in range(0, len(data), self._most_bytes):
            if stream.closed:
                raise EOFError
            stream.unacknowledged += 1
            self._send("WRTE", stream.local, stream.remote, data[start : start + self._most_bytes])
            stream.acknowledged.acquire()

    def _shell(self, stream: _Stream, command: str) -> None:
        def taken() -> None:
            stream.host_may_write = True
            self._send("OKAY", stream.local, stream.remote)

        service = EmulatedShell(
            self._adbd.root.start(command),
            stream.inbox,
            write=lambda data: self._write(stream, data),
            taken=taken,
            gone=lambda: stream.closed,
            breaches=self._adbd.breaches,
        )
        with contextlib.suppress(OSError, EOFError):
            service.run()
            if not stream.closed:
                self._end(stream)
                self._send("CLSE", stream.local, stream.remote)


def _public_key(data: bytes) -> rsa.RSAPublicKey:
    """Read Android's form of a public key."""
    raw = base64.b64decode(data.split(b" ")[0].rstrip(b"\0"), validate=True)
    words = struct.unpack_from("<I", raw)[0]
    assert (words, len(raw)) == (64, 524)
    return rsa.RSAPublicNumbers(
        struct.unpack_from("<I", raw, 520)[0], int.from_bytes(raw[8:264], "little")
    ).public_key()
