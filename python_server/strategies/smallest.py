"""The control "smallest model for all": every device trains what the weakest can.

What heterogeneous methods have to beat from below: no device is left out, and what the strong could do is wasted. See
the comparisons in HeteroFL (Diao et al. 2021, table 2: all devices at the smallest complexity) and EmbracingFL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from python_server.errors import ExperimentError
from python_server.groups import CUTS, VARIANTS, Choice, GroupSettings
from python_server.strategies.base import Device
from python_server.strategies.fedavg import FedAvg
from python_server.variants import Variant

__all__ = ["Smallest"]


class Smallest(FedAvg):
    """FedAvg on the smallest of the parts that the groups come to."""

    name = "smallest"
    parts = frozenset({CUTS, VARIANTS})

    def bind(self, variants: Mapping[str, Variant], groups: Sequence[GroupSettings]) -> FedAvg:
        """Return the strategy for these bundles and groups.

        Raises
        ------
        ExperimentError
            As for FedAvg; or the smallest part depends on what devices will tell.
        """
        for group in groups:
            if group.memory_share:
                raise ExperimentError(
                    f"group {group.name!r}: memory_share differs from device to device, and strategy {self.name!r} has "
                    "to know the smallest part when the run starts; give memory_mb"
                )
        return super().bind(variants, groups)

    def choice(self, device: Device, random: np.random.Generator) -> Choice:
        """Give the smallest part to every device; epochs and cutoff stay the device's own."""
        own = super().choice(device, random)
        small = min(self.choices.all, key=lambda choice: choice.size)
        return replace(own, variant=small.variant, cut=small.cut, reason="the smallest part of all groups")
