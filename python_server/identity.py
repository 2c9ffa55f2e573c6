"""The server's identity: its own certificate authority, its certificate, and the devices it knows.

One directory, readable by its owner alone, outlives runs and servers::

    identity/
      ca.pem, ca.key          what devices trust; made once
      server.pem, server.key  made anew when the host's names change or the old one is about to end
      devices/NAME.pem        public keys of enrolled devices, one a file

A device needs a copy of ``ca.pem`` and is enrolled by its public key.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from model_export.files import write_atomically
from python_server.errors import IdentityError
from python_server.tasks import device_id

__all__ = ["Certificates", "Identity", "device_id", "host_names", "normalized_public_key"]

_CA_DAYS = 3650
_SERVER_DAYS = 397
_RENEW_DAYS = 30
_SIOCGIFADDR = 0x8915
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@dataclass(frozen=True)
class Certificates:
    """Paths of the PEM files that a TLS server needs, and of the one that its clients trust."""

    ca: Path
    certificate: Path
    key: Path


def normalized_public_key(pem: bytes) -> bytes:
    """Return an elliptic-curve public key in the one form that the SuperLink compares byte for byte.

    Raises
    ------
    IdentityError
        These bytes are no such key, or they are a private one, which must not leave its device.
    """
    if b"PRIVATE KEY" in pem:
        raise IdentityError("this is a private key; enrol the public one: `pocketfleet-client key` prints it")
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError:
        raise IdentityError("not a public key in PEM form") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise IdentityError("not a public key on the curve P-384")
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Identity:
    """The identity directory; it is made when it is not there.

    Raises
    ------
    IdentityError
        The directory cannot be used, or others may read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (path / "devices").mkdir(mode=0o700, exist_ok=True)
            if path.stat().st_mode & 0o077:
                raise IdentityError(f"{path}: others can read the server's keys; run: chmod 700 {path}")
        except OSError as error:
            raise IdentityError(f"{path}: cannot keep the server's identity there: {error.strerror}") from error

    def certificates(self, names: Iterable[str]) -> Certificates:
        """Return certificates that are valid for ``names``, made or renewed where needed.

        Parameters
        ----------
        names
            Host names and IP addresses under which devices reach the server.
        """
        wanted = _general_names(names)
        files = Certificates(self.path / "ca.pem", self.path / "server.pem", self.path / "server.key")
        with self._locked():
            authority, authority_key = self._authority(files.ca)
            if not _still_good(files, authority, wanted):
                _issue(files, authority, authority_key, wanted)
        return files

    def enrol(self, public_key: bytes, name: str) -> str:
        """Let the device with this public key take part, under ``name``; return its id.

        Raises
        ------
        IdentityError
            Not a public key, not a usable name, or one of both is taken.
        """
        if not _NAME.fullmatch(name):
            raise IdentityError(f"{name!r} is no device name: use letters, digits, '.', '_' and '-', at most 64")
        key = normalized_public_key(public_key)
        with self._locked():
            for other, known in self.devices().items():
                if known == key and other != name:
                    raise IdentityError(f"this key is already enrolled as {other!r}")
                if other == name and known != key:
                    raise IdentityError(
                        f"another key is enrolled as {name!r}; if the device got a new key, "
                        f"remove {self.path / 'devices' / (name + '.pem')} first"
                    )
            write_atomically(self.path / "devices" / f"{name}.pem", key, mode=0o600)
        return device_id(key)

    def devices(self) -> dict[str, bytes]:
        """Return the enrolled public keys by device name.

        Raises
        ------
        IdentityError
            A file holds no public key; the message names it.
        """
        devices: dict[str, bytes] = {}
        for file in sorted((self.path / "devices").glob("*.pem")):
            if file.name.startswith("."):
                continue
            try:
                devices[file.stem] = normalized_public_key(file.read_bytes())
            except IdentityError as error:
                raise IdentityError(f"{file}: {error}") from None
        return devices

    def stamp(self) -> int:
        """Return a number that changes when a device is enrolled or removed."""
        return (self.path / "devices").stat().st_mtime_ns

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _authority(self, certificate_file: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key_file = self.path / "ca.key"
        if certificate_file.exists() != key_file.exists():
            raise IdentityError(
                f"{self.path} has only one of ca.pem and ca.key; restore the other, "
                "or remove both and give every device the new ca.pem"
            )
        if key_file.exists():
            return _read_certificate(certificate_file), _read_key(key_file)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pocketfleet")])
        authority = (
            _builder(name, name, key.public_key(), _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_atomically(key_file, _private_pem(key), mode=0o600)
        write_atomically(certificate_file, authority.public_bytes(serialization.Encoding.PEM))
        return authority, key


def host_names(extra: Iterable[str] = ()) -> list[str]:
    """Return the names and addresses of this host, and ``extra`` ones, without asking the network."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *extra]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        for _, interface in socket.if_nameindex():
            request = struct.pack("256s", interface.encode()[:15])
            with contextlib.suppress(OSError):  # an interface without an IPv4 address
                answer = fcntl.ioctl(query.fileno(), _SIOCGIFADDR, request)
                names.append(socket.inet_ntoa(answer[20:24]))
    table = Path("/proc/net/if_inet6")
    if table.exists():
        for line in table.read_text().splitlines():
            address = ipaddress.IPv6Address(int(line.split()[0], 16))
            if not address.is_link_local:
                names.append(str(address))
    return list(dict.fromkeys(name for name in names if name))


def _general_names(names: Iterable[str]) -> set[x509.GeneralName]:
    return {_general_name(name) for name in names}


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        try:
            return x509.DNSName(name)
        except ValueError:
            raise IdentityError(f"{name!r} is neither a host name nor an IP address") from None


def _still_good(files: Certificates, authority: x509.Certificate, wanted: set[x509.GeneralName]) -> bool:
    if not files.certificate.exists() or not files.key.exists():
        return False
    certificate = _read_certificate(files.certificate)
    try:
        certificate.verify_directly_issued_by(authority)
        held = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        fits = certificate.public_key() == _read_key(files.key).public_key()
    except Exception:  # whatever is wrong with it, it is made anew
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
    return fits and wanted <= held and left > datetime.timedelta(days=_RENEW_DAYS)


def _issue(
    files: Certificates,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: set[x509.GeneralName],
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pocketfleet server")])
    certificate = (
        _builder(subject, authority.subject, key.public_key(), _SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(sorted(names, key=str)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    write_atomically(files.key, _private_pem(key), mode=0o600)
    write_atomically(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    # A device's clock may lag: the certificate starts a day ago.
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=days))
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:
        raise IdentityError(f"{file} is not a certificate") from None


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    if os.stat(file).st_mode & 0o077:
        raise IdentityError(f"{file}: others can read this private key; run: chmod 600 {file}")
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise IdentityError(f"{file} is not a private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{file} is not an elliptic-curve private key")
    return key
