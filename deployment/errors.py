"""What can go wrong between this host and a device, in one tree.

::

    DeploymentError (Exception)
    ├── InventoryError (ValueError)           fleet.toml, or what it names, is wrong
    └── DeployError                           one device; `device`, `what` and `advice` are kept apart
        ├── UnreachableError (ConnectionError)    no answer at its address
        ├── LostLinkError (ConnectionError)       the connection broke; doing it again goes on where it stopped
        ├── HostKeyError (ConnectionError)        the device's key is unknown, or not the one that was trusted
        ├── AuthenticationError (PermissionError) it does not let us in
        ├── UnauthorisedError (PermissionError)   it waits for a person to allow this computer
        ├── CommandError (RuntimeError)           a command on it failed; `status` is its exit status
        ├── CommandTimeoutError (TimeoutError)    a command on it took too long
        ├── NoSpaceError (OSError)                its storage is full
        ├── ReadOnlyError (OSError)               its storage cannot be written
        ├── NotThereError (FileNotFoundError)     a file is not on it
        ├── IntegrityError (OSError)              a file on it is not what was sent
        ├── PlatformError (RuntimeError)          its system is too old, or of a kind that is not served
        └── BusyError (RuntimeError)              somebody else works on it

Every message is one line: the device, what happened, what to do.
"""

from __future__ import annotations

import re

__all__ = [
    "AuthenticationError",
    "BusyError",
    "CommandError",
    "CommandTimeoutError",
    "DeployError",
    "DeploymentError",
    "HostKeyError",
    "IntegrityError",
    "InventoryError",
    "LostLinkError",
    "NoSpaceError",
    "NotThereError",
    "PlatformError",
    "ReadOnlyError",
    "UnauthorisedError",
    "UnreachableError",
    "plain_text",
]

_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain_text(text: str) -> str:
    """Return what a device said without what would steer the terminal that shows it."""
    return _STEERING.sub("", text)


class DeploymentError(Exception):
    """Base of every error that deployment raises on purpose."""


class InventoryError(DeploymentError, ValueError):
    """The inventory, or something that it names, is wrong."""


class DeployError(DeploymentError):
    """Something went wrong with one device.

    Parameters
    ----------
    device
        Its name in the inventory.
    what
        What happened.
    advice
        What to do about it; may be empty.
    """

    def __init__(self, device: str, what: str, advice: str = "") -> None:
        line = plain_text(" ".join((f"{what}; {advice}" if advice else what).split()))
        super().__init__(f"{device}: {line}")
        self.device = device
        self.what = what
        self.advice = advice

    def __str__(self) -> str:  # OSError's own would print the arguments
        return str(self.args[0])


class UnreachableError(DeployError, ConnectionError):
    """Nothing answers at the device's address."""


class LostLinkError(DeployError, ConnectionError):
    """The connection broke; whether the last command was carried out is unknown."""


class HostKeyError(DeployError, ConnectionError):
    """The device's host key is unknown, or not the one that was trusted."""


class AuthenticationError(DeployError, PermissionError):
    """The device does not accept our key or password."""


class UnauthorisedError(DeployError, PermissionError):
    """The device waits for a person to allow this computer."""


class CommandTimeoutError(DeployError, TimeoutError):
    """A command took too long; it may still be running."""


class CommandError(DeployError, RuntimeError):
    """A command on the device failed.

    Attributes
    ----------
    status
        Its exit status.
    """

    def __init__(self, device: str, what: str, advice: str = "", *, status: int = 1) -> None:
        super().__init__(device, what, advice)
        self.status = status


class NoSpaceError(DeployError, OSError):
    """The device's storage is full, or would be."""


class ReadOnlyError(DeployError, OSError):
    """The device's storage cannot be written."""


class NotThereError(DeployError, FileNotFoundError):
    """A file is not on the device."""


class IntegrityError(DeployError, OSError):
    """A file on the device is not what was sent; it was not put to use."""


class PlatformError(DeployError, RuntimeError):
    """The device's system is too old, or of a kind that is not served."""


class BusyError(DeployError, RuntimeError):
    """Somebody else is working on the device."""
