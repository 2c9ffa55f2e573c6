"""Have a board measure how fast it trains a bundle, and how fast its link is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment.connector import Connector, Progress, check, failure, script
from deployment.errors import CommandError, DeployError, NotThereError
from deployment.inventory import DeviceEntry
from deployment.operations.status import read_status
from deployment.steps import Step
from model_export.bundle import Bundle

__all__ = ["BundleFile", "bundle_file", "calibrate"]

_SMALL_BYTES, _LARGE_BYTES = 64 << 10, 2 << 20
"""Of the two files whose times tell a link's rate apart from what each transfer takes beside its bytes."""
_LONGEST_S = 1800
_MISSING = 7
_RUN = """
root=$(cd "$1" && pwd -P) || exit 7
here=$root/current python=$2 nice=$3 bundle=$4
[ -f "$here/run.sh" ] || exit 7
own=$(sed -n 's|.*\\(environments/[^/"]*\\)/bin/python.*|\\1|p' "$here/run.sh" | head -n 1)
[ -z "$own" ] || python=$root/$own/bin/python
export PYTHONPATH="$here/client" PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
shift 4
exec nice -n "$nice" "$python" -m edge_client.cli calibrate "$root/$bundle" "$@" --json
"""


@dataclass(frozen=True)
class BundleFile:
    """A bundle as one file's bytes.

    Attributes
    ----------
    name
        What people call it.
    content
        Its zip.
    """

    name: str
    content: bytes

    @property
    def place(self) -> str:
        """Where it lies on a board meanwhile, from the device's directory."""
        return f"calibrate/{hashlib.sha256(self.content).hexdigest()[:16]}.zip"


def bundle_file(bundle: Bundle) -> BundleFile:
    """Pack a bundle.

    Raises
    ------
    model_export.errors.BundleError
        A file was altered since it was loaded.
    """
    return BundleFile(bundle.path.name, bundle.zipped())


def calibrate(
    connector: Connector,
    device: DeviceEntry,
    bundle: BundleFile,
    found: dict[str, Any],
    *,
    seconds: float,
    power_threads: Sequence[int] = (),
) -> Iterator[Step]:
    """Yield what is to be done until a board's figures are in ``found``.

    Parameters
    ----------
    bundle
        What to train.
    found
        Gets ``release``, ``link`` and ``measured`` (what the client printed; `edge_client.calibration.Calibration`).
    seconds
        For each figure.
    power_threads
        Further numbers of threads at which power is measured.

    Raises
    ------
    deployment.errors.NotThereError
        Nothing was pushed yet.
    deployment.errors.DeployError
        The client runs: both would be measured.
    """
    status = read_status(connector, device)
    if not status.release:
        raise _nothing_there(device)
    if status.running:
        raise DeployError(
            device.name,
            "its client is running, and would be measured too",
            f"run: pocketfleet fleet stop --device {device.name}",
        )
    found["release"] = status.release
    options = ["--seconds", f"{seconds:g}"]
    options += ["--threads", str(device.threads)] if device.threads else []
    options += ["--profile", device.profile] if device.profile else []
    options += _energy_source(device.arguments)
    options += ["--power-threads", *map(str, power_threads)] if power_threads else []
    yield Step("time the link, 2 MB there and back", lambda progress: _time_link(connector, device, found))
    size = len(bundle.content)
    yield Step(
        f"send {bundle.name} ({size / 1e6:.1f} MB)",
        lambda progress: _put(connector, bundle.content, f"{device.directory}/{bundle.place}", progress),
        size,
    )
    yield Step(f"calibrate {bundle.name}", lambda progress: _calibrate(connector, device, bundle, found, options))
    yield Step("remove what was sent", lambda progress: _remove(connector, device))


def _energy_source(arguments: Sequence[str]) -> list[str]:
    """Return the client's option that says where its energy figures come from, if it is started with it."""
    for place, word in enumerate(arguments):
        if word == "--energy":
            return list(arguments[place : place + 2])
        if word.startswith("--energy="):
            return [word]
    return []


def _nothing_there(device: DeviceEntry) -> NotThereError:
    return NotThereError(device.name, "there is no client on it", f"run: pocketfleet fleet push --device {device.name}")


def _calibrate(
    connector: Connector, device: DeviceEntry, bundle: BundleFile, found: dict[str, Any], options: Sequence[str]
) -> int:
    try:
        found["measured"] = _measured(connector, device, bundle, options)
    except BaseException:
        # A bundle may be large; where the link is gone, it lies there until the next calibration.
        with contextlib.suppress(Exception):
            _remove(connector, device)
        raise
    return 0


def _measured(connector: Connector, device: DeviceEntry, bundle: BundleFile, options: Sequence[str]) -> dict[str, Any]:
    """Return what the client on a board prints."""
    words = script(_RUN, device.directory, device.python, str(device.nice), bundle.place, *options)
    done = connector.run(words, timeout_s=_LONGEST_S)
    if done.status == _MISSING:
        raise _nothing_there(device)
    if done.status == 2 and b"invalid choice" in done.stderr:
        raise CommandError(
            device.name, "the client on it is too old to calibrate", f"run: pocketfleet fleet push {device.name}"
        )
    if done.status != 0:
        raise failure(device.name, done, ["calibrate"])
    try:
        return dict(json.loads(done.text.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        raise CommandError(device.name, "calibrate did not print its figures") from None


def _time_link(connector: Connector, device: DeviceEntry, found: dict[str, Any]) -> int:
    """Time two files both ways; the difference of their times is that of their bytes."""
    up: dict[int, float] = {}
    down: dict[int, float] = {}
    began = time.monotonic()
    check(connector, ["true"])
    round_trip_s = time.monotonic() - began
    for size in (_SMALL_BYTES, _LARGE_BYTES):
        place = f"{device.directory}/calibrate/link-{size}"
        began = time.monotonic()
        _put(connector, os.urandom(size), place, lambda done, total: None)
        down[size] = time.monotonic() - began
        with tempfile.TemporaryDirectory(prefix="pocketfleet-") as folder:
            began = time.monotonic()
            connector.get(place, Path(folder) / "back")
            up[size] = time.monotonic() - began
    found["link"] = {
        "download_mbps": _rate(down),
        "upload_mbps": _rate(up),
        "round_trip_s": round_trip_s,
        "method": f"files by {device.connect}, not by the server's protocol",
    }
    return 2 * (_SMALL_BYTES + _LARGE_BYTES)


def _rate(seconds: dict[int, float]) -> float:
    """Return 10⁶ bits a second; a lower bound where the larger file did not take longer, on a link that is too fast."""
    more_s = seconds[_LARGE_BYTES] - seconds[_SMALL_BYTES]
    if more_s > 0:
        return (_LARGE_BYTES - _SMALL_BYTES) * 8e-6 / more_s
    return _LARGE_BYTES * 8e-6 / seconds[_LARGE_BYTES]


def _put(connector: Connector, content: bytes, target: str, progress: Progress) -> int:
    with tempfile.NamedTemporaryFile(prefix="pocketfleet-") as file:
        file.write(content)
        file.flush()
        return connector.put(Path(file.name), target, progress=progress)


def _remove(connector: Connector, device: DeviceEntry) -> int:
    check(connector, script('rm -rf "$1/calibrate"', device.directory))
    return 0
