"""One device under operations, whatever it is: a board with the Python client, or a phone with the app."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deployment import android, facts
from deployment.android import app, packages
from deployment.errors import DeployError, InventoryError, PlatformError
from deployment.inventory import DeviceEntry, ServerEntry
from deployment.operations import collect, key, probe, push, start, status, stop, uninstall
from deployment.operations.release_for import releases_for
from deployment.operations.status import Status
from device_profiles import match

if TYPE_CHECKING:
    from deployment.fleet import Session

__all__ = ["Managed", "app_plan", "managed"]


class Managed(Protocol):
    """What can be done to a device."""

    def probe(self) -> dict[str, Any]:
        """Return its ``facts``, the ``runtime`` that fits it, and the name of its ``profile``."""

    def push(self, server: ServerEntry, *, rollback: bool) -> None:
        """Put what it needs on it, or go back to what it had before."""

    def public_key(self) -> bytes:
        """Return the public key (PEM) by which a server knows it."""

    def start(self) -> None:
        """Have its client running."""

    def stop(self) -> None:
        """Have no client running."""

    def status(self) -> Status:
        """Return how it is doing."""

    def log(self, lines: int) -> str:
        """Return the end of its client's log."""

    def collect(self, folder: Path) -> None:
        """Copy what it wrote, and the state that it is in, into a directory with its name."""

    def uninstall(self, *, forget_key: bool) -> None:
        """Remove what was put on it."""


def managed(session: Session) -> Managed:
    """Look at a device and return what it is."""
    if session.device.connect == "adb" and android.is_android(session.connector):
        return _Phone(session)
    return _Board(session)


def app_plan(device: DeviceEntry, server: ServerEntry) -> android.AppPlan:
    """Return what a phone shall have by the inventory.

    Its ``arguments`` are further settings of the app, ``NAME=VALUE`` each, by the names in docs/android.md.

    Raises
    ------
    deployment.errors.InventoryError
        The inventory does not say enough.
    """
    if not server.address:
        raise InventoryError(f'{device.name}: the inventory has no server; add [server] and address = "https://..."')
    settings = {"server": server.host_and_port, "name": device.name, "processor": device.processor}
    settings["insecure"] = "true" if server.insecure else "false"
    if device.profile:
        settings["profile"] = device.profile
    for argument in device.arguments:
        name, separator, value = argument.partition("=")
        if not separator or not name:
            raise InventoryError(f"{device.name}: arguments of a phone look like 'gate=false'; one is {argument!r}")
        settings[name] = value
    files = {
        "ca": server.ca,
        "trust": server.trust,
        "data": device.data,
        "test-data": device.test_data,
        "bundle": device.bundle or server.bundle,
    }
    return android.AppPlan(device.apk, settings, {name: path for name, path in files.items() if path is not None})


class _Board:
    def __init__(self, session: Session) -> None:
        self._session, self._device, self._connector = session, session.device, session.connector

    def probe(self) -> dict[str, Any]:
        """Ask it."""
        found = probe.probe(self._session)
        return {**found, "profile": match(found["facts"]).name}

    def push(self, server: ServerEntry, *, rollback: bool) -> None:
        """Put a release on it."""
        if rollback:
            steps = push.roll_back(self._connector, self._device)
        else:
            steps = push.push_first(self._connector, self._device, releases_for(self._connector, self._device, server))
        self._session.carry_out(steps)

    def public_key(self) -> bytes:
        """Return its key."""
        return key.public_key(self._connector, self._device)

    def start(self) -> None:
        """Start the client."""
        self._session.carry_out(start.start(self._connector, self._device, self._facts()))

    def stop(self) -> None:
        """Stop the client."""
        self._session.carry_out(stop.stop(self._connector, self._device))

    def status(self) -> Status:
        """Ask it."""
        return status.read_status(self._connector, self._device)

    def log(self, lines: int) -> str:
        """Return the log's end."""
        return collect.read_log(self._connector, self._device, lines)

    def collect(self, folder: Path) -> None:
        """Fetch logs and state."""
        self._session.carry_out(collect.collect(self._connector, self._device, self._facts(), folder))

    def uninstall(self, *, forget_key: bool) -> None:
        """Remove it all, or all but the key."""
        self._session.carry_out(uninstall.uninstall(self._connector, self._device, forget_key=forget_key))

    def _facts(self) -> dict[str, str]:
        return facts.read_facts(self._connector, self._device.python)


class _Phone:
    def __init__(self, session: Session) -> None:
        self._session, self._device, self._connector = session, session.device, session.connector

    def probe(self) -> dict[str, Any]:
        """Ask it."""
        told = android.android_facts(self._connector)
        old = int(told.get("sdk", "0")) < packages.MIN_SDK
        fits = "none: the app needs Android 8 or later" if old else "the app"
        return {"facts": told, "runtime": fits, "profile": told["profile"]}

    def push(self, server: ServerEntry, *, rollback: bool) -> None:
        """Install and configure the app."""
        if rollback:
            raise PlatformError(
                self._device.name, "Android keeps no earlier version of an app", "uninstall it, and push the older APK"
            )
        self._session.carry_out(android.push(self._connector, app_plan(self._device, server)))

    def public_key(self) -> bytes:
        """Return its key."""
        return app.public_key(self._connector)[1].encode()

    def start(self) -> None:
        """Start the client."""
        self._session.carry_out(android.start(self._connector))

    def stop(self) -> None:
        """Stop the client."""
        self._session.carry_out(android.stop(self._connector))

    def status(self) -> Status:
        """Ask phone and app."""
        told = android.android_facts(self._connector)
        release = (packages.installed_sha256(self._connector) or "")[:12]
        running, words = "", "the app is not installed"
        if release:
            now = app.status(self._connector)
            running, words = "app" if now.running else "", f"{now.phase}: {now.words}" if now.words else now.phase
        hot, battery = told.get("thermal.battery", ""), told.get("battery.battery", "").partition("%")[0]
        return Status(
            release=release,
            running=running,
            running_release=release if running else "",
            last_line=words,
            hottest_c=int(hot) / 1000 if hot else None,
            battery_percent=int(battery) if battery else None,
            free_bytes=1024 * int(told.get("free_kib", "0")),
        )

    def log(self, lines: int) -> str:
        """Return the log's end."""
        return android.logs(self._connector, lines)

    def collect(self, folder: Path) -> None:
        """Fetch results and state."""
        place = folder / self._device.name
        known: dict[str, Any] = {"device": self._device.name}

        def state() -> dict[str, Any]:
            return {**known, "status": dataclasses.asdict(self.status()), "facts": self.probe()["facts"]}

        self._session.carry_out(android.collect(self._connector, place, state))

    def uninstall(self, *, forget_key: bool) -> None:
        """Remove the app."""
        if not forget_key and packages.installed_sha256(self._connector) is not None:
            raise DeployError(
                self._device.name,
                "Android removes the app's key with the app",
                "add --forget-key; the phone then has to be enrolled anew",
            )
        self._session.carry_out(android.uninstall(self._connector))
