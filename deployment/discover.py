"""Find boards that answer SSH, for an inventory to begin with."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deployment.errors import InventoryError
from deployment.inventory import DeviceEntry, load_inventory

__all__ = ["find_hosts", "parse_host", "unique_name"]

_PATIENCE_S = 5


def find_hosts(
    hosts: Sequence[str], inventory: Path, user: str, key: Path | None, group: str
) -> tuple[list[DeviceEntry], list[str]]:
    """Look for an SSH server on each host.

    Parameters
    ----------
    hosts
        ``HOST`` or ``HOST:PORT``.
    inventory
        Hosts that are in it already are left out; the file need not exist.

    Returns
    -------
    found, silent
        New entries, and a line for each host that did not answer.
    """
    known = load_inventory(inventory).devices if inventory.exists() else ()
    names = {device.name for device in known}
    there = {(device.host, device.port or 22) for device in known if device.connect == "ssh"}
    wanted = [address for address in dict.fromkeys(parse_host(host, 22) for host in hosts) if address not in there]
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(wanted)))) as pool:
        greetings = list(pool.map(_greeting, wanted))
    found, silent = [], []
    for (host, port), greeting in zip(wanted, greetings):
        if not greeting.startswith("SSH-"):
            silent.append(f"{host} port {port}: {greeting or 'something else than an SSH server answers'}")
            continue
        name = unique_name(_name(host), names)
        names.add(name)
        found.append(
            DeviceEntry(
                name, host=host, port=0 if port == 22 else port, user=user, key=key, groups=(group,) if group else ()
            )
        )
    return found, silent


def parse_host(text: str, usual_port: int) -> tuple[str, int]:
    """Read ``HOST``, ``HOST:PORT`` or ``[HOST]:PORT``.

    Raises
    ------
    InventoryError
        It is neither.
    """
    bracketed = re.fullmatch(r"\[(.+)\](?::(.*))?", text)  # an IPv6 address
    if bracketed:
        host, port = bracketed[1], bracketed[2] or str(usual_port)
    else:
        host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", str(usual_port))
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InventoryError(f"{text!r} is no host; write HOST or HOST:PORT")
    return host, int(port)


def _greeting(address: tuple[str, int]) -> str:
    """Return the first words of a server, or why there are none."""
    try:
        with socket.create_connection(address, _PATIENCE_S) as sock:
            return sock.recv(255).decode("ascii", "replace")
    except TimeoutError:
        return "no answer"
    except (OSError, UnicodeError) as error:  # a name with an empty or too long a part is no text for the resolver
        return str(getattr(error, "strerror", None) or error).lower()


def _name(host: str) -> str:
    parts = host.split(".")
    name = parts[-1] if host.replace(".", "").isdecimal() else re.sub(r"[^A-Za-z0-9_]+", "-", parts[0]).strip("-_")
    return name[:48] if name[:1].isalpha() else f"board-{name[:48]}".rstrip("-")


def unique_name(name: str, names: set[str]) -> str:
    """Return a name that is not among those taken, by a number if need be."""
    number, candidate = 2, name
    while candidate in names:
        number, candidate = number + 1, f"{name}-{number}"
    return candidate
