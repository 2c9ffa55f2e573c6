"""FedProx: a proximal term, and devices that do only part of the work.

Li, Sahu, Zaheer, Sanjabi, Talwalkar and Smith, "Federated Optimization in Heterogeneous Networks" (MLSys 2020),
algorithm 2: clients minimise their loss plus μ/2 ‖w − w_t‖², as well as they can (γ-inexactly), and all of it is
averaged. Section 5.2 makes stragglers of 0, 50 or 90 % of a round's devices by drawing their epochs uniformly from
1 to E; FedAvg is given the same with μ = 0.

What differs: the mean is weighted by examples (the paper samples devices by them and takes the plain mean).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from python_server.groups import Choice
from python_server.strategies.base import Device, Plan
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.toml_tables import setting

__all__ = ["FedProx", "FedProxOptions"]


@dataclass(frozen=True)
class FedProxOptions(FedAvgOptions):
    """Keys of ``[strategy]``: those of FedAvg, and the stragglers.

    Attributes
    ----------
    proximal_mu
        μ; the bundle has to be exported with a proximal term.
    stragglers
        Probability that a device does only 1 to E epochs in a round, drawn uniformly; or steps, where ``[train]``
        counts in them.
    """

    proximal_mu: float = setting(0.01, least=0)
    stragglers: float = setting(0.0, least=0, most=1)


class FedProx(FedAvg):
    """FedAvg with a proximal term and, if asked for, stragglers."""

    name = "fedprox"
    options: FedProxOptions

    def plan(self, number: int, device: Device, choice: Choice, random: np.random.Generator) -> Plan:
        """Return the plan, with less to do for a straggler."""
        plan = super().plan(number, device, choice, random)
        if not self.options.stragglers or random.random() >= self.options.stragglers:
            return plan
        drawn = int(random.integers(1, (plan.steps or plan.epochs) + 1))
        if plan.steps:
            return replace(plan, steps=drawn, reason=f"a straggler: {drawn} of {plan.steps} steps")
        return replace(plan, epochs=drawn, reason=f"a straggler: {drawn} of {plan.epochs} epochs")
