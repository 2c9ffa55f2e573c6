"""``[[groups]]``: from what devices can afford to what they are given, with the reason for each choice.

A group names devices and either says what they get, or what they can afford; then the largest part of the model that
fits is theirs. Everything that can be wrong is found when a run starts, before a device is asked for anything.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional

from edge_client.records import ACCEPTS_BUNDLE, BUNDLE
from model_export.errors import DoesNotFitError
from python_server.errors import ExperimentError
from python_server.submodels import WHOLE, Submodel
from python_server.toml_tables import setting
from python_server.variants import Variant

if TYPE_CHECKING:
    from python_server.strategies.base import Device, TrainSettings

__all__ = ["CUTS", "VARIANTS", "Choice", "Choices", "GroupSettings"]

CUTS = "cuts"
VARIANTS = "variants"


def _facts(raw: object, key: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping) or not all(isinstance(value, (str, int, float, bool)) for value in raw.values()):
        raise ExperimentError(f"{key} has to be a table of plain values, as in {{ machine = 'armv7l' }}")
    return raw


@dataclass(frozen=True)
class GroupSettings:
    """``[[groups]]``: devices that are treated alike. A device belongs to the first group that it fits.

    Attributes
    ----------
    name
        What run store and report call the group.
    devices
        Patterns of names, such as ``pi-*``; empty: any.
    processor
        Class of processor; empty: any.
    facts
        Facts that the device told when it was asked, which have to be equal, such as ``{ machine = "armv7l" }``.
    variant
        The variant that they get; empty: the whole model, or what the budget allows.
    cut
        The layer that they train from; empty: all, or what the budget allows.
    epochs
        Local epochs; 0: those of ``[train]``, or as many as the budget allows.
    cutoff_s
        Seconds of training after which they stop; 0: none.
    memory_mb
        Budget: memory for a training step beyond what the client holds anyway, in 10⁶ bytes; 0: any.
    step_ms
        Budget: time of a training step on the device, in milliseconds; 0: any.
    train_s
        Budget: seconds of training in a round. Epochs are fewer where they would take longer; where not even one
        fits, training stops then.
    times_slower
        How many times slower the device is than the machine that exported the bundles, for the two above.
    macs, parameters
        Budget: multiply-accumulates of a sample, forward, and parameters of the network that the device holds (a cut
        changes neither); 0: any.
    """

    name: str = setting()
    devices: tuple[str, ...] = setting(())
    processor: str = setting("")
    facts: Mapping[str, Any] = setting({}, read=_facts)
    variant: str = setting("")
    cut: str = setting("")
    epochs: int = setting(0, least=0, most=10_000)
    cutoff_s: float = setting(0.0, least=0)
    memory_mb: float = setting(0.0, least=0)
    step_ms: float = setting(0.0, least=0)
    train_s: float = setting(0.0, least=0)
    times_slower: float = setting(1.0, above=0)
    macs: float = setting(0.0, least=0)
    parameters: float = setting(0.0, least=0)

    def holds(self, device: Device) -> bool:
        """Tell whether a device fits this group."""
        return (
            (not self.devices or any(fnmatch.fnmatchcase(device.name, pattern) for pattern in self.devices))
            and self.processor in ("", device.processor)
            and all(device.facts.get(key) == value for key, value in self.facts.items())
        )

    @property
    def has_budget(self) -> bool:
        """Whether a part of the model is to be chosen by what the devices can afford."""
        return any((self.memory_mb, self.step_ms, self.macs, self.parameters))


@dataclass(frozen=True)
class Choice:
    """What a device is given, and why.

    Attributes
    ----------
    variant
        The bundle; None: nothing is known of bundles, as with stock clients.
    cut
        The layer that it trains from; empty: all.
    epochs, cutoff_s
        As in plans.
    train_s, times_slower
        See `GroupSettings`.
    reason
        Why, in words.
    """

    variant: Optional[Variant]
    cut: str
    epochs: int
    cutoff_s: float = 0.0
    train_s: float = 0.0
    times_slower: float = 1.0
    reason: str = ""

    @property
    def submodel(self) -> Submodel:
        """The part of the global model that the device holds."""
        return self.variant.submodel if self.variant else WHOLE

    @property
    def size(self) -> tuple[int, ...]:
        """What choices are ordered by: the variant's size, then the parameters that are trained."""
        if self.variant is None:
            return ()
        manifest = self.variant.manifest
        trained = manifest.costs.signatures[manifest.training_signature(self.cut)].trained_parameters
        return (*self.variant.size, trained)

    def within_train_s(self, examples: int) -> Choice:
        """Return the choice with no more epochs than the budget of time allows, for a device with so many examples."""
        if not self.train_s or self.variant is None:
            return self
        step_ms = self.variant.step_ms(self.cut)
        assert step_ms is not None  # looked for when the run started
        batch = self.variant.manifest.batch_size
        epoch_s = max(1, math.ceil(examples / batch)) * step_ms * self.times_slower / 1000
        epochs = max(1, min(self.epochs, int(self.train_s / epoch_s)))
        cutoff_s = self.cutoff_s
        if epoch_s > self.train_s:
            cutoff_s = min(self.train_s, cutoff_s or self.train_s)
        reason = f"{self.reason}; an epoch takes {epoch_s:.3g} s of {self.train_s:g} s"
        return replace(self, epochs=epochs, cutoff_s=cutoff_s, reason=reason)


class Choices:
    """What each device of a run is given.

    Parameters
    ----------
    variants
        By name, the experiment's own bundle under the empty name; empty: nothing is known of bundles.
    groups
        In the experiment's order.
    train
        What devices of no group get.
    parts
        In what devices may differ: any of `CUTS` and `VARIANTS`.
    strategy
        Name of the strategy, for messages.

    Raises
    ------
    ExperimentError
        A group asks for what is not there, for what the strategy does not do, or has a budget that nothing meets.
    """

    def __init__(
        self,
        variants: Mapping[str, Variant],
        groups: Sequence[GroupSettings],
        train: TrainSettings,
        parts: Collection[str],
        strategy: str,
    ) -> None:
        self._variants = variants
        self._parts = parts
        self._strategy = strategy
        self._groups = groups
        _check_names(groups)
        self.rest = Choice(variants.get(""), train.cut, train.epochs)
        self._of_group = {group.name: self._choose(group, train) for group in groups}
        self._held = {
            variant.sha256: Choice(variant, train.cut, train.epochs)
            for variant in variants.values()
            if variant.name and VARIANTS in parts
        }

    @property
    def all(self) -> list[Choice]:
        """The choices that devices can come to: those of the groups, and that of devices of no group."""
        return [*self._of_group.values(), self.rest]

    @property
    def variants(self) -> list[Variant]:
        """All bundles that devices can be given, the smallest first."""
        return sorted(self._variants.values(), key=lambda variant: variant.size)

    def group(self, device: Device) -> str:
        """Return the name of the group that a device belongs to; empty if it belongs to none."""
        return next((group.name for group in self._groups if group.holds(device)), "")

    def of(self, device: Device) -> Choice:
        """Return what a device is given."""
        name = self.group(device)
        if name:
            return self._of_group[name].within_train_s(device.examples)
        held = self._held.get(str(device.facts.get(BUNDLE, "")))
        if held is not None and device.facts.get(ACCEPTS_BUNDLE) is not True:
            assert held.variant is not None
            return replace(held, reason=f"it holds {held.variant.title} and takes no other")
        return self.rest

    def remarks(self, devices: Sequence[Device]) -> list[str]:
        """Return a line for each group that none of these devices belongs to."""
        found = {self.group(device) for device in devices}
        return [f"group {name!r} has no device" for name in self._of_group if name not in found]

    def _choose(self, group: GroupSettings, train: TrainSettings) -> Choice:
        where = f"group {group.name!r}"
        self._check_allowed(group, where)
        epochs = group.epochs or train.epochs
        fixed = {"cutoff_s": group.cutoff_s, "train_s": group.train_s, "times_slower": group.times_slower}
        if not (group.variant or group.cut or group.has_budget or group.train_s):
            return Choice(self.rest.variant, train.cut, epochs, cutoff_s=group.cutoff_s, reason=where)
        if not self._variants:
            raise ExperimentError(f"{where}: it needs a bundle, and nothing is known of this model's")
        candidates = self._candidates(group, where)
        problems = []
        for variant in candidates:
            try:
                cut = self._cut(group, variant, train.cut)
            except DoesNotFitError as error:
                problems.append(f"{variant.title}: {error}")
                continue
            if group.train_s and variant.step_ms(cut) is None:
                raise ExperimentError(
                    f"{where}: train_s needs the time of a step, and {variant.title} was exported without measuring"
                )
            trained = f" from {cut!r} on" if cut else ""
            budget = _budget(group)
            reason = f"{where}: {variant.title}{trained}" + (f" is the largest within {budget}" if budget else "")
            return Choice(variant, cut, epochs, reason=reason, **fixed)
        raise ExperimentError(f"{where}: nothing fits {_budget(group)}; {problems[-1]}")

    def _check_allowed(self, group: GroupSettings, where: str) -> None:
        for key, part in (("variant", VARIANTS), ("cut", CUTS)):
            if getattr(group, key) and part not in self._parts:
                raise ExperimentError(
                    f"{where}: {key} is given, but under strategy {self._strategy!r} no device has a {key} of its own; "
                    "docs/strategies.md says which strategies do that"
                )

    def _candidates(self, group: GroupSettings, where: str) -> list[Variant]:
        """Return the variants that the group may get, the largest first."""
        if group.variant:
            if group.variant not in self._variants:
                known = ", ".join(sorted(name for name in self._variants if name)) or "none"
                raise ExperimentError(f"{where}: there is no variant {group.variant!r} among [[variants]]: {known}")
            return [self._variants[group.variant]]
        if VARIANTS not in self._parts or not group.has_budget:
            return [self._variants[""]]
        return self.variants[::-1]

    def _cut(self, group: GroupSettings, variant: Variant, default: str) -> str:
        """Return the cut that the group trains a variant from.

        Raises
        ------
        DoesNotFitError
            The budget allows none.
        """
        for key, value in (("macs", variant.macs), ("parameters", variant.parameters)):
            limit = getattr(group, key)
            if limit and value > limit:
                raise DoesNotFitError(f"its network has {value:,} {key}, more than {limit:,.0f}")
        manifest, cut = variant.manifest, group.cut or default
        order = [layer.name for layer in manifest.layers]
        if cut and cut not in manifest.cuts:
            known = ", ".join(manifest.cuts) or "none"
            raise ExperimentError(f"group {group.name!r}: {variant.title} has no cut {cut!r}; it has: {known}")
        if not (group.memory_mb or group.step_ms):
            return cut
        found = (
            manifest.cut_for(
                memory_mb=group.memory_mb or None, step_ms=group.step_ms or None, times_slower=group.times_slower
            )
            or ""
        )
        if found == cut or (cut and (not found or order.index(found) < order.index(cut))):
            return cut  # more would fit, but is not asked for
        if group.cut or CUTS not in self._parts:
            asked = f"training from {cut!r} on" if cut else "training all of it"
            raise DoesNotFitError(f"{asked} does not fit; only training from {found!r} on does")
        return found


def _check_names(groups: Sequence[GroupSettings]) -> None:
    names = [group.name for group in groups]
    for name in names:
        if not name:
            raise ExperimentError("a group's name is empty; give each of [[groups]] a name")
        if names.count(name) > 1:
            raise ExperimentError(f"two [[groups]] have the name {name!r}")


def _budget(group: GroupSettings) -> str:
    limits = [
        (group.memory_mb, f"{group.memory_mb:g} MB"),
        (group.step_ms, f"{group.step_ms:g} ms a step (times {group.times_slower:g} slower)"),
        (group.macs, f"{group.macs:,.0f} MACs"),
        (group.parameters, f"{group.parameters:,.0f} parameters"),
    ]
    return ", ".join(text for limit, text in limits if limit)
