"""``fleet.toml``: which devices there are, and how each is reached.

Secrets are never in the file: a password is named by an environment variable or asked for, a key by its file.
"""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

import contextlib
import getpass
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

import tomllib

from deployment.errors import InventoryError
from deployment.runtimes import RUNTIMES
from device_profiles.toml_tables import TableError, read_table, setting

__all__ = ["CONNECTORS", "DeviceEntry", "Inventory", "Secret", "ServerEntry", "load_inventory"]

CONNECTORS = ("local", "ssh", "adb", "device_farm")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIRECTORY = re.compile(r"[\w.+,@][\w .+,@/-]*")
_asking = threading.Lock()
_answers: dict[tuple[str, str], str] = {}
"""What a person was asked for, so that it is asked for once."""


@dataclass(frozen=True)
class Secret:
    """Where a password comes from: an environment variable, or a person who is asked once."""

    env: str = setting("")
    prompt: bool = setting(False)

    def reveal(self, device: str, what: str) -> str:
        """Return the secret.

        Raises
        ------
        InventoryError
            The environment variable is not set, or there is no terminal to ask at.
        """
        if self.env:
            try:
                return os.environ[self.env]
            except KeyError:
                raise InventoryError(f"{device}: {what}: the environment variable {self.env} is not set") from None
        with _asking:
            try:
                if (device, what) not in _answers:
                    _answers[device, what] = getpass.getpass(f"{what} of {device}: ")
                return _answers[device, what]
            except EOFError:
                raise InventoryError(f"{device}: {what}: there is no terminal to ask at; name it with env") from None


def _secret(raw: object, name: str) -> Secret:
    if isinstance(raw, str):
        raise TableError(
            f'{name} must not stand in the file; name it: {name.rpartition(".")[2]} = {{ env = "VARIABLE" }}, '
            "or ask for it: { prompt = true }"
        )
    secret = read_table(Secret, raw, name, Path())
    if bool(secret.env) == secret.prompt:
        raise TableError(f'{name} has to be {{ env = "VARIABLE" }} or {{ prompt = true }}')
    return secret


def _address(raw: object, name: str) -> str:
    parts = urlsplit(raw if isinstance(raw, str) else "")
    try:
        good = parts.scheme in ("https", "http") and parts.hostname and parts.port and not parts.path.strip("/")
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise TableError(f'{name} has to look like "https://192.168.1.10:9092"; it is {raw!r}')
    return str(raw).rstrip("/")


def _directory(raw: object, name: str) -> str:
    """Read a directory on a device. Ours must be its own: what it has in it is removed."""
    text = raw.removeprefix("~/") if isinstance(raw, str) else ""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or not _DIRECTORY.fullmatch("/".join(parts)):
        raise TableError(
            f'{name} has to be a directory of its own, from the home directory or absolute, as ".pocketfleet" or '
            f'"/mnt/ssd/pocketfleet", of letters, digits, blanks and . _ + , @ -; it is {raw!r}'
        )
    return "/" * text.startswith("/") + "/".join(parts)


def _program(raw: object, name: str) -> str:
    """Read a program on a device; nothing in it is expanded there, and commands start from the home directory."""
    if not isinstance(raw, str) or not raw.strip():
        raise TableError(f'{name} has to be a program, as "python3" or "python/bin/python3"; it is {raw!r}')
    return raw.removeprefix("~/")


@dataclass(frozen=True)
class ServerEntry:
    """Where the devices find the server, and whom they trust.

    Attributes
    ----------
    address
        ``https://HOST:PORT``; ``http://`` is plain text, for trying things out.
    ca
        PEM file of the server's certificate authority (``identity/ca.pem``).
    trust
        Public key that must have signed the bundles that the server sends.
    bundle
        Bundle to put on the devices; without one they take what the server sends.
    """

    address: str = setting("", read=_address)
    ca: Optional[Path] = setting(None)
    trust: Optional[Path] = setting(None)
    bundle: Optional[Path] = setting(None)

    @property
    def host_and_port(self) -> str:
        """``HOST:PORT``."""
        return urlsplit(self.address).netloc

    @property
    def insecure(self) -> bool:
        """Plain text."""
        return self.address.startswith("http://")


@dataclass(frozen=True)
class DeviceEntry:
    """One device.

    Attributes
    ----------
    connect
        One of `CONNECTORS`.
    host, port, user
        Its address; port 0 is the connector's usual one, an empty user the local user's name.
    key, passphrase
        Private key file for SSH (or for ADB: RSA, without a passphrase; None is our own), and what unlocks it.
    password
        For SSH.
    jump
        ``[USER@]HOST[:PORT]`` to go through.
    serial
        Of a phone.
    groups
        Names to choose it by.
    data, test_data
        Its part of the data.
    bundle
        Its own bundle, instead of the server's.
    apk
        Of a phone: the app to install; None: as it is installed.
    profile, processor, threads
        As the client's options.
    directory
        On the device, from the user's home: where everything of ours is.
    python
        On the device: the interpreter for the client.
    install
        ``wheels``: into an environment of its own, without the internet; ``none``: the interpreter has all that is
        needed.
    runtime
        Which TensorFlow Lite runtime; empty: the first that fits.
    nice
        Politeness of the client's process, 0 to 19.
    arguments
        Further ones for the client; of a phone: settings of the app, ``NAME=VALUE``.
    """

    name: str = setting()
    connect: str = setting("ssh", among=CONNECTORS)
    host: str = setting("")
    port: int = setting(0, least=0, most=65535)
    user: str = setting("")
    key: Optional[Path] = setting(None)
    passphrase: Optional[Secret] = setting(None, read=_secret)
    password: Optional[Secret] = setting(None, read=_secret)
    jump: str = setting("")
    serial: str = setting("")
    groups: tuple[str, ...] = setting(())
    data: Optional[Path] = setting(None)
    test_data: Optional[Path] = setting(None)
    bundle: Optional[Path] = setting(None)
    apk: Optional[Path] = setting(None)
    profile: str = setting("")
    processor: str = setting("cpu")
    threads: int = setting(0, least=0)
    directory: str = setting(".pocketfleet", read=_directory)
    python: str = setting("python3", read=_program)
    install: str = setting("wheels", among=("wheels", "none"))
    runtime: str = setting("", among=("", *RUNTIMES))
    nice: int = setting(0, least=0, most=19)
    arguments: tuple[str, ...] = setting(())

    def ask(self) -> None:
        """Ask a person for what has to be asked for, now rather than in the middle of something."""
        for what, secret in (("password", self.password), ("passphrase", self.passphrase)):
            if secret is not None and secret.prompt:
                secret.reveal(self.name, what)

    @property
    def address(self) -> str:
        """How it is reached, for people."""
        if self.connect == "local":
            return "this machine"
        if not self.host:
            return self.serial or "-"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user + '@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"


@dataclass(frozen=True)
class Inventory:
    """An inventory file.

    Attributes
    ----------
    path
        The file.
    """

    server: ServerEntry = setting(ServerEntry())
    devices: tuple[DeviceEntry, ...] = setting(())
    path: Path = field(default=Path("fleet.toml"), init=False)

    @property
    def state(self) -> Path:
        """Directory beside the file for known hosts and the journal."""
        return self.path.parent / f".{self.path.stem}"

    @property
    def known_hosts(self) -> Path:
        """File of the host keys that are trusted."""
        return self.state / "known_hosts"

    def choose(self, names: Sequence[str] = (), groups: Sequence[str] = ()) -> list[DeviceEntry]:
        """Return the devices with these names and those in these groups, in the file's order; all without either.

        Raises
        ------
        InventoryError
            There is no such device or group.
        """
        known = {device.name for device in self.devices}
        for name in names:
            if name not in known:
                raise InventoryError(
                    f"{self.path}: no device {name!r}; there are: {', '.join(sorted(known)) or 'none'}"
                )
        existing = {group for device in self.devices for group in device.groups}
        for group in groups:
            if group not in existing:
                raise InventoryError(
                    f"{self.path}: no group {group!r}; there are: {', '.join(sorted(existing)) or 'none'}"
                )
        if not names and not groups:
            return list(self.devices)
        return [device for device in self.devices if device.name in names or set(device.groups) & set(groups)]


def load_inventory(path: Path) -> Inventory:
    """Read an inventory file.

    Raises
    ------
    InventoryError
        It cannot be read, or something in it makes no sense; one line says what.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InventoryError(
            f"there is no {path}; write one (docs/deploy.md), or begin with `pocketfleet fleet discover`"
        ) from None
    except OSError as error:
        raise InventoryError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InventoryError(f"{path}: not a TOML file: {error}") from None
    try:
        inventory = read_table(Inventory, raw, "", path.parent, whole="the inventory")
        _check(inventory)
    except TableError as error:
        raise InventoryError(f"{path}: {_named(str(error), raw)}") from None
    object.__setattr__(inventory, "path", path)
    return inventory


def _named(message: str, raw: dict[str, Any]) -> str:
    """Put a device's name where a message counts devices."""

    def name(match: re.Match[str]) -> str:
        with contextlib.suppress(LookupError, TypeError):
            return f"device {raw['devices'][int(match[1])]['name']!r}"
        return f"device number {int(match[1]) + 1}"

    return re.sub(r"\[?devices\[(\d+)\]\]?", name, message)


def _check(inventory: Inventory) -> None:
    seen: set[str] = set()
    for device in inventory.devices:
        if not _NAME.fullmatch(device.name):
            raise TableError(f"{device.name!r} is no device name: use letters, digits, '.', '_' and '-', at most 64")
        if device.name in seen:
            raise TableError(f"two devices are called {device.name!r}")
        seen.add(device.name)
        if device.connect == "ssh" and not device.host:
            raise TableError(f"device {device.name!r}: ssh needs a host")
        if device.connect == "adb" and not (device.serial or device.host):
            raise TableError(f"device {device.name!r}: adb needs a serial or a host")
        if device.host.startswith("-") or device.user.startswith("-"):
            raise TableError(f"device {device.name!r}: a host or user begins with '-'")
