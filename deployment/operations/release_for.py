"""What a board is to have, from what it is and what the inventory says."""

from __future__ import annotations

from deployment.connector import Connector
from deployment.errors import PlatformError
from deployment.facts import platform, read_facts
from deployment.inventory import DeviceEntry, ServerEntry
from deployment.releases import Release, make_release
from deployment.runtimes import choose_runtime
from deployment.wheelhouse import wheels_for

__all__ = ["release_for"]


def release_for(connector: Connector, device: DeviceEntry, server: ServerEntry) -> Release:
    """Return the release for a board; fetches the wheels for its kind if this host has none yet.

    Raises
    ------
    deployment.errors.PlatformError
        Nothing fits the board.
    deployment.errors.InventoryError
        The inventory does not say enough, or names files that are not there.
    """
    facts = read_facts(connector, device.python, only_platform=True)
    if device.install == "none":
        if "python" not in facts:
            raise PlatformError(device.name, f"there is no {device.python} on it", "mend `python` in its table")
        return make_release(device, server, [], facts["python"])
    runtime = choose_runtime(device.name, platform(facts), device.runtime)
    return make_release(device, server, wheels_for(device.name, runtime), facts["python"])
