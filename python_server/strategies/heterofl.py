"""HeteroFL: each device trains a narrower network, whose weights are part of the global ones.

Diao, Ding and Tarokh, "HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous Clients"
(ICLR 2021), section 3: a device of complexity level p holds the leading p · C channels of every layer; each coordinate
of the global model is averaged over the devices that hold it, and those that nobody holds keep their value
(equation 3).

The widths are variants of the experiment, exported as slices of its bundle; a device's comes from its group: named, or
the largest that its budget allows. Any other variant is taken too, such as channels that an architecture search chose
(DAC): then this is aggregation across architectures through their channels.

What differs: updates are weighted by examples. There is no scaler (outputs divided by p while training), and batch
norms keep moving statistics, averaged for each coordinate like weights, where the paper recomputes them over all data
in the end (static batch norm). Its masking of classes that a device lacks is left out.
"""

from __future__ import annotations

from python_server.groups import VARIANTS
from python_server.strategies.fedavg import FedAvg

__all__ = ["HeteroFL"]


class HeteroFL(FedAvg):
    """FedAvg in which groups may hold a variant of the model."""

    name = "heterofl"
    parts = frozenset({VARIANTS})
