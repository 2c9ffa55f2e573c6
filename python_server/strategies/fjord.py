"""FjORD: ordered dropout, a width drawn anew up to what the device can afford.

Horváth, Laskaridis, Almeida, Leontiadis, Venieris and Lane, "FjORD: Fair and Accurate Federated Learning under
heterogeneous targets with Ordered Dropout" (NeurIPS 2021), section 3 and algorithm 1: a device's width p_max is the
largest that it can train; widths up to it are drawn from a uniform distribution over a set of them, and leading
channels are kept as in HeteroFL, so that the network is accurate at each width.

What differs: a bundle has one width, so the width is drawn for each device and round, not for each local step, and a
device needs every width that may be drawn for it (they are sent as they are drawn). There is no self-distillation
between widths (section 3.4).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from python_server.groups import Choice
from python_server.strategies.base import Device
from python_server.strategies.heterofl import HeteroFL

__all__ = ["Fjord"]


class Fjord(HeteroFL):
    """HeteroFL with widths drawn at random up to the device's own."""

    name = "fjord"

    def choice(self, device: Device, random: np.random.Generator) -> Choice:
        """Draw a width among those that are not larger than the one that the device can afford."""
        own = super().choice(device, random)
        if own.variant is None:
            return own
        widths = [each for each in self.choices.variants if each.size <= own.variant.size]
        drawn = widths[int(random.integers(len(widths)))]
        return replace(own, variant=drawn, reason=f"drew {drawn.title} of {len(widths)} up to {own.variant.title}")
