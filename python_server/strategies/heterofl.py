"""HeteroFL: each device trains a narrower network, whose weights are part of the global ones.

Diao, Ding and Tarokh, "HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous Clients"
(ICLR 2021), section 3: a device of complexity level p holds the leading p · C channels of every layer; each coordinate
of the global model is averaged over the devices that hold it, and those that nobody holds keep their value
(equation 3).

The widths are variants of the experiment, exported as slices of its bundle; a device's comes from its group: named, or
the largest that its budget allows. Any other variant is taken too, such as channels that an architecture search chose
(DAC): then this is aggregation across architectures through their channels.

What differs: updates are weighted by examples. The masking of classes that a device lacks is left out. There is no
scaler (the paper divides a layer's outputs by p while training): batch norm takes the factor out again, but for its ε,
so in networks with batch norm behind every convolution, as the paper's, it changes nothing.

Static batch norm: the paper keeps no moving statistics and recomputes them for the global model over all data. Here
batch norms have moving statistics. Those of a narrow network are of sums over fewer channels, and wrong for the whole
one; so by default (``statistics = "whole"``) devices with a slice do not send theirs, and the mean is over the devices
that train the whole network. ``"all"`` averages each coordinate over all that hold it, like weights, as happens anyway
while no device is there that can train the whole network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from python_server.groups import VARIANTS
from python_server.strategies.base import Device, Plan, StrategyState
from python_server.strategies.batch_norm import without_partial_statistics
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.toml_tables import setting

__all__ = ["HeteroFL", "HeteroFLOptions"]


@dataclass(frozen=True)
class HeteroFLOptions(FedAvgOptions):
    """Keys of ``[strategy]``: those of FedAvg, and whose batch-norm statistics count.

    Attributes
    ----------
    statistics
        ``whole``: those of devices that train the whole network. ``all``: everybody's.
    """

    statistics: str = setting("whole", among=("whole", "all"))


class HeteroFL(FedAvg):
    """FedAvg in which groups may hold a variant of the model."""

    name = "heterofl"
    parts = frozenset({VARIANTS})
    options: HeteroFLOptions

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose and plan; devices with a part of the network are not asked for its statistics, if others are there."""
        plans = super().select(state, number, devices, random)
        if self.options.statistics == "all":
            return plans
        return without_partial_statistics(plans, devices, self.choices, lambda submodel: bool(submodel.where))
