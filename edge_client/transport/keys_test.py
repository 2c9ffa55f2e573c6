from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_client.errors import StateError
from edge_client.transport.keys import ClientKey


def test_a_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first = ClientKey.load_or_create(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    again = ClientKey.load_or_create(tmp_path / "key.pem")
    assert again.public_pem == first.public_pem
    assert b64decode(first.public_header) == first.public_pem
    assert first.public_ssh.startswith(b"ecdsa-sha2-nistp384 ")
    assert first.fingerprint.startswith("sha256:")


def test_signatures_hold(tmp_path: Path) -> None:
    key = ClientKey.load_or_create(tmp_path / "key.pem")
    public = serialization.load_pem_public_key(key.public_pem)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(
        b64decode(key.sign("2026-11-21T00:00:00+00:00")), b"2026-11-21T00:00:00+00:00", ec.ECDSA(hashes.SHA256())
    )


def other_key(curve: ec.EllipticCurve) -> bytes:
    return ec.generate_private_key(curve).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (b"garbage", 0o600, "not a private key"),
        (b"", 0o600, "not a private key"),
        (other_key(ec.SECP256R1()), 0o600, "P-384"),
        (other_key(ec.SECP384R1()), 0o644, "chmod 600"),
    ],
)
def test_what_is_no_such_key_is_refused(tmp_path: Path, content: bytes, mode: int, complaint: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(StateError, match=complaint):
        ClientKey.load_or_create(path)
    assert path.read_bytes() == content


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no/key.pem: cannot keep this client's key there: No such file"):
        ClientKey.load_or_create(tmp_path / "no" / "key.pem")
