"""``[[groups]]`` of an experiment file: which devices are treated alike, what they get, or what they can afford."""

# ruff: noqa: RUF009 - `setting` declares a field, as `dataclasses.field` does

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, TypeGuard

from edge_client.records import BATTERY_PERCENT, CHARGING, MEMORY_BYTES
from python_server.codec_choice import Codecs, read_codecs
from python_server.errors import ExperimentError
from python_server.toml_tables import setting

if TYPE_CHECKING:
    from python_server.strategies.base import Device

__all__ = ["GroupSettings", "check_groups"]


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
        Local epochs, also where ``[train]`` counts in steps; 0: as there, or as many as the budget allows.
    cutoff_s
        Seconds of training after which they stop; 0: none.
    codec
        How their numbers travel; not given: as the experiment says, or as a budget of traffic allows.
    memory_mb
        Budget: memory for a training step beyond what the client holds anyway, in 10⁶ bytes; 0: any.
    memory_share
        The same as a share of the memory that each device tells (``memory-bytes`` among its facts); 0: any.
    step_ms
        Budget: time of a training step on the device, in milliseconds; 0: any.
    train_s
        Budget: seconds of training in a round. Epochs, or steps where ``[train]`` counts in them, are fewer where they
        would take longer; where not even one fits, training stops then.
    times_slower
        How many times slower the device is than the machine that exported the bundles, for the two above; 0: what its
        steps took in earlier rounds, and 1 until then.
    macs, parameters
        Budget: multiply-accumulates of a sample, forward, and parameters of the network that the device holds (a cut
        changes neither); 0: any.
    traffic_mb
        Budget: 10⁶ bytes of arrays in a round, both ways together, which decides the codec; 0: any.
    upload_s
        Budget: seconds of an upload at the pace of the device's earlier ones, which decides the codec; 0: any.
    battery_percent
        Devices that tell a lower charge of their battery are not asked; 0: all are.
    charging
        Devices that tell that they run on their battery are not asked.
    """

    name: str = setting()
    devices: tuple[str, ...] = setting(())
    processor: str = setting("")
    facts: Mapping[str, Any] = setting({}, read=_facts)
    variant: str = setting("")
    cut: str = setting("")
    epochs: int = setting(0, least=0, most=10_000)
    cutoff_s: float = setting(0.0, least=0)
    codec: Optional[Codecs] = setting(None, read=read_codecs)
    memory_mb: float = setting(0.0, least=0)
    memory_share: float = setting(0.0, least=0, most=1)
    step_ms: float = setting(0.0, least=0)
    train_s: float = setting(0.0, least=0)
    times_slower: float = setting(0.0, least=0)
    macs: float = setting(0.0, least=0)
    parameters: float = setting(0.0, least=0)
    traffic_mb: float = setting(0.0, least=0)
    upload_s: float = setting(0.0, least=0)
    battery_percent: float = setting(0.0, least=0, most=100)
    charging: bool = setting(False)

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
        return any((self.memory_mb, self.memory_share, self.step_ms, self.macs, self.parameters))

    @property
    def has_traffic_budget(self) -> bool:
        """Whether the codec is to be chosen by what the devices can afford."""
        return any((self.traffic_mb, self.upload_s))

    @property
    def has_conditions(self) -> bool:
        """Whether devices are asked only in a certain state."""
        return self.battery_percent > 0 or self.charging

    def slowness(self, device: Optional[Device]) -> float:
        """Return how many times slower a device is taken to be; None: any device, before anything was measured."""
        return self.times_slower or (device and device.times_slower) or 1.0

    def memory(self, device: Optional[Device]) -> float:
        """Return a device's budget of memory in 10⁶ bytes, 0: any; a share is of nothing where a device tells none."""
        told = device.facts.get(MEMORY_BYTES) if device else None
        share = self.memory_share * told / 1e6 if _is_number(told) else 0.0
        return min((limit for limit in (self.memory_mb, share) if limit), default=0.0)

    def objection(self, device: Device) -> str:
        """Return why a device is not to be asked now, empty if it is; what it does not tell is no objection."""
        percent = device.facts.get(BATTERY_PERCENT)
        if self.charging and device.facts.get(CHARGING) is False:
            return "it is not charging"
        if _is_number(percent) and percent < self.battery_percent:
            return f"its battery is at {percent:.0f} %, below {self.battery_percent:g} %"
        return ""

    def budget(self, device: Optional[Device]) -> str:
        """Return what a device can afford, in words."""
        memory, share = self.memory(device), ""
        if memory and memory != self.memory_mb:
            share = f" ({self.memory_share:g} of the memory that it tells)"
        slowness = f"times {self.slowness(device):.3g} slower" + (
            ", as measured" if not self.times_slower and device and device.times_slower else ""
        )
        limits = [
            (memory, f"{memory:.4g} MB{share}"),
            (self.step_ms, f"{self.step_ms:g} ms a step ({slowness})"),
            (self.macs, f"{self.macs:,.0f} MACs"),
            (self.parameters, f"{self.parameters:,.0f} parameters"),
        ]
        return ", ".join(text for limit, text in limits if limit)


def check_groups(groups: Sequence[GroupSettings]) -> None:
    """Raise `ExperimentError` where groups contradict each other or themselves."""
    names = [group.name for group in groups]
    for group in groups:
        if not group.name:
            raise ExperimentError("a group's name is empty; give each of [[groups]] a name")
        if names.count(group.name) > 1:
            raise ExperimentError(f"two [[groups]] have the name {group.name!r}")
        if group.codec is not None and group.has_traffic_budget:
            raise ExperimentError(
                f"group {group.name!r}: codec is given, and so is a budget that decides it; leave out one of codec and "
                "traffic_mb, upload_s"
            )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
