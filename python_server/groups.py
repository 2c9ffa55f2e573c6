"""From what devices can afford to what they are given, with the reason for each choice.

A group (`python_server.group_settings`) names devices and either says what they get, or what they can afford; then the
largest part of the model that fits is theirs. Everything that can be wrong with the experiment is found when a run
starts, before a device is asked for anything; what depends on what a device tells, or on what its steps took, is chosen
anew in every round.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Optional

from edge_client.records import ACCEPTS_BUNDLE, BUNDLE, CODECS
from model_export.errors import DoesNotFitError
from python_server.choice import Choice
from python_server.codec_choice import fitting
from python_server.errors import ExperimentError
from python_server.group_settings import GroupSettings, check_groups
from python_server.variants import Variant

if TYPE_CHECKING:
    from python_server.strategies.base import Device, TrainSettings

__all__ = ["CUTS", "VARIANTS", "Choice", "Choices", "GroupSettings"]

CUTS = "cuts"
VARIANTS = "variants"


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
        self._train = train
        check_groups(groups)
        self.rest = Choice(variants.get(""), train.cut, train.epochs, steps=train.steps)
        self._of_group = {}
        for group in groups:
            self._check_allowed(group)
            try:
                choice = self._choose(group, train)
                self._with_codecs(group, choice)
            except DoesNotFitError as error:
                raise ExperimentError(f"group {group.name!r}: {error}") from None
            self._of_group[group.name] = choice
        self._held = {
            variant.sha256: Choice(variant, train.cut, train.epochs, steps=train.steps)
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
        found = self._group(device)
        return found.name if found else ""

    @property
    def follows_conditions(self) -> bool:
        """Whether what devices are given depends on a state of theirs that changes, such as the battery's."""
        return any(group.has_conditions for group in self._groups)

    def of(self, device: Device) -> Choice:
        """Return what a device is given.

        Raises
        ------
        DoesNotFitError
            Nothing fits what it tells, or what its steps took.
        """
        group = self._group(device)
        if group is not None:
            choice = self._of_group[group.name]
            if (group.memory_share and group.memory(device) != group.memory_mb) or (
                group.slowness(device) != choice.times_slower
            ):
                choice = self._choose(group, self._train, device)
            return self._with_codecs(group, choice.within_train_s(device.examples), device)
        held = self._held.get(str(device.facts.get(BUNDLE, "")))
        if held is not None and device.facts.get(ACCEPTS_BUNDLE) is not True:
            assert held.variant is not None
            return replace(held, reason=f"it holds {held.variant.title} and takes no other")
        return self.rest

    def unable(self, devices: Sequence[Device]) -> dict[str, str]:
        """Return why devices cannot be asked now, by id: what they tell of themselves does not allow it."""
        reasons = {}
        for device in devices:
            group = self._group(device)
            if group is None:
                continue
            try:
                objection = group.objection(device)
                if not objection:
                    self.of(device)
            except DoesNotFitError as error:
                objection = str(error)
            if objection:
                reasons[device.device] = f"group {group.name!r}: {objection}"
        return reasons

    def remarks(self, devices: Sequence[Device]) -> list[str]:
        """Return a line for each group that none of these devices belongs to."""
        found = {self.group(device) for device in devices}
        return [f"group {name!r} has no device" for name in self._of_group if name not in found]

    def _group(self, device: Device) -> Optional[GroupSettings]:
        return next((group for group in self._groups if group.holds(device)), None)

    def _choose(self, group: GroupSettings, train: TrainSettings, device: Optional[Device] = None) -> Choice:
        """Choose for a device of a group; without a device, as far as the experiment says.

        Raises
        ------
        DoesNotFitError
            Nothing fits.
        """
        where = f"group {group.name!r}"
        slowness = group.slowness(device)
        epochs, steps = group.epochs or train.epochs, 0 if group.epochs else train.steps
        needs_bundle = group.variant or group.cut or group.has_budget or group.has_traffic_budget or group.train_s
        if not needs_bundle:
            return Choice(
                self.rest.variant,
                train.cut,
                epochs,
                cutoff_s=group.cutoff_s,
                times_slower=slowness,
                reason=where,
                codecs=group.codec,
                steps=steps,
            )
        if not self._variants:
            raise ExperimentError(f"{where}: it needs a bundle, and nothing is known of this model's")
        budget, problems, candidates = group.budget(device), [], self._candidates(group, where)
        for key in ("train_s", "memory_share"):
            blind = next((each for each in candidates if each.manifest.costs.measured is None), None)
            if getattr(group, key) and blind:
                raise ExperimentError(
                    f"{where}: {key} needs what a step takes, and {blind.title} was exported without measuring"
                )
        for variant in candidates:
            try:
                cut = self._cut(group, variant, train.cut, device)
            except DoesNotFitError as error:
                problems.append(f"{variant.title}: {error}")
                continue
            trained = f" from {cut!r} on" if cut else ""
            reason = f"{where}: {variant.title}{trained}" + (f" is the largest within {budget}" if budget else "")
            return Choice(variant, cut, epochs, group.cutoff_s, group.train_s, slowness, reason, group.codec, steps)
        raise DoesNotFitError(f"nothing fits {budget}; {problems[-1]}")

    def _with_codecs(self, group: GroupSettings, choice: Choice, device: Optional[Device] = None) -> Choice:
        """Return a choice with the codecs that a group's budget of traffic allows.

        Raises
        ------
        DoesNotFitError
            None does. A slow upload is no reason: then it is the smallest.
        """
        if not group.has_traffic_budget or choice.variant is None:
            return choice
        found = fitting(
            choice.variant.manifest,
            choice.cut,
            None if device is None else str(device.facts.get(CODECS, "")).split(),
            traffic_mb=group.traffic_mb,
            upload_s=group.upload_s,
            upload_mbps=device.upload_mbps if device else None,
        )
        if group.traffic_mb and found.megabytes > group.traffic_mb:
            raise DoesNotFitError(
                f"nothing fits {group.traffic_mb:g} MB of traffic; {found.codecs} is the least and takes "
                f"{found.megabytes:.3g} MB"
            )
        return replace(choice, codecs=found.codecs, reason=f"{choice.reason}; {found.reason}")

    def _check_allowed(self, group: GroupSettings) -> None:
        for key, part in (("variant", VARIANTS), ("cut", CUTS)):
            if getattr(group, key) and part not in self._parts:
                raise ExperimentError(
                    f"group {group.name!r}: {key} is given, but under strategy {self._strategy!r} no device has a "
                    f"{key} of its own; docs/strategies.md says which strategies do that"
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

    def _cut(self, group: GroupSettings, variant: Variant, default: str, device: Optional[Device]) -> str:
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
        memory_mb, step_ms = group.memory(device) or None, group.step_ms or None
        if memory_mb is None and step_ms is None:
            return cut
        found = manifest.cut_for(memory_mb=memory_mb, step_ms=step_ms, times_slower=group.slowness(device)) or ""
        if found == cut or (cut and (not found or order.index(found) < order.index(cut))):
            return cut  # more would fit, but is not asked for
        if group.cut or CUTS not in self._parts:
            asked = f"training from {cut!r} on" if cut else "training all of it"
            raise DoesNotFitError(f"{asked} does not fit; only training from {found!r} on does")
        return found
