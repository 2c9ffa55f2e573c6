"""Whether phones of a farm can reach a server: they are in AWS's network, and only reach out."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Callable

from deployment.device_farm.errors import FarmPlanError

__all__ = ["check_reachable", "resolve", "split_address"]

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})")
_LOCAL_SUFFIXES = (".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain", ".localhost", ".intranet")
_ADVICE = (
    "phones of the farm reach only servers on the internet: give the server a public name or address "
    "(server.names in the experiment), let its port through the firewall, and invite anew"
)


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``.

    Raises
    ------
    FarmPlanError
        It is not of this form.
    """
    found = _ADDRESS.fullmatch(address)
    if not found or not 0 < int(found[3]) < 65536:
        raise FarmPlanError(f"the invitation's server is {address!r}, which is not HOST:PORT")
    return found[1] or found[2], int(found[3])


def resolve(host: str) -> list[str]:
    """Return the addresses of a name, or none where it has none here."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def check_reachable(address: str, *, resolver: Callable[[str], list[str]] = resolve) -> None:
    """Refuse a server that cannot be on the internet.

    It says nothing of firewalls: whether the port is open is seen only from outside.

    Parameters
    ----------
    address
        ``HOST:PORT``.
    resolver
        Looks up a name.

    Raises
    ------
    FarmPlanError
        The address is private, a loopback or a link's own, or the name belongs to a home network or to nobody.
    """
    host, _ = split_address(address)
    try:
        addresses = [str(ipaddress.ip_address(host))]
    except ValueError:
        if "." not in host or host.lower().rstrip(".").endswith(_LOCAL_SUFFIXES):
            raise FarmPlanError(f"the server {host} has a name of a local network", _ADVICE) from None
        addresses = resolver(host)
        if not addresses:
            raise FarmPlanError(f"the server's name {host} has no address", _ADVICE) from None
    for each in addresses:
        if not ipaddress.ip_address(each.partition("%")[0]).is_global:
            shown = host if each == host else f"{host} ({each})"
            raise FarmPlanError(f"the server {shown} is on a private network", _ADVICE)
