"""FedLAMA: layers that clients agree on anyway travel less often.

Lee, Zhang and Avestimehr, "Layer-wise Adaptive Model Aggregation for Scalable Federated Learning" (AAAI 2023),
algorithms 1 and 2. A round is τ' local steps; a layer is aggregated after every round, or after every φ-th. Whenever a
layer is aggregated, its discrepancy is measured per local step and parameter:

    d_l = (mean over clients of ‖u_l − x_l‖²) / (τ_l · dim(u_l))

with u_l its mean, x_l a client's values and τ_l its interval. After every φ rounds all layers are aggregated and the
intervals are set anew. With the layers sorted by d_l, smallest first, let δ_l be the share of the total discrepancy
Σ d_i·dim(u_i), and λ_l the share of the parameters, of the first l layers. δ_l is what it costs to aggregate these
layers rarely, and 1 − λ_l the communication that remains. The layers up to the one at which the two curves cross,
δ_l ≥ 1 − λ_l, get the interval φτ', the others τ'; the layer with the largest d_l is always among the others.

A layer is what the manifest lists as one, and all of its variables go together: the moving mean and variance belong to
their batch normalisation and travel with it. Discrepancy and size count what is trained, as the paper's parameters do:
moving statistics lie so far apart among clients of different classes that they would push kernels into the long
interval (`benchmarks.papers.fedlama_crossing`). Between rounds each device keeps what is not aggregated
(`edge_client.local_weights`); it is sent the layers that were aggregated in the round before, and sends those that are
due. So clients are chosen for φ rounds at once.

Algorithm 2 of the preprint (arXiv 2110.10302) compares δ_l with λ_l, which sorting makes true of every layer but the
last; its text and figure 1 speak of the crossing of δ_l and 1 − λ_l, as do the slides. That the layer at which they
cross is a rare one, too, is from the authors' published code. Without it, the large layers change places: one that
travelled rarely has drifted for φ rounds, more than φ times as far in squares as in one, looks loud, and is aggregated
in every round of the next φ. The code also keeps batch normalisations and biases at τ', and leaves moving statistics to
each client.

What differs from the paper: means are weighted as in FedAvg; devices may fail. A device whose last answer was not used
is sent everything, as is one that has lost its weights, and clients that keep no weights are not chosen. τ' may be
epochs as well as steps. The global model holds the last mean of every layer, so its accuracy between two full
aggregations is that of a mixture.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from edge_client.records import KEEPS_WEIGHTS
from python_server.errors import FleetError
from python_server.groups import GroupSettings
from python_server.strategies.base import Arrays, Contribution, Device, Plan, StrategyState
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.toml_tables import setting
from python_server.variants import Variant

__all__ = ["FedLama", "FedLamaOptions", "intervals", "layer_of"]


@dataclass(frozen=True)
class FedLamaOptions(FedAvgOptions):
    """Keys of ``[strategy]``: those of FedAvg, and φ.

    Attributes
    ----------
    phi
        The factor φ by which the interval of some layers is longer.
    """

    phi: int = setting(2, least=2, most=1000)


class FedLama(FedAvg):
    """Layer-wise adaptive aggregation.

    The state's values: ``variables``, their paths; ``sizes``, the trained parameters of each layer; ``intervals``, in
    rounds; ``discrepancies``, the last d_l of each; ``cycle``, the devices that take part in these φ rounds;
    ``holders``, those that kept their weights after the last round; ``round``, the last.
    """

    name = "fedlama"
    options: FedLamaOptions
    needs_distances = True
    _trained: Optional[frozenset[str]] = None
    """Variables that the optimizer changes; None: nothing is known of the bundle, and all count."""

    def bind(self, variants: Mapping[str, Variant], groups: Sequence[GroupSettings]) -> FedLama:
        """Return the strategy for this bundle, which says what of it is trained."""
        bound = super().bind(variants, groups)
        assert isinstance(bound, FedLama)
        if variants:
            variables = variants[""].manifest.variables
            bound._trained = frozenset(path for path, variable in variables.items() if variable.trained)
        return bound

    def start(self, weights: Arrays) -> StrategyState:
        """Return the state in which every layer is due after every round."""
        sizes: dict[str, int] = {}
        for path, value in weights.items():
            counted = int(value.size) if self._counts(path) else 0
            sizes[layer_of(path)] = sizes.get(layer_of(path), 0) + counted
        return StrategyState(
            {
                "variables": list(weights),
                "sizes": sizes,
                "intervals": dict.fromkeys(sizes, 1),
                "discrepancies": {},
                "cycle": [],
                "holders": [],
                "round": 0,
            }
        )

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose devices for φ rounds; ask each for the layers that are due, and send it those that were.

        Raises
        ------
        FleetError
            No device keeps its weights between rounds.
        """
        values = state.values
        able = [device for device in devices if device.facts.get(KEEPS_WEIGHTS) is True]
        if not able:
            raise FleetError(
                "fedlama needs devices that keep weights between rounds, which these do not: "
                + (", ".join(device.name for device in devices) or "(none)")
            )
        chosen = [device for device in able if device.device in values["cycle"]]
        first = self._place(number) == 0
        if first or not chosen:
            plans = super().select(state, number, able, random)
        else:
            everyone = copy.copy(self)
            everyone.options = replace(self.options, fraction=1.0)
            plans = super(FedLama, everyone).select(state, number, chosen, random)
        reply = self._of_layers(values, self._due(values, number))
        keep = self._place(number) != self.options.phi - 1
        fresh = self._of_layers(values, self._due(values, number - 1))
        return {
            device: replace(plan, reply=reply, keep_weights=keep, start_round=number - 1, send=fresh)
            if not first and device in values["holders"]
            else replace(plan, reply=reply, keep_weights=keep)
            for device, plan in plans.items()
        }

    def finish(
        self, state: StrategyState, before: Arrays, mean: dict[str, np.ndarray], used: Sequence[Contribution]
    ) -> tuple[StrategyState, dict[str, np.ndarray]]:
        """Take the mean, measure the layers that it is new for, and set the intervals after every φ rounds."""
        values = dict(state.values)
        number = values["round"] + 1
        due = self._due(values, number)
        measured = self._discrepancies(values, due, before, mean, used)
        values["discrepancies"] = {**values["discrepancies"], **measured}
        last = self._place(number) == self.options.phi - 1
        if last and len(values["discrepancies"]) == len(values["sizes"]):
            values["intervals"] = intervals(values["discrepancies"], values["sizes"], self.options.phi)
        members = [part.device.device for part in used]
        values["cycle"] = [] if last else sorted({*values["cycle"], *members})
        values["holders"] = [] if last else sorted(members)
        values["round"] = number
        return super().finish(replace(state, values=values), before, mean, used)

    def _discrepancies(
        self, values: Mapping[str, Any], due: Sequence[str], before: Arrays, mean: Arrays, used: Sequence[Contribution]
    ) -> dict[str, float]:
        """Return d_l of the layers that are due, with τ_l in rounds, as τ' is the same for all."""
        if not used:
            return {}
        totals = dict.fromkeys(due, 0.0)
        weights = [self.weigh(part) for part in used]
        for path in sorted(path for path in self._of_layers(values, due) if self._counts(path)):
            # Σw‖x − mean‖² = Σw‖x − before‖² − W‖mean − before‖²; a layer that nobody trains has none.
            spread = sum(weight * part.distances.get(path, 0.0) for weight, part in zip(weights, used)) / sum(weights)
            moved = np.subtract(mean[path], before[path], dtype=np.float64).ravel()
            totals[layer_of(path)] += max(0.0, spread - float(moved @ moved))
        return {
            layer: total / (values["intervals"][layer] * max(1, values["sizes"][layer]))
            for layer, total in totals.items()
        }

    def _counts(self, path: str) -> bool:
        """Tell whether a variable is part of its layer's discrepancy and size."""
        return self._trained is None or path in self._trained

    def _place(self, number: int) -> int:
        """Return how many rounds of its φ come before a round."""
        return (number - 1) % self.options.phi

    def _due(self, values: Mapping[str, Any], number: int) -> list[str]:
        """Return the layers that are aggregated after a round."""
        last = self._place(number) == self.options.phi - 1
        return [layer for layer, interval in values["intervals"].items() if last or interval == 1]

    def _of_layers(self, values: Mapping[str, Any], layers: Sequence[str]) -> frozenset[str]:
        """Return the variables of some layers."""
        wanted = set(layers)
        return frozenset(path for path in values["variables"] if layer_of(path) in wanted)


def layer_of(path: str) -> str:
    """Return the layer that a variable belongs to: Keras allows no slash in a layer's name."""
    return path.partition("/")[0]


def intervals(discrepancies: Mapping[str, float], sizes: Mapping[str, int], phi: int) -> dict[str, int]:
    """Return the interval of each layer in rounds (algorithm 2).

    Parameters
    ----------
    discrepancies
        d_l by layer.
    sizes
        dim(u_l), parameters by layer; a layer that has none keeps the interval 1.
    phi
        The longer interval.
    """
    order = sorted(sizes, key=lambda layer: discrepancies[layer])  # stable, so equal layers keep their order
    all_parameters = sum(sizes.values())
    all_discrepancy = sum(discrepancies[layer] * sizes[layer] for layer in order)
    chosen = dict.fromkeys(sizes, 1)
    if not all_discrepancy > 0:
        return chosen
    parameters, discrepancy = 0, 0.0
    for layer in order[:-1]:
        if not sizes[layer]:
            continue
        chosen[layer] = phi
        parameters += sizes[layer]
        discrepancy += discrepancies[layer] * sizes[layer]
        if discrepancy / all_discrepancy >= 1 - parameters / all_parameters:
            break
    return chosen
