"""Devices that are reached by ADB: phones and tablets, and boards with Debian's ``adbd``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from deployment import transfer
from deployment.adb.keys import adb_key
from deployment.adb.link import Link, Opener
from deployment.adb.server import AdbServer, server_devices
from deployment.adb.shell import converse
from deployment.adb.transports import TcpTransport, UsbTransport
from deployment.connector import Completed, Progress
from deployment.errors import CommandTimeoutError, DeployError, DeploymentError, LostLinkError

__all__ = ["ALLOW_S", "DEFAULT_PORT", "AdbConnector"]

DEFAULT_PORT = 5555
ALLOW_S = 60.0
"""So long a person has to tap 'Allow'."""
_BLOCK_S = 60.0
"""A block of a file that has not been taken, or has not come, for so long: the link is as good as lost."""
_ENTER = 'cd /data/local/tmp 2> /dev/null || cd "${HOME:-/}"; LC_ALL=C; export LC_ALL; exec '


class AdbConnector(transfer.ShellFiles):
    """A device behind ADB. Connects when it is first needed, and again after a lost link.

    Commands run in ``/data/local/tmp`` on Android, in the home directory elsewhere.

    Parameters
    ----------
    name
        The device's name in the inventory, for messages.
    host, port
        Where its daemon listens on TCP.
    serial
        Of a device on USB, or one that the ``adb`` program's server knows; used where there is no host. While such a
        server runs it holds USB, so we go through it.
    key
        Our key's file; None is our own.
    tell
        Called with what people should know while we wait for them.
    allow_s
        Seconds to wait for the device's owner.
    """

    def __init__(
        self,
        name: str,
        *,
        host: str = "",
        port: int = 0,
        serial: str = "",
        key: Path | None = None,
        tell: Callable[[str], None] = lambda sentence: None,
        allow_s: float = ALLOW_S,
    ) -> None:
        self.name = name
        self._host, self._port, self._serial = host, port or DEFAULT_PORT, serial
        self._key_path, self._tell, self._allow_s = key, tell, allow_s
        self._opener: Opener | None = None

    def run(self, words: Sequence[str], *, timeout_s: float = 60, stdin: bytes = b"") -> Completed:
        """Run a command; see `deployment.connector.Connector.run`."""
        output = bytearray()
        opener = self._connected()
        opener.deadline = time.monotonic() + timeout_s
        blocks = [stdin[at : at + transfer.BLOCK_BYTES] for at in range(0, len(stdin), transfer.BLOCK_BYTES)]
        late = CommandTimeoutError(self.name, f"{words[0]} took more than {timeout_s:g} s")
        status, complaint = self._converse(opener, words, blocks, output.extend, late)
        return Completed(status, bytes(output), complaint)

    def feed(
        self, words: Sequence[str], source: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that reads a file; see `deployment.transfer.Channel.feed`."""
        opener = self._connected()
        output = bytearray()

        def blocks() -> Iterator[bytes]:
            sent = done
            while block := source.read(transfer.BLOCK_BYTES):
                opener.deadline = time.monotonic() + _BLOCK_S
                yield block
                sent += len(block)
                progress(sent, total)
            opener.deadline = time.monotonic() + wait_s

        opener.deadline = time.monotonic() + _BLOCK_S
        status, complaint = self._converse(opener, words, blocks(), output.extend, self._still())
        return Completed(status, bytes(output), complaint)

    def drain(
        self, words: Sequence[str], target: BinaryIO, done: int, total: int, progress: Progress, *, wait_s: float
    ) -> Completed:
        """Run a command that writes a file; see `deployment.transfer.Channel.drain`."""
        opener = self._connected()
        got = done

        def take(data: bytes) -> None:
            nonlocal got
            target.write(data)
            got += len(data)
            opener.deadline = time.monotonic() + wait_s
            progress(got, total)

        opener.deadline = time.monotonic() + wait_s
        status, complaint = self._converse(opener, words, (), take, self._still())
        return Completed(status, b"", complaint)

    def close(self) -> None:
        """End the connection."""
        if self._opener is not None:
            self._opener.close()
            self._opener = None

    def _connected(self) -> Opener:
        if self._opener is None:
            self._opener = self._connect()
        return self._opener

    def _connect(self) -> Opener:
        try:
            if not self._host and self._serial in server_devices():
                return AdbServer(self.name, self._serial)
            transport = (
                TcpTransport(self.name, self._host, self._port) if self._host else UsbTransport(self.name, self._serial)
            )
            return Link(self.name, transport, adb_key(self._key_path), tell=self._tell, allow_s=self._allow_s)
        except DeploymentError:
            raise
        except OSError as error:
            raise LostLinkError(self.name, f"the connection broke at its start ({error})", "run this again") from None

    def _converse(
        self,
        opener: Opener,
        words: Sequence[str],
        stdin: Iterable[bytes],
        stdout: Callable[[bytes], object],
        late: DeployError,
    ) -> tuple[int, bytes]:
        """Run a command; ``late`` is raised where the deadline is over."""
        try:
            return converse(opener, _ENTER + shlex.join(words), stdin, stdout)
        except DeployError:
            self.close()
            raise
        except TimeoutError:
            self.close()
            raise late from None
        except ConnectionError as error:
            self.close()
            raise LostLinkError(
                self.name, f"the connection broke ({error})", "run this again: it goes on where it stopped"
            ) from None
        except BaseException:  # what progress raised, Ctrl-C: the stream is in the middle of something
            self.close()
            raise

    def _still(self) -> DeployError:
        return LostLinkError(self.name, "the link stands still", "run this again: it goes on where it stopped")
