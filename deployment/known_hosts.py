"""Which host key belongs to which device: a file of our own, beside the inventory, in OpenSSH's format.

The user's ``~/.ssh/known_hosts`` is neither read nor written: what an experiment trusts is in one place and goes with
it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import threading
from pathlib import Path

import paramiko

from deployment.errors import DeploymentError, HostKeyError

__all__ = ["KnownHosts", "fingerprint"]

_lock = threading.Lock()


def fingerprint(key: paramiko.PKey) -> str:
    """Return a key's fingerprint as ``ssh-keygen -l`` shows it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode("ascii").rstrip("=")
    return f"SHA256:{digest} ({key.get_name()})"


class KnownHosts(paramiko.MissingHostKeyPolicy):
    """The file, and what happens with a key that is not in it: it is refused.

    Parameters
    ----------
    path
        The file; it need not be there.
    device
        Name of the device that is asked for, for messages.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._path = path
        self._device = device

    def keys(self) -> paramiko.HostKeys:
        """Return the keys in the file.

        Raises
        ------
        DeploymentError
            The file cannot be read.
        """
        keys = paramiko.HostKeys()
        if self._path.exists():
            try:
                keys.load(str(self._path))
            except (OSError, ValueError, paramiko.SSHException) as error:
                raise DeploymentError(f"{self._path}: cannot be read as known hosts: {error}") from None
        return keys

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Refuse a host whose key nobody has trusted yet."""
        raise HostKeyError(
            self._device,
            f"the host key of {hostname} is unknown: {fingerprint(key)}",
            f"compare it on the device (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), then run: pocketfleet fleet trust "
            f"{self._device}",
        )

    def changed(self, error: paramiko.BadHostKeyException) -> HostKeyError:
        """Return the error for a host that shows another key than the trusted one."""
        return HostKeyError(
            self._device,
            f"the host key of {error.hostname} has changed: trusted {fingerprint(error.expected_key)}, now "
            f"{fingerprint(error.key)}",
            f"if the device was installed anew, run: pocketfleet fleet trust {self._device}; if not, somebody may be "
            "between you and it",
        )

    def trusted(self, host: str) -> list[paramiko.PKey]:
        """Return the keys that are trusted for a host."""
        return list((self.keys().lookup(host) or {}).values())

    def trust(self, host: str, key: paramiko.PKey) -> None:
        """Trust this key of a host from now on, and no other.

        Raises
        ------
        DeploymentError
            The file cannot be written.
        """
        with _lock:
            keys = self.keys()
            if host in keys:
                del keys[host]
            keys.add(host, key.get_name(), key)
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=".known_hosts.")
                os.close(descriptor)
                keys.save(temporary)
                os.replace(temporary, self._path)
            except OSError as error:
                raise DeploymentError(f"{self._path}: cannot be written: {error.strerror}") from None
