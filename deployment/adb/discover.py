"""Find phones for an inventory: on USB, known to the server of Google's ``adb``, or at given addresses."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deployment.adb.connector import AdbConnector
from deployment.adb.server import server_devices
from deployment.adb.transports import usb_serials
from deployment.errors import DeployError, DeploymentError, InventoryError
from deployment.inventory import DeviceEntry, load_inventory

__all__ = ["find_phones"]

_PORT = 5555


def find_phones(
    hosts: Sequence[str],
    inventory: Path,
    key: Path | None,
    group: str,
    tell: Callable[[str], None],
) -> tuple[list[DeviceEntry], list[str]]:
    """Ask every phone in reach for its model.

    Parameters
    ----------
    hosts
        ``HOST`` or ``HOST:PORT`` of phones that listen on TCP, beside those on USB.
    inventory
        Phones that are in it already are left out; the file need not exist.
    tell
        Called with what people should know while we wait for them.

    Returns
    -------
    found, silent
        New entries, and a line for each phone that did not answer.
    """
    known = load_inventory(inventory).devices if inventory.exists() else ()
    there = {(device.serial, device.host, device.port or _PORT) for device in known if device.connect == "adb"}
    serials = sorted({*server_devices(), *usb_serials()})
    groups = (group,) if group else ()
    entries = [DeviceEntry(serial, connect="adb", serial=serial, key=key, groups=groups) for serial in serials]
    entries += [
        DeviceEntry(host, connect="adb", host=host, port=port, key=key, groups=groups)
        for host, port in map(_parse, hosts)
    ]
    new = [entry for entry in entries if (entry.serial, entry.host, entry.port or _PORT) not in there]
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(new)))) as pool:
        models = list(pool.map(lambda entry: _model(entry, tell), new))
    names = {device.name for device in known}
    found, silent = [], []
    for entry, model in zip(new, models):
        if isinstance(model, DeploymentError):
            silent.append(str(model))
            continue
        name = _unique(re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-").lower() or "phone", names)
        names.add(name)
        found.append(dataclasses.replace(entry, name=name, port=0 if entry.port == _PORT else entry.port))
    return found, silent


def _model(entry: DeviceEntry, tell: Callable[[str], None]) -> str | DeploymentError:
    connector = AdbConnector(
        entry.name, host=entry.host, port=entry.port, serial=entry.serial, key=entry.key, tell=tell
    )
    try:
        return connector.run(["getprop", "ro.product.model"]).text
    except DeployError as error:
        return error
    finally:
        connector.close()


def _parse(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", str(_PORT))
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InventoryError(f"{text!r} is no host; write HOST or HOST:PORT")
    return host, int(port)


def _unique(name: str, names: set[str]) -> str:
    number, candidate = 2, name
    while candidate in names:
        number, candidate = number + 1, f"{name}-{number}"
    return candidate
