"""FedAvg, and FedProx as FedAvg with a proximal term and partial work.

McMahan, Moore, Ramage, Hampson and Agüera y Arcas, "Communication-Efficient Learning of Deep Networks from
Decentralized Data" (AISTATS 2017), algorithm 1: a fraction C of the K clients trains for E epochs; updates are
averaged, weighted by the examples n_k that each client holds. Li et al., "Federated Optimization in Heterogeneous
Networks" (MLSys 2020) add the proximal term μ and take partial work as it is.

What differs: devices that fail or are late are left out of their round's mean, and weights may count the work really
done instead of the examples held (``weight_by = "work"``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from python_server.strategies.base import Arrays, Contribution, Device, Plan, StrategyState, TrainSettings
from python_server.toml_tables import setting

__all__ = ["FedAvg", "FedAvgOptions"]


@dataclass(frozen=True)
class FedAvgOptions:
    """Keys of ``[strategy]``.

    Attributes
    ----------
    fraction
        Share C of the devices that train in a round; at least one does.
    weight_by
        ``examples``: the examples a device holds (n_k, the paper's choice). ``work``: the examples that really went
        through a step, so that a device cut short counts for less.
    proximal_mu
        FedProx's μ; the bundle has to be exported with a proximal term.
    """

    fraction: float = setting(1.0, above=0, most=1)
    weight_by: str = setting("examples", among=("examples", "work"))
    proximal_mu: float = setting(0.0, least=0)


class FedAvg:
    """Federated averaging."""

    needs_distances = False

    def __init__(self, options: FedAvgOptions, train: TrainSettings) -> None:
        self.options = options
        self.train = train

    def start(self, weights: Arrays) -> StrategyState:
        """Return the empty state: FedAvg remembers nothing."""
        return StrategyState()

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose a fraction of the devices at random, all with the same plan."""
        count = max(1, math.ceil(self.options.fraction * len(devices)))
        chosen = sorted(random.choice(len(devices), size=count, replace=False).tolist())
        plan = Plan(
            epochs=self.train.epochs,
            learning_rate=self.train.learning_rate_at(number),
            cut=self.train.cut,
            proximal_mu=self.options.proximal_mu,
            steps=self.train.steps,
        )
        return {devices[index].device: plan for index in chosen}

    def weigh(self, contribution: Contribution) -> int:
        """Return the examples held, or those processed; 0 for a device that did no step."""
        if contribution.steps < 1:
            return 0
        return contribution.num_examples if self.options.weight_by == "examples" else contribution.examples_processed

    def finish(
        self, state: StrategyState, before: Arrays, mean: dict[str, np.ndarray], used: Sequence[Contribution]
    ) -> tuple[StrategyState, dict[str, np.ndarray]]:
        """Take the mean as it is."""
        return state, mean
