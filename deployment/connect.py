"""Open the connection that the inventory asks for."""

from __future__ import annotations

from collections.abc import Callable

from deployment.connector import Connector
from deployment.errors import InventoryError
from deployment.inventory import DeviceEntry, Inventory

__all__ = ["open_connector"]


def open_connector(device: DeviceEntry, inventory: Inventory) -> Connector:
    """Connect to a device.

    Raises
    ------
    deployment.errors.DeployError
        It cannot be reached, or is not what was trusted.
    """
    try:
        opener = _OPENERS[device.connect]
    except KeyError:
        raise InventoryError(
            f"{device.name}: `pocketfleet fleet` does not reach devices with connect = {device.connect!r}"
        ) from None
    return opener(device, inventory)


def _local(device: DeviceEntry, inventory: Inventory) -> Connector:
    from deployment.local import LocalConnector

    return LocalConnector(device.name)


def _ssh(device: DeviceEntry, inventory: Inventory) -> Connector:
    from deployment.ssh import SshConnector

    return SshConnector(device, inventory.known_hosts)


_OPENERS: dict[str, Callable[[DeviceEntry, Inventory], Connector]] = {"local": _local, "ssh": _ssh}
