"""Which phase of a round a device is in, and the joules of each."""

from __future__ import annotations

from typing import Optional

from edge_client.energy.figure import Energy, added_up
from edge_client.energy.meter import SampledMeter

__all__ = ["DOWNLOAD", "EVALUATE", "TRAIN", "UPLOAD", "WAIT", "Phases"]

DOWNLOAD = "download"
TRAIN = "train"
EVALUATE = "evaluate"
UPLOAD = "upload"
WAIT = "wait"


class Phases:
    """Cuts the meter's running series into phases.

    Parameters
    ----------
    meter
        Where the joules come from.
    """

    def __init__(self, meter: SampledMeter) -> None:
        self.meter = meter
        self._phase = ""
        self._since = 0.0
        self._parts: dict[str, list[tuple[float, Energy]]] = {}

    def enter(self, phase: str) -> None:
        """End the phase that lasts, if any, and begin another; empty: nothing that counts.

        Waiting adds up until it is taken. Any other phase begins anew, so that what nobody took is forgotten.
        """
        if phase == self._phase:
            return
        now = self.meter.mark()
        if self._phase:
            energy = self.meter.between(self._since, now)
            if energy is not None:
                self._parts.setdefault(self._phase, []).append((now - self._since, energy))
        if phase != WAIT:
            self._parts.pop(phase, None)
        self._phase, self._since = phase, now

    def take(self, phase: str) -> Optional[Energy]:
        """Return what a phase has used since it was last taken; None if it was not entered, or nothing was read."""
        return added_up(self._parts.pop(phase, []))
