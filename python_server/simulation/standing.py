"""What simulated devices have come to after a round, in the run directory: a resumed run goes on from there.

Written when a round's last answer is there, just before the round is committed. So there are files of two rounds: a run
that was killed before the commit goes on from the older one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from model_export.files import write_atomically
from python_server.errors import StoreError
from python_server.simulation.devices import SimulatedDevice

__all__ = ["Standings", "restore", "standing_of"]

_KEPT = 2


class Standings:
    """The files.

    Parameters
    ----------
    folder
        Where they are; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, number: int, standing: Mapping[str, Any]) -> None:
        """Keep what devices came to in a round, and forget what is older than the round before."""
        self._folder.mkdir(exist_ok=True)
        write_atomically(self._path(number), json.dumps(standing).encode())
        for old in self._files()[:-_KEPT]:
            self._path(old).unlink()

    def load(self, number: int) -> Optional[dict[str, Any]]:
        """Return what devices had come to after a round; None if nothing is known of it.

        Raises
        ------
        StoreError
            The file is damaged.
        """
        newest = max((each for each in self._files() if each <= number), default=None)
        if newest is None:
            return None
        try:
            found: dict[str, Any] = json.loads(self._path(newest).read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(f"{self._path(newest)} cannot be read: {error}") from None
        return found

    def _files(self) -> list[int]:
        return sorted(int(path.stem.removeprefix("round_")) for path in self._folder.glob("round_*.json"))

    def _path(self, number: int) -> Path:
        return self._folder / f"round_{number:04d}.json"


def standing_of(device: SimulatedDevice) -> Optional[dict[str, Any]]:
    """Return what a device has come to, as JSON can hold it; None if it did nothing yet."""
    if not device.busy_until:
        return None
    keys = ("busy_until", "bundle", "upload", "upload_j", "work_j")
    return {key: getattr(device, key) for key in keys}


def restore(device: SimulatedDevice, standing: Mapping[str, Any]) -> None:
    """Let a device be as it was."""
    device.busy_until, device.bundle = standing["busy_until"], standing["bundle"]
    number, seconds, size = standing["upload"]
    device.upload, device.work_j = (number, seconds, size), standing["work_j"]
    joules = standing["upload_j"]
    device.upload_j = None if joules is None else (joules[0], joules[1])
