"""The control "smallest model for all": every device trains what the weakest can.

What heterogeneous methods have to beat from below: no device is left out, and what the strong could do is wasted. See
the comparisons in HeteroFL (Diao et al. 2021, table 2: all devices at the smallest complexity) and EmbracingFL.

The smallest part is that of all groups, whether they have devices or not, and of the devices that are there: by what a
device tells or its steps took, it may afford less than its group says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from python_server.groups import CUTS, VARIANTS
from python_server.strategies.base import Device, Plan, StrategyState
from python_server.strategies.fedavg import FedAvg

__all__ = ["Smallest"]


class Smallest(FedAvg):
    """FedAvg on the smallest of the parts that the groups come to."""

    name = "smallest"
    parts = frozenset({CUTS, VARIANTS})

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose devices, and give all of them the smallest part; epochs, cutoff and codecs stay each device's own."""
        every = [*self.choices.all, *(self.choices.of(device) for device in devices)]
        small = min(every, key=lambda choice: choice.size)
        return {
            device: replace(plan, submodel=small.submodel, cut=small.cut, reason="the smallest part of all")
            for device, plan in super().select(state, number, devices, random).items()
        }
