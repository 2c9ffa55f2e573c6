"""Simulated devices: what each holds, and how long it takes for what.

All of it is modelled: steps times the time of a step, bytes over a bandwidth, watts times seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional, Union

import numpy as np

from device_profiles import load_profile
from edge_client.records import PREVIOUS_UPLOAD_BYTES, PREVIOUS_UPLOAD_ENERGY, PREVIOUS_UPLOAD_ROUND, PREVIOUS_UPLOAD_S
from model_export.manifest import Manifest
from python_server.errors import ExperimentError
from python_server.simulation.settings import ProfileSettings

__all__ = ["Joules", "SimulatedDevice", "kinds_of", "step_seconds"]

_BACKWARD = 2
"""Backward passes cost about twice the multiply-accumulates of forward passes."""


_FORWARD_SHARE = 1 / 3
"""Share of a training step's time that evaluating a batch takes: forward without backward."""

Joules = tuple[float, float]
"""Gross, and the idle share of it."""


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
        Time of a training step: by hash of the bundle, by cut.
    bundle
        Hash of the bundle that it holds.
    takes_bundles
        Whether it takes another one from the server.
    busy_until
        Virtual second at which it is done with what it does.
    upload
        Round, seconds and bytes of its last upload, which it tells of with its next answer.
    upload_j
        Gross and idle joules of it; None: no power is known.
    batch_evaluate_s
        Time to evaluate a batch, by hash of the bundle; a third of a training step where it is not given.
    work_j
        Joules above idle that its work has taken so far.
    """

    name: str
    rows: np.ndarray
    test_rows: np.ndarray
    profile: ProfileSettings
    step_s: Mapping[str, Mapping[str, float]]
    bundle: str
    takes_bundles: bool = True
    busy_until: float = 0.0
    upload: tuple[int, float, int] = field(default=(0, 0.0, 0))
    upload_j: Optional[Joules] = None
    batch_evaluate_s: Mapping[str, float] = field(default_factory=dict)
    work_j: float = 0.0

    def download_s(self, size: int) -> float:
        """Return the seconds that it takes to fetch ``size`` bytes."""
        return _transfer_s(size, self.profile.download_mbps, self.profile.latency_s)

    def upload_s(self, size: int) -> float:
        """Return the seconds that it takes to send ``size`` bytes."""
        return _transfer_s(size, self.profile.upload_mbps, self.profile.latency_s)

    def evaluate_s(self, batches: int) -> float:
        """Return the seconds that it takes to evaluate so many batches."""
        return batches * self.batch_evaluate_s.get(self.bundle, self.step_s[self.bundle][""] * _FORWARD_SHARE)

    def told_upload(self) -> dict[str, Union[int, float]]:
        """Return what it tells of its last upload."""
        number, seconds, size = self.upload
        told: dict[str, Union[int, float]] = {
            PREVIOUS_UPLOAD_ROUND: number,
            PREVIOUS_UPLOAD_S: seconds,
            PREVIOUS_UPLOAD_BYTES: size,
        }
        if self.upload_j is not None:
            told.update(zip(PREVIOUS_UPLOAD_ENERGY, self.upload_j))
        return told

    @property
    def energy_source(self) -> str:
        """Where its joules come from, in words; empty where no power is known."""
        profile = self.profile
        known = ""
        if profile.device:
            known = f"; where not given there, {profile.device}: {load_profile(profile.device).power.source}"
        words = f"{profile.power_w:g} W while training, {profile.idle_w:g} W idle (profile {profile.name}{known})"
        return words if profile.power_w else ""

    def joules(self, phase: str, seconds: float) -> Joules:
        """Return gross and idle joules of so many seconds of a phase."""
        profile = self.profile
        transfer_w = profile.transfer_w or profile.idle_w
        watts = {"train": profile.power_w, "evaluate": profile.power_w, "wait": profile.idle_w}.get(phase, transfer_w)
        return watts * seconds, profile.idle_w * seconds

    def charge_percent(self, now: float, more_j: float = 0.0) -> Optional[float]:
        """Return the charge of its battery at a virtual second, after some more work; None where it has none."""
        capacity_j = 3600 * self.profile.battery_wh
        if not capacity_j:
            return None
        used_j = self.profile.idle_w * now + self.work_j + more_j
        return max(0.0, self.profile.battery_percent - 100 * used_j / capacity_j)


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


def step_seconds(profile: ProfileSettings, manifest: Manifest, whole: Manifest) -> dict[str, float]:
    """Return the seconds of a training step by cut; "" is all that the bundle trains.

    Parameters
    ----------
    profile
        The kind of device; its ``step_ms`` are of the experiment's bundle.
    manifest
        Of the bundle that the device holds: the experiment's or a variant, whose times are in proportion.
    whole
        Of the experiment's bundle.

    Raises
    ------
    ExperimentError
        Neither the profile nor the bundle says how long a step takes, or the profile names a cut that is none.
    """
    given = profile.step_ms or {}
    unknown = sorted(set(given) - {"", *whole.cuts})
    if unknown:
        raise ExperimentError(
            f"simulation.profiles: {profile.name!r} has a step_ms for {unknown[0]!r}, which is no cut of the bundle; "
            f"it has: {', '.join(whole.cuts) or 'none'}"
        )
    measured = whole.costs.measured
    if measured is None and not given:
        raise ExperimentError(
            f"simulation.profiles: {profile.name!r} has no step_ms, and the bundle does not say what its steps "
            "take; give step_ms, or export the bundle without --no-measure"
        )
    if measured is not None and manifest.costs.measured is not None:
        own, weights = _measured_ms(manifest), _measured_ms(whole)
    else:
        own, weights = _work(manifest), _work(whole)
    known, known_ms = next(iter(given.items())) if given else ("", profile.times_slower * _measured_ms(whole)[""])
    times = {cut: weight * known_ms / weights[known] / 1000 for cut, weight in own.items()}
    return {**times, **{cut: ms / 1000 for cut, ms in given.items()}} if manifest is whole else times


def _measured_ms(manifest: Manifest) -> dict[str, float]:
    """Return the milliseconds of a step by cut, as measured at export."""
    assert manifest.costs.measured is not None
    figures = manifest.costs.measured.signatures
    return {cut: figures[manifest.training_signature(cut)].step_ms for cut in ("", *manifest.cuts)}


def _work(manifest: Manifest) -> dict[str, float]:
    """Return the multiply-accumulates of a step by cut: forward where carried, backward where trained."""
    carried = next(i for i, layer in enumerate(manifest.layers) if layer.variables)
    names = [layer.name for layer in manifest.layers]
    forward = sum(layer.macs for layer in manifest.layers[carried:])
    backward = {
        cut: _BACKWARD * sum(layer.macs for layer in manifest.layers[names.index(cut) if cut else carried :])
        for cut in ("", *manifest.cuts)
    }
    return {cut: manifest.batch_size * (forward + macs) or 1.0 for cut, macs in backward.items()}


def _transfer_s(size: int, mbps: float, latency_s: float) -> float:
    return latency_s + (size * 8 / (mbps * 1e6) if mbps else 0.0)
