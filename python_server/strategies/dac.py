"""DAC: devices of one budget share an architecture, and their updates are averaged among themselves.

Li and Sanyal, "Heterogeneous Federated Learning with Differentiable Architecture Compression", section 3.1 and figure
1: the server searches an architecture for each budget (``pocketfleet search``); clients with the same budget are
clustered into one group (step iii), train its architecture, and "the cloud server aggregates the models with the same
architecture" (step iv). So each architecture is a global model of its own, which never meets the others.

The architectures are variants of the experiment; a device's comes from its group: named, or the largest that its budget
allows. All begin with their part of the bundle's weights. Those of the whole model are the run's global weights; those
of a variant lie in the strategy's state, as ``<variant>:<variable path>``, and are saved and resumed with it.

With ``across = true`` there is one global model, and what architectures have in common meets in it through the indices
of their channels: HeteroFL's aggregation on found channels. The paper's conclusion leaves this open.

``least_epochs`` is section 4.2's "random local epochs": each device does a number drawn uniformly from it to the
epochs it is given, in every round. The paper draws from 3 to 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from python_server.errors import ExperimentError
from python_server.groups import VARIANTS, Choice, GroupSettings
from python_server.strategies.base import Arrays, Contribution, Device, Plan, StrategyState, TrainSettings
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.strategies.server_optimizer import ServerOptimizer
from python_server.submodels import WHOLE, Submodel
from python_server.toml_tables import setting
from python_server.variants import Variant

__all__ = ["Dac", "DacOptions"]


@dataclass(frozen=True)
class DacOptions(FedAvgOptions):
    """Keys of ``[strategy]``: those of FedAvg, and DAC's.

    Attributes
    ----------
    across
        Whether architectures meet in one global model instead of each having its own.
    least_epochs
        The fewest local epochs of a device; 0: all do the same number.
    """

    across: bool = setting(False)
    least_epochs: int = setting(0, least=0, most=10_000)


class Dac(FedAvg):
    """FedAvg within each architecture.

    The state's values: ``architectures``, the names of the variants that were trained so far, the largest first. Its
    arrays: the weights of each variant.
    """

    name = "dac"
    parts = frozenset({VARIANTS})
    options: DacOptions

    def __init__(self, options: DacOptions, train: TrainSettings) -> None:
        super().__init__(options, train)
        self._order: list[str] = [""]
        self._parts_of_whole: Mapping[str, Submodel] = {}
        self._own: Mapping[str, Submodel] = {"": WHOLE}
        self._apart: frozenset[str] = frozenset()

    def bind(self, variants: Mapping[str, Variant], groups: Sequence[GroupSettings]) -> Dac:
        """Return the strategy for these architectures and groups of devices.

        Raises
        ------
        ExperimentError
            An option or a group asks for what the bundles do not have, or for more epochs than there are.
        """
        bound = super().bind(variants, groups)
        assert isinstance(bound, Dac)
        if self.options.least_epochs and self.train.steps:
            raise ExperimentError(
                "strategy.least_epochs draws epochs, and train.steps is given, which counts in steps; leave one out"
            )
        for choice in bound.choices.all:
            if choice.epochs < self.options.least_epochs:
                raise ExperimentError(
                    f"strategy.least_epochs is {self.options.least_epochs}, but some devices are given {choice.epochs} "
                    "epochs; lower it, or raise train.epochs"
                )
        if not variants:
            return bound
        bound._order = [variant.name for variant in bound.choices.variants[::-1]]
        bound._parts_of_whole = {name: variant.submodel for name, variant in variants.items()}
        bound._own = bound._parts_of_whole if self.options.across else _models_of_their_own(variants)
        bound._apart = frozenset(
            path
            for submodel in bound._own.values()
            if submodel.prefix
            for path in submodel.global_names(submodel.names or ())
        )
        trained = [path for name, each in variants.items() for path in bound._own[name].global_names(each.trained)]
        bound._optimizer = ServerOptimizer(self.options, trained)
        return bound

    def start(self, weights: Arrays) -> StrategyState:
        """Return the state in which each architecture has its part of the weights."""
        arrays = {
            submodel.prefix + path: np.array(value)
            for name, submodel in self._own.items()
            if submodel.prefix
            for path, value in self._parts_of_whole[name].extract(weights).items()
        }
        return StrategyState({"architectures": []}, arrays)

    def models(self, state: StrategyState, weights: Arrays) -> Arrays:
        """Return the whole model's weights and those of the variants."""
        return {**weights, **{path: value for path, value in state.arrays.items() if path in self._apart}}

    def architectures(self, state: StrategyState) -> Sequence[Submodel]:
        """Return those that were trained so far, the largest first; before the first round the whole model."""
        return [self._own[name] for name in state.values["architectures"] or [""]]

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose devices, and give each the architecture of its group."""
        plans = super().select(state, number, devices, random)
        return {device: replace(plan, submodel=self._own[plan.submodel.name]) for device, plan in plans.items()}

    def plan(self, number: int, device: Device, choice: Choice, random: np.random.Generator) -> Plan:
        """Return a device's plan, with as many epochs as are drawn for it."""
        plan = super().plan(number, device, choice, random)
        if not self.options.least_epochs:
            return plan
        least = min(self.options.least_epochs, plan.epochs)  # a budget of time may allow fewer
        return replace(plan, epochs=int(random.integers(least, plan.epochs + 1)))

    def finish(
        self, state: StrategyState, before: Arrays, mean: dict[str, np.ndarray], used: Sequence[Contribution]
    ) -> tuple[StrategyState, dict[str, np.ndarray]]:
        """Take each architecture's mean; the whole model's is the run's weights."""
        state, mean = super().finish(state, before, mean, used)
        trained = {*state.values["architectures"], *(part.submodel.name for part in used)}
        values = {**state.values, "architectures": [name for name in self._order if name in trained]}
        arrays = {**state.arrays, **{path: mean[path] for path in mean if path in self._apart}}
        return StrategyState(values, arrays), {path: mean[path] for path in mean if path not in self._apart}


def _models_of_their_own(variants: Mapping[str, Variant]) -> dict[str, Submodel]:
    """Return the variants as models beside the whole one, instead of parts of it."""
    return {
        name: replace(
            variant.submodel, prefix=f"{name}:" if name else "", names=frozenset(variant.manifest.variables), where={}
        )
        for name, variant in variants.items()
    }
