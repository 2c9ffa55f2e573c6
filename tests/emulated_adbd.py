"""A strict ADB daemon for tests: it notes every breach of the protocol, asks for keys, and can break off.

It is itself checked with Google's ``adb`` (``tests/adb_test.py``). Source: AOSP, ``packages/modules/adb``,
``protocol.txt``.
"""

from __future__ import annotations

import socket
import threading

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.android_root import AndroidRoot
from tests.emulated_connection import Connection, Faults

__all__ = ["EmulatedAdbd"]


class EmulatedAdbd:
    """The daemon, listening on this machine.

    Parameters
    ----------
    root
        The phone's files and commands.
    ask
        What its owner does when a new key asks: ``"allow"``, ``"ignore"``, or None: no key is needed.
    state, features
        What it says of itself.
    version
        Of the protocol; ``0x01000000`` wants checksums.
    wants_tls
        Answers as wireless debugging does.
    """

    def __init__(
        self,
        root: AndroidRoot,
        *,
        ask: str | None = None,
        state: str = "device",
        features: str = "cmd,shell_v2",
        version: int = 0x01000001,
        wants_tls: bool = False,
    ) -> None:
        self.root, self.ask, self.version, self.wants_tls = root, ask, version, wants_tls
        self.banner = f"{state}::ro.product.name=emulated;ro.product.model=Pixel 6;features={features}"
        self.faults = Faults()
        self.breaches: list[str] = []
        self.dialogs: list[bytes] = []
        self.keys: list[rsa.RSAPublicKey] = []
        self.received_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[Connection] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            served = Connection(self, connection)
            self._connections.append(served)
            threading.Thread(target=served.serve, daemon=True).start()

    def close(self) -> None:
        """Stop listening and break off."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for connection in self._connections:
            connection.drop()

    def __enter__(self) -> EmulatedAdbd:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
