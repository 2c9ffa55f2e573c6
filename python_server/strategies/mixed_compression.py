"""Mixed compression: devices train the model pruned, quantized or clustered, each to its own degree.

Zhang, "Towards a Federated Learning Framework for Heterogeneous Devices of Internet of Things" (2021), sections 3 and
5: "local models are compressed from the global model, and the gradients of the compressed local models are used to
update the global model"; how to aggregate them is left open (sections 3.2 and 7.3). Here each kind of compression is a
variant: a bundle exported with ``--prune``, ``--format`` or ``--clusters``. Two ways of aggregating:

``naive``
    The compressed weights are averaged as if they were whole: zeros of pruned weights pull the mean to zero, and the
    global weights are rounded as the devices' are.
``aware``
    *Masks*: a weight that a device has pruned does not count for it; the mean is over the devices that train it.
    *Precision*: what counts is the difference between what the device sent and what its compressed model started
    from, added to the global weights: the gradient of the compressed model, as the paper has it. What compression did
    to the weights cancels, so that the global model keeps its precision however coarse the devices' are.
    *Statistics*: batch-norm statistics of a pruned network are of sums over fewer weights; by default
    (``statistics = "whole"``) devices with masks do not send theirs where others are there.

``[strategy] precision_weight`` weighs formats against each other, such as ``{ int4 = 0.5 }``. The paper gives no rule;
rounding adds variance to an update, and how much that matters depends on how much updates differ anyway.

Form: ``fedavg`` averages what the local epochs came to; ``fedsgd`` is one local step a round, so that the mean
difference is one step of the global model. Its gradient is that of one batch: it is the paper's FedSGD (section 4.2),
which takes all data of a device (section 6.1: "batch gradient descent"), where the bundle's batch holds them. Where it
does not, the run says so.
"""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model_export.formats import FORMATS
from python_server.errors import ExperimentError
from python_server.groups import CUTS, VARIANTS, Choice, GroupSettings
from python_server.strategies.base import Contribution, Device, Plan, StrategyState, TrainSettings
from python_server.strategies.batch_norm import without_partial_statistics
from python_server.strategies.fedavg import FedAvg, FedAvgOptions
from python_server.toml_tables import setting
from python_server.variants import Variant

__all__ = ["MixedCompression", "MixedCompressionOptions"]

_PRECISION = 100
"""Weights are whole numbers: shares are counted in hundredths."""


@dataclass(frozen=True)
class MixedCompressionOptions(FedAvgOptions):
    """Keys of ``[strategy]``: those of FedAvg, and how compressed updates count.

    Attributes
    ----------
    aggregation
        ``aware`` or ``naive``.
    form
        ``fedavg`` or ``fedsgd``.
    statistics
        Whose batch-norm statistics count under ``aware``: ``whole``, those of devices without masks; ``all``.
    precision_weight
        By number format of a variant's weights, the factor of its updates' weights; 1 for those not named.
    """

    aggregation: str = setting("aware", among=("aware", "naive"))
    form: str = setting("fedavg", among=("fedavg", "fedsgd"))
    statistics: str = setting("whole", among=("whole", "all"))
    precision_weight: dict[str, float] = setting({}, least=0.01, most=1)


class MixedCompression(FedAvg):
    """FedAvg over compressed variants."""

    name = "mixed_compression"
    parts = frozenset({CUTS, VARIANTS})
    options: MixedCompressionOptions

    def __init__(self, options: MixedCompressionOptions, train: TrainSettings) -> None:
        for format in options.precision_weight:
            if format not in FORMATS:
                raise ExperimentError(f"strategy.precision_weight names {format!r}; formats are {', '.join(FORMATS)}")
        super().__init__(options, train)
        self._factors: dict[str, int] = {}

    def bind(self, variants: Mapping[str, Variant], groups: Sequence[GroupSettings]) -> FedAvg:
        """Return the strategy for these variants, whose updates count as ``aggregation`` says."""
        aware = self.options.aggregation == "aware"
        fitted = {
            name: replace(
                variant,
                submodel=replace(variant.submodel, differences=True) if aware else variant.submodel.naive(),
            )
            if name and variant.manifest.compression
            else variant
            for name, variant in variants.items()
        }
        bound = super().bind(fitted, groups)
        assert isinstance(bound, MixedCompression)
        bound._factors = {
            name: round(_PRECISION * self.options.precision_weight.get(variant.format, 1.0))
            for name, variant in variants.items()
        }
        return bound

    def select(
        self, state: StrategyState, number: int, devices: Sequence[Device], random: np.random.Generator
    ) -> dict[str, Plan]:
        """Choose and plan; under ``aware`` pruned devices are not asked for statistics, if others are there."""
        plans = super().select(state, number, devices, random)
        if self.options.statistics == "all":
            return plans
        return without_partial_statistics(plans, devices, self.choices, lambda submodel: bool(submodel.masks))

    def remarks(self, devices: Sequence[Device]) -> list[str]:
        """Return also a line if FedSGD's step is on a part of some device's examples."""
        lines = super().remarks(devices)
        if self.options.form == "fedsgd":
            unable = self.choices.unable(devices)
            able = [device for device in devices if device.device not in unable]
            most = max((d for d in able if d.examples > self._batch(d) > 0), key=lambda d: d.examples, default=None)
            if most is not None:
                lines.append(
                    f"form 'fedsgd' takes one batch: {self._batch(most)} of the {most.examples} examples of "
                    f"{most.name}; for the gradient of all of them export with --batch {most.examples}"
                )
        return lines

    def plan(self, number: int, device: Device, choice: Choice, random: np.random.Generator) -> Plan:
        """Return the plan; one step under FedSGD."""
        plan = super().plan(number, device, choice, random)
        return replace(plan, steps=1) if self.options.form == "fedsgd" else plan

    def weigh(self, contribution: Contribution) -> int:
        """Return the examples, times the factor of the format in hundredths where one is given."""
        weight = super().weigh(contribution)
        if not self.options.precision_weight:
            return weight
        return weight * self._factors.get(contribution.submodel.name, _PRECISION)

    def _batch(self, device: Device) -> int:
        """Return the batch size of what a device is given; 0 if nothing is known of bundles."""
        variant = self.choices.of(device).variant
        return variant.manifest.batch_size if variant else 0
