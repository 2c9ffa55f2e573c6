"""Serve the dashboard until Ctrl-C."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Optional

import uvicorn

from python_server.dashboard.app import DashboardApp
from python_server.dashboard.folder import RunsFolder
from python_server.dashboard.guard import Guard
from python_server.errors import DashboardError
from python_server.identity import host_names
from python_server.listening import is_loopback, listening_socket

__all__ = ["DashboardSettings", "serve"]

_SHUTDOWN_S = 2


@dataclass(frozen=True)
class DashboardSettings:
    """What to serve, where and how.

    Attributes
    ----------
    path
        Folder of runs, or a run directory.
    host, port
        Address to listen on; port 0 takes a free one.
    certificate, key
        PEM files for TLS.
    insecure_network
        Serve in the clear on an address that others can reach, too.
    """

    path: Path
    host: str = "127.0.0.1"
    port: int = 0
    certificate: Optional[Path] = None
    key: Optional[Path] = None
    insecure_network: bool = False


def serve(settings: DashboardSettings, *, ready: Callable[[str], None]) -> None:
    """Serve runs until the process is told to stop; what was started from the page is stopped with it.

    Parameters
    ----------
    settings
        What to serve, where and how.
    ready
        Called with the address to open, when it is answered.

    Raises
    ------
    StoreError
        There is no such folder.
    DashboardError
        It cannot listen there, or should not.
    """
    folder = RunsFolder(settings.path)
    _check(settings)
    listener = listening_socket(
        settings.host, settings.port, failed=DashboardError, in_use=DashboardError, instead="choose another --port"
    )
    port = listener.getsockname()[1]
    scheme = "https" if settings.certificate else "http"
    app = DashboardApp(folder)
    guard = Guard(app.asgi, hosts=_hosts(settings.host, port), scheme=scheme, port=port)
    address = f"{scheme}://{_shown(_reachable(settings.host))}:{port}/?token={guard.token}"
    server = _Server(
        uvicorn.Config(
            guard,
            lifespan="on",
            loop="asyncio",
            ws="none",
            access_log=False,  # it would write the token down
            log_level="error",
            proxy_headers=False,  # nobody stands before us whose word on the address counts
            server_header=False,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        ),
        stop=app.hub.stop,
        started=lambda: ready(address),
    )
    with listener:
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it serves, and lets streams, which never end by themselves, end when it is told to stop."""

    def __init__(self, config: uvicorn.Config, *, stop: Callable[[], None], started: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._started = started

    async def startup(self, sockets: Optional[list[socket.socket]] = None) -> None:
        await super().startup(sockets)
        self._started()

    def handle_exit(self, sig: int, frame: Optional[FrameType]) -> None:
        super().handle_exit(sig, frame)
        self._stop()


def _check(settings: DashboardSettings) -> None:
    if (settings.certificate is None) != (settings.key is None):
        raise DashboardError("give both --certificate and --key, or neither")
    if settings.certificate is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.certificate, settings.key)
        except OSError as error:
            reason = error.strerror or "not a certificate and its key, in PEM"
            raise DashboardError(f"{settings.certificate} and {settings.key}: {reason.lower()}") from None
    elif not settings.insecure_network and not is_loopback(settings.host):
        raise DashboardError(
            f"without TLS the dashboard listens on loopback addresses only, not on {settings.host}: whoever sees the "
            "token on the way could stop and start runs; give --certificate and --key (an experiment's identity/ has "
            "server.pem and server.key), or --insecure-network if the network is yours alone"
        )


def _hosts(host: str, port: int) -> list[str]:
    """Return the ``Host`` headers that browsers send which mean us."""
    names = {"localhost", "127.0.0.1", "::1", host} if is_loopback(host) else {host, *host_names()}
    shown = {_shown(name) for name in names}
    return [f"{name}:{port}" for name in shown] + ([*shown] if port in (80, 443) else [])


def _reachable(host: str) -> str:
    """Return an address that a browser can open; of all of them, one that other computers reach."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return host
    others = [name for name in host_names() if _is_address(name) and not is_loopback(name)]
    return next((name for name in others if ":" not in name or host == "::"), "localhost")


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
