"""What a board is given, as a release whose name is its content.

On the board, in the device's directory::

    blobs/SHA256            every file that ever travelled and is still needed, named by its content
    environments/ID         a virtual environment; ID is that of its wheels and its Python
    releases/ID             the client, its inputs (links to blobs) and run.sh, which starts it
    current -> releases/ID  what is in use; switched in one rename
    previous -> releases/ID what was in use before: the way back
    state/                  the client's key and unfinished work; releases come and go, this stays
    logs/, run/             of the running client
    lease                   who is working on the board

Nothing is put to use before its sha256 was computed on the board.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deployment.client_files import client_archive, folder_digest
from deployment.errors import InventoryError
from deployment.inventory import DeviceEntry, ServerEntry
from deployment.service import SUPERVISOR
from deployment.transfer import file_sha256

__all__ = ["Part", "Release", "make_release"]

_PREAMBLE = """#!/bin/sh
# Made by `pocketfleet fleet push`; changes are lost.
here=$(cd "$(dirname "$0")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
export PYTHONPATH="$here/client" PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
"""


@dataclass(frozen=True)
class Part:
    """A file of a release.

    Attributes
    ----------
    name
        In the release's directory.
    content
        A local file, a folder that travels as a zip, or the bytes themselves.
    sha256, size_bytes
        Of the content.
    unpack
        It is a zip whose files are wanted, in a directory called ``name``.
    """

    name: str
    content: Path | bytes
    sha256: str
    size_bytes: int
    unpack: bool = False

    @property
    def blob(self) -> str:
        """Where it lies on the board, from the device's directory."""
        return f"blobs/{self.sha256}"


@dataclass(frozen=True)
class Release:
    """A release.

    Attributes
    ----------
    id
        Sixteen hexadecimal digits of the sha256 of all that follows.
    parts
        Files, without the wheels.
    wheels
        What the environment is made of; none where the board's Python has all.
    environment
        Its id; empty without wheels.
    run, key
        Texts of run.sh, which starts the client, and of key.sh, which prints its public key.
    runtime
        Name of the TensorFlow Lite runtime among the wheels.
    """

    id: str
    parts: tuple[Part, ...]
    wheels: tuple[Part, ...]
    environment: str
    run: str
    key: str
    runtime: str = ""

    @property
    def bundle(self) -> str:
        """Name of its bundle; empty: the server sends one."""
        return next((part.name for part in self.parts if part.name.partition(".")[0] == "bundle"), "")

    @property
    def blobs(self) -> tuple[Part, ...]:
        """All that has to be on the board, each once."""
        return tuple({part.sha256: part for part in (*self.parts, *self.wheels)}.values())


def make_release(
    device: DeviceEntry, server: ServerEntry, wheels: Sequence[Path], python: str, runtime: str = ""
) -> Release:
    """Put together what a device is to have.

    Parameters
    ----------
    wheels
        For its environment; empty where it has none of its own.
    python
        Version of the device's Python, which an environment belongs to.
    runtime
        Name of the TensorFlow Lite runtime among the wheels.

    Raises
    ------
    deployment.errors.InventoryError
        The inventory does not say enough, or names files that are not there.
    """
    client = client_archive()
    parts = [Part("client", client, hashlib.sha256(client).hexdigest(), len(client), unpack=True)]
    inputs = _inputs(device, server)
    for name, path in inputs.items():
        parts.append(_part(device.name, name, path))
    packed = tuple(_file_part(path.name, path) for path in wheels)
    environment = _id([python, device.python, *(f"{part.name} {part.sha256}" for part in packed)]) if packed else ""
    run = _run_script(device, server, environment, {part.name for part in parts})
    named = [f"{part.name} {part.sha256}" for part in parts]
    key = f'{_PREAMBLE}exec {_python(device, environment)} -m edge_client.cli key --state "$root/state"\n'
    return Release(
        _id([*named, environment, run, key, SUPERVISOR]), tuple(parts), packed, environment, run, key, runtime
    )


def _inputs(device: DeviceEntry, server: ServerEntry) -> dict[str, Path]:
    if device.data is None:
        raise InventoryError(f"{device.name}: it has no data; set `data` in its table")
    if not server.address:
        raise InventoryError(f'{device.name}: it cannot know its server; set address = "https://HOST:PORT" in [server]')
    if server.ca is None and not server.insecure:
        raise InventoryError(
            f"{device.name}: it cannot trust its server; set ca in [server] to ca.pem of its identity directory"
        )
    bundle = device.bundle or server.bundle
    if bundle is None and server.trust is None:
        raise InventoryError(
            f"{device.name}: it has nothing to train; set bundle in [server] or in its table, or trust in [server] to "
            "the public key that signs the bundles that the server sends"
        )
    given = {"data": device.data, "test_data": device.test_data, "bundle": bundle}
    found = {f"{name}{'' if path.is_dir() else path.suffix}": path for name, path in given.items() if path is not None}
    if server.ca is not None and not server.insecure:
        found["ca.pem"] = server.ca
    if server.trust is not None:
        found["trust.pem"] = server.trust
    return found


def _part(device: str, name: str, path: Path) -> Part:
    if not path.exists():
        how = "; the first run makes it, or `pocketfleet invite`" if name == "ca.pem" else ""
        raise InventoryError(f"{device}: there is no {path} to send{how}")
    return Part(name, path, *folder_digest(path), unpack=True) if path.is_dir() else _file_part(name, path)


def _file_part(name: str, path: Path) -> Part:
    try:
        return Part(name, path, file_sha256(path), path.stat().st_size)
    except OSError as error:
        raise InventoryError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def _id(lines: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(lines)).encode()).hexdigest()[:16]


def _run_script(device: DeviceEntry, server: ServerEntry, environment: str, names: set[str]) -> str:
    def file(stem: str) -> str | None:
        return next((f"$here/{name}" for name in sorted(names) if name == stem or name.startswith(f"{stem}.")), None)

    words = [f"nice -n {device.nice}"] if device.nice else []
    words += [
        _python(device, environment),
        "-m edge_client.cli run",
        f"--server {shlex.quote(server.host_and_port)}",
        '--state "$root/state"',
    ]
    words += [f"--name {shlex.quote(device.name)}", f"--processor {shlex.quote(device.processor)}"]
    options = {"--data": file("data"), "--test-data": file("test_data"), "--bundle": file("bundle")}
    options |= {"--trust": file("trust"), "--ca": file("ca")}
    words += [f'{option} "{path}"' for option, path in options.items() if path]
    words += ["--insecure"] if server.insecure else []
    words += [f"--profile {shlex.quote(device.profile)}"] if device.profile else []
    words += [f"--threads {device.threads}"] if device.threads else []
    words += [shlex.quote(word) for word in device.arguments]
    lines = " \\\n  ".join(words)
    return f"{_PREAMBLE}exec {lines}\n"


def _python(device: DeviceEntry, environment: str) -> str:
    return f'"$root/environments/{environment}/bin/python"' if environment else shlex.quote(device.python)
