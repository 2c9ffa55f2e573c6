"""Partial training: weak devices train the layers near the output, strong ones all.

Lee, Zhang, Prakash, Luo, Narayanan, Chai, Avestimehr and others, "EmbracingFL: Enabling Weak Client Participation via
Partial Model Training" (IEEE TMC 2024), called InclusiveFL in Lee's slides: a weak client receives the whole model,
passes its data forward through all of it, and trains only the output-side layers; each layer is averaged over the
clients that trained it, so the input-side layers over the strong ones alone.

A device's cut comes from its group: named, or the largest that its budget allows. Layers that nobody trained in a
round keep their values. What differs: the paper's weak clients hold the input-side layers' outputs of several rounds;
ours pass data forward anew (or once, where the base is frozen), and below the cut batch norms use the global
statistics.
"""

from __future__ import annotations

from python_server.groups import CUTS
from python_server.strategies.fedavg import FedAvg

__all__ = ["PartialTraining"]


class PartialTraining(FedAvg):
    """FedAvg in which groups may train from a cut of their own."""

    name = "partial_training"
    parts = frozenset({CUTS})
