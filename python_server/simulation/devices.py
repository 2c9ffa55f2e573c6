"""Simulated devices: what each holds, and how long it takes for what.

All of it is modelled: steps times the time of a step, bytes over a bandwidth, watts times seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from model_export.manifest import Manifest
from python_server.errors import ExperimentError
from python_server.simulation.settings import ProfileSettings

__all__ = ["SimulatedDevice", "kinds_of", "step_seconds"]

_BACKWARD = 2
"""Backward passes cost about twice the multiply-accumulates of forward passes."""


@dataclass
class SimulatedDevice:
    """One device.

    Attributes
    ----------
    name
        What server and report call it; with the round's seed it decides the order of its samples.
    rows, test_rows
        Its samples in the simulation's data, to train and to evaluate on.
    profile
        Its kind.
    step_s
        Time of a training step, by cut.
    busy_until
        Virtual second at which it is done with what it does.
    upload
        Round, seconds and bytes of its last upload, which it tells of with its next answer.
    """

    name: str
    rows: np.ndarray
    test_rows: np.ndarray
    profile: ProfileSettings
    step_s: Mapping[str, float]
    busy_until: float = 0.0
    upload: tuple[int, float, int] = field(default=(0, 0.0, 0))

    def download_s(self, size: int) -> float:
        """Return the seconds that it takes to fetch ``size`` bytes."""
        return _transfer_s(size, self.profile.download_mbps, self.profile.latency_s)

    def upload_s(self, size: int) -> float:
        """Return the seconds that it takes to send ``size`` bytes."""
        return _transfer_s(size, self.profile.upload_mbps, self.profile.latency_s)

    def energy(self, seconds: float) -> tuple[float, float, str]:
        """Return joules of so many seconds of training, the idle share of them, and where they come from."""
        power, idle = self.profile.power_w, self.profile.idle_w
        source = f"{power:g} W while training, {idle:g} W idle (profile {self.profile.name})"
        return power * seconds, idle * seconds, source if power else ""


def kinds_of(profiles: Sequence[ProfileSettings], count: int, random: np.random.Generator) -> list[ProfileSettings]:
    """Give each of ``count`` devices a profile: shares as exact as whole devices allow, in random order.

    Raises
    ------
    ExperimentError
        All shares are 0.
    """
    shares = np.array([profile.share for profile in profiles], float)
    if not shares.sum():
        raise ExperimentError("simulation.profiles: all shares are 0; give one of them a share")
    exact = shares / shares.sum() * count
    counts = np.floor(exact).astype(int)
    for index in np.argsort(counts - exact, kind="stable")[: count - counts.sum()]:
        counts[index] += 1
    kinds = [profile for profile, number in zip(profiles, counts) for _ in range(number)]
    return [kinds[index] for index in random.permutation(count)]


def step_seconds(profile: ProfileSettings, manifest: Manifest) -> dict[str, float]:
    """Return the seconds of a training step by cut; "" is all that the bundle trains.

    Raises
    ------
    ExperimentError
        Neither the profile nor the bundle says how long a step takes, or the profile names a cut that is none.
    """
    given = profile.step_ms or {}
    unknown = sorted(set(given) - {"", *manifest.cuts})
    if unknown:
        raise ExperimentError(
            f"simulation.profiles: {profile.name!r} has a step_ms for {unknown[0]!r}, which is no cut of the bundle; "
            f"it has: {', '.join(manifest.cuts) or 'none'}"
        )
    measured = manifest.costs.measured
    signatures = {cut: manifest.training_signature(cut) for cut in ("", *manifest.cuts)}
    if measured is not None:
        weights = {cut: measured.signatures[name].step_ms for cut, name in signatures.items()}
    else:
        weights = {cut: _work(manifest, cut) for cut in signatures}
        if not given:
            raise ExperimentError(
                f"simulation.profiles: {profile.name!r} has no step_ms, and the bundle does not say what its steps "
                "take; give step_ms, or export the bundle without --no-measure"
            )
    known = next(iter(given), "")
    scale = given[known] / weights[known] if given else profile.times_slower
    return {cut: given.get(cut, weight * scale) / 1000 for cut, weight in weights.items()}


def _work(manifest: Manifest, cut: str) -> float:
    """Return the multiply-accumulates of a step: forward through the carried layers, backward to the first trained."""
    carried = next(i for i, layer in enumerate(manifest.layers) if layer.variables)
    first = [layer.name for layer in manifest.layers].index(cut) if cut else carried
    forward = sum(layer.macs for layer in manifest.layers[carried:])
    return forward + _BACKWARD * sum(layer.macs for layer in manifest.layers[first:]) or 1.0


def _transfer_s(size: int, mbps: float, latency_s: float) -> float:
    return latency_s + (size * 8 / (mbps * 1e6) if mbps else 0.0)
