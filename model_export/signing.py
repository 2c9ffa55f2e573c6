"""Detached signatures: ECDSA over P-256 with SHA-256, the strongest that every Android since 8.0 verifies.

The ``cryptography`` package is imported when a signature is made or checked: a bundle can be read without it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from model_export.errors import BundleAltered, SigningKeyError
from model_export.files import write_atomically

__all__ = [
    "MAX_SIGNATURE_BYTES",
    "BadSignature",
    "fingerprint",
    "load_or_create_key",
    "public_key",
    "publish",
    "same_key",
    "sign",
    "verify",
]

MAX_SIGNATURE_BYTES = 4096
_ALGORITHM = "ECDSA-P256-SHA256"


class BadSignature(BundleAltered):
    """A signature that is malformed or does not fit."""


def load_or_create_key(path: Path) -> bytes:
    """Return the PEM of the private key at ``path``, made on first use and readable by its owner alone.

    Raises
    ------
    SigningKeyError
        The file that is there holds something else.
    """
    if path.exists():
        pem = path.read_bytes()
        try:
            _private(pem)
        except SigningKeyError as error:
            raise SigningKeyError(f"{path}: {error}") from None
        return pem
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, pem, mode=0o600)
    return pem


def publish(path: Path) -> Path:
    """Write the public key that belongs to the private key at ``path`` beside it, as ``….pub.pem``; return its path."""
    public = path.with_suffix(".pub.pem")
    write_atomically(public, public_key(path.read_bytes()))
    return public


def public_key(private_key: bytes) -> bytes:
    """Return the PEM of the public key that belongs to a private key's PEM.

    Raises
    ------
    SigningKeyError
        It is no private key for signing bundles.
    """
    return _public_pem(_private(private_key).public_key())


def sign(data: bytes, private_key: bytes) -> bytes:
    """Return the content of a ``.sig`` file over ``data``."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = _private(private_key)
    signature = key.sign(data, ec.ECDSA(hashes.SHA256()))
    document = {
        "algorithm": _ALGORITHM,
        "public_key": _public_pem(key.public_key()).decode(),
        "signature": base64.b64encode(signature).decode(),
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def verify(data: bytes, signature: bytes) -> bytes:
    """Check a ``.sig`` file against ``data``; return the PEM of the key that signed.

    Raises
    ------
    BadSignature
        It is malformed, or it is not a signature over ``data``.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        document = json.loads(signature)
        if document["algorithm"] != _ALGORITHM:
            raise BadSignature(f"unknown algorithm {document['algorithm']!r}")
        pem: bytes = document["public_key"].encode()
        raw = base64.b64decode(document["signature"], validate=True)
        _public(pem).verify(raw, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise BadSignature("the signature does not fit the manifest: one of the two was altered") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UnsupportedAlgorithm) as error:
        if isinstance(error, BadSignature):
            raise
        raise BadSignature(f"not a signature file: {error}") from None
    return pem


def same_key(one: bytes, other: bytes) -> bool:
    """Tell whether two PEMs hold the same public key.

    Raises
    ------
    BadSignature
        One of them is not the PEM of a P-256 public key.
    """
    return fingerprint(one) == fingerprint(other)


def fingerprint(public_pem: bytes) -> str:
    """Return the SHA-256 of a public key in the form ``SHA256:…`` (of its DER, hex, 64 digits)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = _public(public_pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadSignature(f"not the PEM of a P-256 public key: {error}") from None
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"SHA256:{hashlib.sha256(der).hexdigest()}"


def _private(pem: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    way_out = "make one with: openssl ecparam -genkey -noout -name prime256v1"
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:  # encrypted, and no password was given
        raise SigningKeyError("the signing key is protected by a password; only plain keys can be used") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SigningKeyError(f"the signing key is not the PEM of a private key; {way_out}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise SigningKeyError(f"the signing key is not an ECDSA P-256 key; {way_out}")
    return key


def _public(pem: bytes) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ValueError("not an ECDSA P-256 key")
    return key


def _public_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem
