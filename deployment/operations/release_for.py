"""What a board is to have, from what it is and what the inventory says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deployment.connector import Connector
from deployment.errors import PlatformError
from deployment.facts import platform, read_facts
from deployment.inventory import DeviceEntry, ServerEntry
from deployment.operations.trial import unfit_runtimes
from deployment.releases import Release, make_release
from deployment.runtimes import Runtime, fitting_runtimes
from deployment.wheelhouse import wheels_for

__all__ = ["releases_for", "runtimes_for"]


def releases_for(connector: Connector, device: DeviceEntry, server: ServerEntry) -> Iterator[Release]:
    """Yield the release for a board, and others with other runtimes, for where that does not train there.

    Wheels for its kind are fetched if this host has none yet.

    Raises
    ------
    deployment.errors.PlatformError
        Nothing fits the board, or nothing that fits trains there.
    deployment.errors.InventoryError
        The inventory does not say enough, or names files that are not there.
    """
    facts = read_facts(connector, device.python, only_platform=True)
    if device.install == "none":
        if "python" not in facts:
            raise PlatformError(device.name, f"there is no {device.python} on it", "mend `python` in its table")
        yield make_release(device, server, [], facts["python"])
        return
    for runtime in runtimes_for(connector, device, facts):
        yield make_release(device, server, wheels_for(device.name, runtime), facts["python"], runtime.name)
    reasons = [f"{name} {why}" for name, why in unfit_runtimes(connector, device.directory).items()]
    raise PlatformError(
        device.name,
        f"no TensorFlow Lite runtime that fits it trains on it: {', '.join(reasons)}",
        "leave out `runtime` in its table" if device.runtime else "see docs/boards.md",
    )


def runtimes_for(connector: Connector, device: DeviceEntry, facts: Mapping[str, str]) -> list[Runtime]:
    """Return the runtimes for a board, best first.

    Those that did not train on it before are left out, unless the inventory names the runtime or no other is left.
    """
    fitting = fitting_runtimes(device.name, platform(facts), device.runtime)
    unfit = {} if device.runtime else unfit_runtimes(connector, device.directory)
    return [each for each in fitting if each.name not in unfit] or fitting
