"""How long uploads took, which a device can only tell with a later answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from python_server.answers import reported_upload
from python_server.run_rows import DeviceRoundRow
from python_server.store import Upload
from python_server.tasks import Answer

__all__ = ["UploadTimes"]

_ANSWERED = ("ok", "partial", "rejected")
"""Outcomes of those who sent weights."""


class UploadTimes:
    """Knows whose last upload is still to be told of."""

    def __init__(self) -> None:
        self._awaited: dict[str, int] = {}

    @property
    def awaited(self) -> Collection[str]:
        """The devices that have yet to say how long their last upload took."""
        return self._awaited.keys()

    def expect(self, device: str, number: int) -> None:
        """Remember that a device uploaded its answer of round ``number``."""
        self._awaited[device] = number

    def resume(self, rows: Iterable[DeviceRoundRow]) -> None:
        """Remember whose last upload is untold, from what each device did in earlier rounds, by round."""
        last = {row.device: row for row in rows if row.outcome in _ANSWERED}
        self._awaited = {device: row.round for device, row in last.items() if row.upload_s is None}

    def settle(self, device: str, answer: Answer) -> list[Upload]:
        """Return the time that an answer tells of, if it is the one that is still missing."""
        upload = reported_upload(device, answer)
        if upload is None or self._awaited.get(device) != upload.round:
            return []
        del self._awaited[device]
        return [upload]
