"""Where a server of ours listens: who can reach the address, and a socket on it, or in a line why there is none."""

from __future__ import annotations

import errno
import ipaddress
import socket

from python_server.errors import ServerError

__all__ = ["is_loopback", "listening_socket"]


def is_loopback(host: str) -> bool:
    """Return whether an address or a name is this host's alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening_socket(
    host: str, port: int, *, failed: type[ServerError], in_use: type[ServerError], instead: str
) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    host, port
        Address; port 0 takes a free one.
    failed, in_use
        What is raised where that is not possible, and where another program listens there.
    instead
        What to do about the latter.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError):  # the latter of a name with an empty part, as in a..b
        raise failed(f"{host!r} is not an address of this host") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise in_use(f"port {port} on {host} is in use by another program; {instead}") from None
        raise failed(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener
