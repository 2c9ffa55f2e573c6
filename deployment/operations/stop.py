"""End a board's client: it hands over what it is sending, and keeps what it is working on for its next start."""

from __future__ import annotations

from collections.abc import Iterator

from deployment.connector import Connector, check, script
from deployment.inventory import DeviceEntry
from deployment.operations.status import Status, read_status
from deployment.service import STOP_SUPERVISED, UNIT_NAME
from deployment.steps import Step

__all__ = ["stop", "stop_steps"]

_PATIENCE_S = 40
"""The client takes up to 15 s to leave in good order; an old board, longer."""
_STOP_UNIT = """
systemctl --user disable --now "$2" 2>&1
rm -f "$1/run/release"
"""


def stop(connector: Connector, device: DeviceEntry) -> Iterator[Step]:
    """Yield what is left to do until no client runs."""
    status = read_status(connector, device)
    if status.running:
        yield from stop_steps(connector, device, status, why="stop the client")


def stop_steps(connector: Connector, device: DeviceEntry, status: Status, *, why: str) -> Iterator[Step]:
    """Yield the step that stops a running client."""
    words = (
        script(_STOP_UNIT, device.directory, UNIT_NAME)
        if status.running == "systemd"
        else script(STOP_SUPERVISED, device.directory, str(_PATIENCE_S * 5))
    )

    def apply(progress: object) -> int:
        check(connector, words, timeout_s=2 * _PATIENCE_S)
        return 0

    yield Step(why, apply)
