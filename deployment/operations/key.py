"""A device's public key, by which the server knows it; the private one never leaves the device."""

from __future__ import annotations

from deployment.connector import Connector, check, script
from deployment.errors import NotThereError
from deployment.inventory import DeviceEntry

__all__ = ["public_key"]

_KEY = """
root=$(cd "$1" && pwd -P)
[ -f "$root/current/key.sh" ] || exit 7
exec sh "$root/current/key.sh"
"""
_MISSING = 7


def public_key(connector: Connector, device: DeviceEntry) -> bytes:
    """Return a device's public key in PEM; it is made on the device if there is none yet.

    Raises
    ------
    deployment.errors.NotThereError
        Nothing was pushed yet.
    """
    words = script(_KEY, device.directory)
    completed = connector.run(words)
    if completed.status == _MISSING or (completed.status != 0 and b"can't cd" in completed.stderr):
        raise NotThereError(
            device.name, "there is no client on it", f"run: pocketfleet fleet push --device {device.name}"
        )
    return (completed if completed.status == 0 else check(connector, words)).stdout
