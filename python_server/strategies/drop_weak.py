"""The control "drop the weak": only devices that can train the whole model take part.

What heterogeneous methods have to beat from above: the whole model is trained, on the strong devices' data alone. See
the comparisons in EmbracingFL (Lee et al. 2024) and in FedAvg with stragglers dropped (Li et al. 2020, section 5.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from python_server.groups import CUTS, VARIANTS
from python_server.strategies.base import Device, StrategyState
from python_server.strategies.fedavg import FedAvg

__all__ = ["DropWeak"]


class DropWeak(FedAvg):
    """FedAvg among the devices whose group can train the whole model."""

    name = "drop_weak"
    parts = frozenset({CUTS, VARIANTS})

    def remarks(self, devices: Sequence[Device]) -> list[str]:
        """Return a line for each group without devices, and one if no device is strong."""
        lines = super().remarks(devices)
        return lines if self._strong(devices) else [*lines, "no device can train the whole model"]

    def choose(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> list[Device]:
        """Choose among the strong."""
        return super().choose(state, number, self._strong(devices), random)

    def _strong(self, devices: Sequence[Device]) -> list[Device]:
        whole, unable = self.choices.rest, self.choices.unable(devices)
        own = {device.device: self.choices.of(device) for device in devices if device.device not in unable}
        return [
            device
            for device in devices
            if device.device in own
            and (own[device.device].submodel, own[device.device].cut) == (whole.submodel, whole.cut)
        ]
