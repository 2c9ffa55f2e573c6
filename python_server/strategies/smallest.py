"""The control "smallest model for all": every device trains what the weakest can.

What heterogeneous methods have to beat from below: no device is left out, and what the strong could do is wasted. See
the comparisons in HeteroFL (Diao et al. 2021, table 2: all devices at the smallest complexity) and EmbracingFL.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from python_server.groups import CUTS, VARIANTS, Choice
from python_server.strategies.base import Device
from python_server.strategies.fedavg import FedAvg

__all__ = ["Smallest"]


class Smallest(FedAvg):
    """FedAvg on the smallest of the parts that the groups come to."""

    name = "smallest"
    parts = frozenset({CUTS, VARIANTS})

    def choice(self, device: Device, random: np.random.Generator) -> Choice:
        """Give the smallest part to every device; epochs and cutoff stay the device's own."""
        own = super().choice(device, random)
        small = min(self.choices.all, key=lambda choice: choice.size)
        return replace(own, variant=small.variant, cut=small.cut, reason="the smallest part of all groups")
