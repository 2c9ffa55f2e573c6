"""The key that names a client to the server, and signing with it."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_client.errors import StateError

__all__ = ["ClientKey"]


class ClientKey:
    """An elliptic-curve key pair (P-384) kept in a file that only its owner can read.

    Parameters
    ----------
    private_key
        The key pair.
    """

    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key
        self.public_pem = private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public_header = b64encode(self.public_pem).decode("ascii")

    @classmethod
    def load_or_create(cls, path: Path) -> ClientKey:
        """Read the key in a PEM file; make it first if there is none.

        Raises
        ------
        edge_client.errors.StateError
            The file cannot be read or written, is readable by others, or holds something else.
        """
        try:
            pem = path.read_bytes() if path.exists() else _create(path)
            mode = path.stat().st_mode
        except OSError as error:
            raise StateError(f"{path}: cannot keep this client's key there: {error.strerror}") from error
        if mode & 0o077:
            raise StateError(f"{path}: others can read this client's private key; run: chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise StateError(f"{path}: not a private key in PEM form; delete it to get a new one") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
            raise StateError(f"{path}: the server needs an elliptic-curve key on P-384; delete it to get one")
        return cls(key)

    @property
    def public_ssh(self) -> bytes:
        """The public key as OpenSSH writes it, which is what ``flwr supernode register`` reads."""
        return self._private_key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )

    @property
    def fingerprint(self) -> str:
        """A short name of the public key, safe to print: ``sha256:`` and 16 hexadecimal digits."""
        return f"sha256:{hashlib.sha256(self.public_pem).hexdigest()[:16]}"

    def sign(self, text: str) -> str:
        """Sign ASCII text (ECDSA over SHA-256) and return the signature in base64."""
        return b64encode(self._private_key.sign(text.encode("ascii"), ec.ECDSA(hashes.SHA256()))).decode("ascii")


def _create(path: Path) -> bytes:
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return pem
