"""Start and stop a SuperLink: Flower's server process, as a child that cannot outlive us.

The parent opens the port before it starts the child, so that a port in use is one clear line, a port of 0 is replaced
by a free one without a race, and devices that come early wait in the queue instead of being refused.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Optional, TextIO

from python_server.errors import PortInUseError, SuperLinkError
from python_server.identity import Certificates
from python_server.listening import is_loopback, listening_socket

__all__ = ["SuperLink", "SuperLinkSettings", "quiet_flower"]

_START_S = 60.0
_STOP_S = 5.0


@dataclass(frozen=True)
class SuperLinkSettings:
    """Where and how the SuperLink listens.

    Attributes
    ----------
    host
        Address to listen on.
    port
        Port; 0 takes a free one.
    certificates
        For TLS; None serves in the clear, which only loopback addresses may.
    enrolled_only
        Whether only devices whose keys were registered may take part.
    allow_insecure_network
        Serve in the clear on an address that others can reach, too.
    """

    host: str = "127.0.0.1"
    port: int = 9092
    certificates: Optional[Certificates] = None
    enrolled_only: bool = True
    allow_insecure_network: bool = False


def quiet_flower() -> dict[str, str]:
    """Return the environment that keeps Flower from calling home; set it for this process too."""
    settings = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ.update(settings)
    return {**os.environ, **settings}


class SuperLink:
    """A running SuperLink; use it as a context manager, from the thread that outlives it.

    Parameters
    ----------
    settings
        Where and how to listen.
    log_file
        What it prints goes there; on failure the end of it is quoted.

    Attributes
    ----------
    port
        The port it listens on.
    secret
        What a program on this host must know to start runs; it changes with every start.

    Raises
    ------
    PortInUseError
        Another program listens there.
    SuperLinkError
        It did not come up.
    """

    def __init__(self, settings: SuperLinkSettings, log_file: Path) -> None:
        self.settings = settings
        self.secret = secrets.token_hex(32)
        self._log_file = log_file
        if settings.certificates is None and not settings.allow_insecure_network and not is_loopback(settings.host):
            raise SuperLinkError(
                f"without TLS the server listens on loopback addresses only, not on {settings.host}: the weights could "
                "be read and changed on the way; use TLS, or set insecure_network = true if the network is yours alone"
            )
        listener = listening_socket(
            settings.host,
            settings.port,
            failed=SuperLinkError,
            in_use=PortInUseError,
            instead="stop it, or choose another [server] port",
        )
        try:
            self.port: int = listener.getsockname()[1]
            self._process = self._spawn(listener)
        finally:
            listener.close()
        try:
            self._wait_until_it_serves()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> SuperLink:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the SuperLink."""
        return self._process.pid

    @property
    def local_address(self) -> str:
        """``host:port`` for programs on this host."""
        host = self.settings.host
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        return f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"

    @property
    def root_certificates(self) -> Optional[bytes]:
        """PEM of the authority that clients trust; None without TLS."""
        certificates = self.settings.certificates
        return certificates.ca.read_bytes() if certificates else None

    def check(self) -> None:
        """Raise `SuperLinkError` if the SuperLink is no longer there."""
        code = self._process.poll()
        if code is not None:
            raise SuperLinkError(f"the SuperLink ended with code {code}; {self._last_words()}")

    def stop(self) -> None:
        """Stop it, kindly at first."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def _spawn(self, listener: socket.socket) -> subprocess.Popen[str]:
        if threading.current_thread() is not threading.main_thread():
            # The kernel's "parent" is a thread: were it to end first, the SuperLink would be killed.
            raise SuperLinkError("a SuperLink has to be started from the main thread")
        certificates = self.settings.certificates
        settings = {
            "parent": os.getpid(),
            "socket": listener.fileno(),
            "secret": self.secret,
            "enrolled_only": self.settings.enrolled_only,
            "certificate": str(certificates.certificate) if certificates else None,
            "key": str(certificates.key) if certificates else None,
            "identity": str(certificates.ca.parent) if certificates and self.settings.enrolled_only else None,
        }
        with self._log_file.open("a", encoding="utf-8") as log:
            return _start_process(settings, listener.fileno(), log)

    def _wait_until_it_serves(self) -> None:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            self.check()
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._is_healthy():
                    return
            time.sleep(0.05)
        raise SuperLinkError(f"the SuperLink did not answer within {_START_S:.0f} s; {self._last_words()}")

    def _is_healthy(self) -> bool:
        host, _, port = self.local_address.rpartition(":")
        certificates = self.settings.certificates
        connection: http.client.HTTPConnection
        if certificates:
            context = ssl.create_default_context(cafile=str(certificates.ca))
            connection = http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=5, context=context)
        else:
            connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()

    def _last_words(self) -> str:
        lines = self._log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"its log {self._log_file} ends: {lines[-1]}" if lines else f"its log {self._log_file} is empty"


def _start_process(settings: Mapping[str, object], descriptor: int, log: TextIO) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "python_server.superlink_process"],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=[descriptor],
        env={**quiet_flower(), "PYTHONPATH": _import_path()},
        text=True,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:
        json.dump(settings, process.stdin)
    return process


def _import_path() -> str:
    """Return the import path of a child that has to find this very package, installed or not."""
    here = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
