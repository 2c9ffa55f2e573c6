"""Find phones for an inventory: on USB, known to the server of Google's ``adb``, or at given addresses."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deployment.adb.connector import DEFAULT_PORT, AdbConnector
from deployment.adb.server import server_devices
from deployment.adb.transports import usb_serials
from deployment.discover import parse_host, unique_name
from deployment.errors import DeployError, DeploymentError
from deployment.inventory import DeviceEntry, load_inventory

__all__ = ["find_phones"]


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
    there = {(device.serial, device.host, device.port or DEFAULT_PORT) for device in known if device.connect == "adb"}
    serials = sorted({*server_devices(), *usb_serials()})
    groups = (group,) if group else ()
    entries = [DeviceEntry(serial, connect="adb", serial=serial, key=key, groups=groups) for serial in serials]
    entries += [
        DeviceEntry(host, connect="adb", host=host, port=port, key=key, groups=groups)
        for host, port in (parse_host(host, DEFAULT_PORT) for host in hosts)
    ]
    new = [entry for entry in entries if (entry.serial, entry.host, entry.port or DEFAULT_PORT) not in there]
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(new)))) as pool:
        models = list(pool.map(lambda entry: _model(entry, tell), new))
    names = {device.name for device in known}
    found, silent = [], []
    for entry, model in zip(new, models):
        if isinstance(model, DeploymentError):
            silent.append(str(model))
            continue
        name = unique_name(re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-").lower() or "phone", names)
        names.add(name)
        found.append(dataclasses.replace(entry, name=name, port=0 if entry.port == DEFAULT_PORT else entry.port))
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
