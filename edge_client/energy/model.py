"""The last resort: power from what the processor did and the device's profile."""

from __future__ import annotations

import math
import time
from typing import Callable

from device_profiles import PowerModel
from edge_client.energy.source import About, PowerSource

__all__ = ["ModelSource"]


class ModelSource(PowerSource):
    """Idle power over wall time plus power per busy core over this process's CPU time, as a counter of joules.

    Parameters
    ----------
    power
        The profile's model.
    wall, cpu
        Clocks, in seconds.
    """

    def __init__(
        self,
        power: PowerModel,
        *,
        wall: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._power, self._wall, self._cpu = power, wall, cpu
        self._start = (wall(), cpu())
        self.about = About(
            kind="model",
            title=f"CPU time × {power.busy_w_per_core} W per core + {power.idle_w} W idle ({power.source})",
            method="modelled",
            covers="device",
            unit="J",
            rate_hz=0.0,
            most_w=math.inf,
            stuck_after_s=math.inf,
            idle_w=power.idle_w,
        )

    def read(self) -> float:
        """Return the joules since the source was made."""
        return self._power.energy_j(self._wall() - self._start[0], self._cpu() - self._start[1])
