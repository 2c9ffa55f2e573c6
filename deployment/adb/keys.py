"""The RSA key by which Android devices know this computer."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import socket
from pathlib import Path

from adb_shell.auth.keygen import encode_pubkey
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from deployment.errors import DeploymentError

__all__ = ["AdbKey", "adb_key", "default_key_path"]


def default_key_path() -> Path:
    """Return where our own key is: apart from ``~/.android``, whose key opens every phone of a developer."""
    return Path(os.environ.get("POCKETFLEET_HOME", Path.home() / ".pocketfleet")) / "adb" / "key"


class AdbKey:
    """A key, made on first use and readable by its owner alone.

    Parameters
    ----------
    path
        PEM file, unencrypted, RSA with 2048 bits, as ADB wants it (``~/.android/adbkey`` is one).

    Raises
    ------
    deployment.errors.DeploymentError
        The file is not such a key, or cannot be made.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_key_path()
        try:
            if not self.path.exists():
                _make(self.path)
            key = serialization.load_pem_private_key(self.path.read_bytes(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise DeploymentError(f"{self.path}: not an unencrypted private key in PEM") from None
        except OSError as error:
            raise DeploymentError(f"{self.path}: {(error.strerror or str(error)).lower()}") from None
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != 2048:
            raise DeploymentError(f"{self.path}: ADB needs an RSA key with 2048 bits")
        self._key = key
        self._public: bytes = encode_pubkey(str(self.path))

    def sign(self, token: bytes) -> bytes:
        """Sign a device's token of 20 bytes, which stands in the place of a SHA-1."""
        return self._key.sign(token, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))  # noqa: S303 - ADB's choice

    @property
    def public(self) -> bytes:
        """The public key as ADB sends it: Android's own form in base64, and who we are."""
        return base64.b64encode(self._public) + f" pocketfleet@{socket.gethostname() or 'unknown'}".encode()

    @property
    def fingerprint(self) -> str:
        """MD5 of the public key, as the device's dialog shows it."""
        digest = hashlib.md5(self._public, usedforsecurity=False).digest()
        return ":".join(f"{byte:02X}" for byte in digest)


@functools.cache
def adb_key(path: Path | None = None) -> AdbKey:
    """Return a key, read once: opening one takes a tenth of a second or more, and a fleet shares it."""
    return AdbKey(path)


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    try:
        os.link(new, path)  # fails where another process was faster, whose key is then ours
    except FileExistsError:
        pass
    finally:
        new.unlink()
