"""Bring home what a board knows: logs, release, and the state that it was in, by which every result is judged."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

from deployment.connector import Connector, Progress, check, script
from deployment.inventory import DeviceEntry
from deployment.operations.status import read_status
from deployment.steps import Step
from model_export.files import write_atomically

__all__ = ["collect", "read_log"]

_LIST = 'for file in "$1"/logs/* "$1"/current/run.sh "$1"/current/blobs; do [ ! -f "$file" ] || echo "$file"; done'
_TAIL = '[ ! -r "$1/logs/client.log" ] || tail -n "$2" "$1/logs/client.log"'


def collect(connector: Connector, device: DeviceEntry, facts: Mapping[str, str], folder: Path) -> Iterator[Step]:
    """Yield the steps that copy a board's logs and write down its state.

    Parameters
    ----------
    facts
        Those of `deployment.facts.read_facts`.
    folder
        Where to put them: in a directory with the device's name. A log that grew since the last time is copied anew.
    """
    place = folder / device.name
    for path in check(connector, script(_LIST, device.directory)).text.splitlines():
        name = path.rpartition("/")[2]
        yield Step(f"fetch {name}", _fetcher(connector, path, place / name))
    yield Step("write down its state (facts.json)", lambda progress: _write_facts(connector, device, facts, place))


def read_log(connector: Connector, device: DeviceEntry, lines: int) -> str:
    """Return the last lines of a client's log."""
    return check(connector, script(_TAIL, device.directory, str(lines))).stdout.decode("utf-8", "replace")


def _fetcher(connector: Connector, source: str, target: Path) -> Callable[[Progress], int]:
    return lambda progress: connector.get(source, target, progress=progress)


def _write_facts(connector: Connector, device: DeviceEntry, facts: Mapping[str, str], place: Path) -> int:
    known = {
        "collected": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": device.name,
        "status": dataclasses.asdict(read_status(connector, device)),
        "facts": dict(facts),
    }
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / "facts.json", json.dumps(known, indent=1).encode())
    return 0
