"""FedAvg, and FedProx as FedAvg with a proximal term and partial work.

McMahan, Moore, Ramage, Hampson and Agüera y Arcas, "Communication-Efficient Learning of Deep Networks from
Decentralized Data" (AISTATS 2017), algorithm 1: a fraction C of the K clients trains for E epochs; updates are
averaged, weighted by the examples n_k that each client holds. Li et al., "Federated Optimization in Heterogeneous
Networks" (MLSys 2020) add the proximal term μ and take partial work as it is.

What differs: devices that fail or are late are left out of their round's mean, and weights may count the work really
done instead of the examples held (``weight_by = "work"``).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from python_server.errors import ExperimentError
from python_server.groups import VARIANTS, Choice, Choices, GroupSettings
from python_server.run_rows import DeviceRoundRow
from python_server.strategies.base import Arrays, Contribution, Device, Plan, StrategyState, TrainSettings
from python_server.strategies.server_optimizer import ServerOptimizer, ServerOptimizerOptions
from python_server.submodels import WHOLE, Submodel
from python_server.toml_tables import setting
from python_server.variants import Variant

__all__ = ["FedAvg", "FedAvgOptions"]


@dataclass(frozen=True)
class FedAvgOptions(ServerOptimizerOptions):
    """Keys of ``[strategy]``, beside those of the server optimizer.

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
    """Federated averaging, and what the strategies made of it share."""

    name: ClassVar[str] = "fedavg"
    parts: ClassVar[frozenset[str]] = frozenset()
    """In what devices may differ: see `python_server.groups.Choices`."""

    needs_distances = False

    def __init__(self, options: FedAvgOptions, train: TrainSettings) -> None:
        self.options = options
        self.train = train
        self.choices = Choices({}, (), train, self.parts, self.name)
        self._optimizer = ServerOptimizer(options)

    def bind(self, variants: Mapping[str, Variant], groups: Sequence[GroupSettings]) -> FedAvg:
        """Return the strategy for these bundles and groups of devices.

        Raises
        ------
        ExperimentError
            An option or a group asks for what the bundles do not have.
        """
        if len(variants) > 1 and VARIANTS not in self.parts:
            raise ExperimentError(
                f"there are [[variants]], but strategy {self.name!r} gives all devices the whole model; "
                "docs/strategies.md says which strategies use them"
            )
        bound = copy.copy(self)
        bound.choices = Choices(variants, groups, self.train, self.parts, self.name)
        if variants:
            bound._optimizer = ServerOptimizer(self.options, variants[""].trained)
        for variant in variants.values():
            if self.train.cut and self.train.cut not in variant.manifest.cuts:
                raise ExperimentError(f"train.cut: {variant.title} has no cut {self.train.cut!r}")
            if self.options.proximal_mu and not variant.manifest.optimizer.get("proximal"):
                raise ExperimentError(
                    f"strategy.proximal_mu is {self.options.proximal_mu:g}, but {variant.title} was exported "
                    "without a proximal term; export it with --proximal"
                )
        return bound

    def start(self, weights: Arrays) -> StrategyState:
        """Return the empty state: FedAvg remembers nothing, and a server optimizer starts from nothing."""
        return StrategyState()

    @property
    def follows_conditions(self) -> bool:
        """Whether a group asks for a charge of the battery."""
        return self.choices.follows_conditions

    def unable(self, devices: Sequence[Device]) -> dict[str, str]:
        """Return why devices do not meet the conditions of their group, or cannot afford any part of the model."""
        return self.choices.unable(devices)

    def models(self, state: StrategyState, weights: Arrays) -> Arrays:
        """Return the global weights: there are no others."""
        return weights

    def architectures(self, state: StrategyState) -> Sequence[Submodel]:
        """Return the whole model."""
        return [WHOLE]

    def remarks(self, devices: Sequence[Device]) -> list[str]:
        """Return a line for each group without devices."""
        return self.choices.remarks(devices)

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose devices, and give each the plan that its group or the experiment says."""
        chosen = self.choose(state, number, devices, random)
        return {device.device: self.plan(number, device, self.choice(device, random), random) for device in chosen}

    def choose(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> list[Device]:
        """Choose a fraction of the devices at random."""
        if not devices:
            return []
        # 0.07 · 100 is a little more than 7 in binary, and would be 8.
        count = max(1, math.ceil(round(self.options.fraction * len(devices), 9)))
        return [devices[index] for index in sorted(random.choice(len(devices), size=count, replace=False).tolist())]

    def choice(self, device: Device, random: np.random.Generator) -> Choice:
        """Choose what a device is given."""
        return self.choices.of(device)

    def plan(self, number: int, device: Device, choice: Choice, random: np.random.Generator) -> Plan:
        """Return a device's plan for what was chosen."""
        return Plan(
            epochs=choice.epochs,
            learning_rate=self.train.learning_rate_at(number),
            cutoff_s=choice.cutoff_s,
            cut=choice.cut,
            proximal_mu=self.options.proximal_mu,
            submodel=choice.submodel,
            reason=choice.reason,
            steps=choice.steps,
            download_codec=choice.codecs.down if choice.codecs else None,
            upload_codec=choice.codecs.up if choice.codecs else None,
        )

    def passed_over(
        self, state: StrategyState, number: int, devices: Sequence[Device], plans: Mapping[str, Plan]
    ) -> dict[str, str]:
        """Return nothing: who is not drawn needs no reason."""
        return {}

    def weigh(self, contribution: Contribution) -> int:
        """Return the examples held, or those processed; 0 for a device that did no step."""
        if contribution.steps < 1:
            return 0
        return contribution.num_examples if self.options.weight_by == "examples" else contribution.examples_processed

    def observe(self, state: StrategyState, number: int, rows: Sequence[DeviceRoundRow]) -> StrategyState:
        """Return the state as it is."""
        return state

    def finish(
        self, state: StrategyState, before: Arrays, mean: dict[str, np.ndarray], used: Sequence[Contribution]
    ) -> tuple[StrategyState, dict[str, np.ndarray]]:
        """Take the mean as it is, or as the server optimizer's pseudo-gradient."""
        return self._optimizer.step(state, before, mean, used)
