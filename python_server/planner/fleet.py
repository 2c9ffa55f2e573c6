"""The devices of a plan, as the simulator knows them, and where each of their figures comes from."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

import numpy as np

from deployment.inventory import DeviceEntry
from device_profiles import Profile, load_profile
from device_profiles.power_fit import PowerFitError
from edge_client.data import IMAGE_SUFFIXES
from python_server.errors import ExperimentError, PlanError
from python_server.experiment import Experiment
from python_server.model import RunBundles
from python_server.planner.calibrations import Calibrated, Calibrations
from python_server.simulation.devices import SimulatedDevice, step_seconds
from python_server.simulation.population import kind_of, populate, steps_of
from python_server.simulation.settings import ProfileSettings

__all__ = ["PlannedDevice", "of_clients", "of_experiment", "of_inventory"]


@dataclass(frozen=True, eq=False)
class PlannedDevice:
    """A device of a plan.

    Attributes
    ----------
    device
        What the virtual clock needs.
    sources
        Where its figures come from, in words: ``steps``, ``transfers``, ``power``, ``examples``, ``battery``.
    once_s
        What its first round takes beside: the features of a frozen base, which are kept.
    farm
        It is rented at Device Farm.
    remarks
        What somebody should know before believing the plan.
    """

    device: SimulatedDevice
    sources: Mapping[str, str]
    once_s: float = 0.0
    farm: bool = False
    remarks: Sequence[str] = field(default_factory=tuple)


def of_inventory(
    entries: Sequence[DeviceEntry],
    model: RunBundles,
    calibrations: Calibrations,
    *,
    examples: Optional[int] = None,
) -> list[PlannedDevice]:
    """Return the devices of an inventory.

    Parameters
    ----------
    entries
        Which.
    model
        The experiment's bundles.
    calibrations
        What is known of them.
    examples
        Training samples of each device whose data is not named; None: that is an error.

    Raises
    ------
    PlanError
        It is not known how much data a device has, or how long its steps take.
    """
    planned = []
    for entry in entries:
        count, whence = _examples(entry, examples)
        rows = np.arange(count)
        tests, _ = (count, "") if entry.test_data is None else _count(entry.name, entry.test_data)
        profile = ProfileSettings(name=entry.name, processor=entry.processor)
        known = calibrations.of(entry.name, entry.threads)
        try:
            found = _known(entry.name, profile, known, model, entry.profile or "generic", entry.threads)
        except ExperimentError:
            raise PlanError(
                f"{entry.name}: nothing says how long its steps take: it has no calibration, and the bundle was "
                f"exported without measuring; run: pocketfleet fleet calibrate BUNDLE --device {entry.name}"
            ) from None
        device = SimulatedDevice(
            entry.name, rows, np.arange(tests), found.profile, found.step_s, model.sha256, entry.bundle is None
        )
        device.batch_evaluate_s = found.batch_evaluate_s
        batches = math.ceil(count / model.bundles[""].manifest.batch_size)
        planned.append(
            PlannedDevice(
                device,
                {**found.sources, "examples": whence},
                once_s=batches * found.features_ms / 1000,
                farm=entry.connect == "device_farm",
                remarks=found.remarks,
            )
        )
    return planned


def of_experiment(
    experiment: Experiment, model: RunBundles, calibrations: Optional[Calibrations] = None
) -> list[PlannedDevice]:
    """Return the devices of an experiment's ``[[clients]]`` and ``[simulation]``."""
    planned = of_clients(experiment, model, calibrations)
    if experiment.simulation.devices:
        for device in populate(replace(experiment, clients=()), model).devices:
            planned.append(PlannedDevice(device, {**_told(device.profile), "examples": "its share of simulation.data"}))
    if not planned:
        raise PlanError(
            "the experiment names no devices: give --inventory FLEET.toml, or [[clients]] or [simulation] in the file"
        )
    return planned


def of_clients(
    experiment: Experiment, model: RunBundles, calibrations: Optional[Calibrations] = None
) -> list[PlannedDevice]:
    """Return the devices of an experiment's ``[[clients]]``.

    A calibration of a client's name goes before what ``[[simulation.profiles]]`` says of it.

    Raises
    ------
    ExperimentError
        Nothing says how long its steps take.
    """
    planned = []
    for client in experiment.clients:
        count, whence = _count(client.name, client.data)
        tests = _count(client.name, client.test_data)[0] if client.test_data else count
        bundle = model.variants[client.variant].sha256
        known = [] if calibrations is None else calibrations.of(client.name, client.threads)
        if known:
            kind = ProfileSettings(name=client.name, processor=client.processor)
            found = _known(client.name, kind, known, model, client.profile or "generic", client.threads)
            profile, steps, batch_s = found.profile, found.step_s, found.batch_evaluate_s
            sources, remarks = dict(found.sources), found.remarks
            once_s = math.ceil(count / model.bundles[""].manifest.batch_size) * found.features_ms / 1000
        else:
            profile = kind_of(client, experiment.simulation)
            steps, batch_s, sources, remarks, once_s = steps_of(profile, model), {}, _told(profile), (), 0.0
        device = SimulatedDevice(
            client.name, np.arange(count), np.arange(tests), profile, steps, bundle, takes_bundles=False
        )
        device.batch_evaluate_s = batch_s
        planned.append(PlannedDevice(device, {**sources, "examples": whence}, once_s, remarks=remarks))
    return planned


@dataclass(frozen=True)
class _Known:
    profile: ProfileSettings
    step_s: Mapping[str, Mapping[str, float]]
    batch_evaluate_s: Mapping[str, float]
    features_ms: float
    sources: Mapping[str, str]
    remarks: tuple[str, ...]


def _known(
    name: str,
    profile: ProfileSettings,
    known: Sequence[Calibrated],
    model: RunBundles,
    catalog_name: str,
    threads: int,
) -> _Known:
    """Put together what calibrations, the catalog and the export say of a device."""
    own = {each.bundle: each for each in reversed(known)}
    usual = next((each for each in known if each.bundle in model.bundles), known[0] if known else None)
    remarks: list[str] = []
    steps, words = _steps(name, profile, own, usual, model, remarks)
    sources = {"steps": words}
    power = load_profile(catalog_name)
    sources["battery"] = f"profile {power.name}" if power.battery_wh else ""
    idle_w, power_w, sources["power"] = _power(name, power, usual, threads, remarks)
    profile = replace(
        profile,
        idle_w=profile.idle_w or idle_w,
        power_w=profile.power_w or power_w,
        battery_wh=profile.battery_wh or power.battery_wh or 0.0,
        memory_mb=profile.memory_mb or (1000 * min(power.memory_gb) if power.memory_gb else 0.0),
        device="",
    )
    if usual is None:
        sources["transfers"] = _link_words(profile)
        return _Known(profile, steps, {}, 0.0, sources, tuple(remarks))
    profile = replace(
        profile,
        prepare_s=usual.prepare_s,
        download_mbps=profile.download_mbps or usual.download_mbps or 0.0,
        upload_mbps=profile.upload_mbps or usual.upload_mbps or 0.0,
        latency_s=profile.latency_s or usual.round_trip_s,
    )
    sources["transfers"] = f"calibrated {usual.when}: {usual.link_method}" if usual.link_method else "not known: none"
    batch_s = {each.bundle: each.evaluate_ms / 1000 for each in own.values()}
    features_ms = own[model.sha256].features_ms if model.sha256 in own else 0.0
    return _Known(profile, steps, batch_s, features_ms, sources, tuple(remarks))


def _steps(
    name: str,
    profile: ProfileSettings,
    own: Mapping[str, Calibrated],
    usual: Optional[Calibrated],
    model: RunBundles,
    remarks: list[str],
) -> tuple[dict[str, dict[str, float]], str]:
    """Return the seconds of steps by bundle and cut, and where those of the experiment's bundle come from."""
    whole = model.bundles[""].manifest
    slower, words = 1.0, ""
    if usual is None:
        remarks.append(f"{name} has no calibration: taken to be as fast as the machine that exported the bundle")
        words = "export: as fast as the machine that exported (no calibration)"
    elif model.sha256 in own:
        here = own[model.sha256]
        low, high = here.spread_ms[""]
        words = f"calibrated {here.when}: {here.step_ms['']:.4g} ms ({low:.3g} to {high:.3g})"
    elif usual.times_slower is None:
        raise PlanError(
            f"{name} was calibrated with another bundle ({usual.model}, {usual.bundle[:12]}) that was exported without "
            f"measuring, which says nothing of this one; run: pocketfleet fleet calibrate BUNDLE --device {name}"
        )
    else:
        slower = usual.times_slower
        changed = "the bundle has changed since" if usual.model == whole.name else f"with another bundle, {usual.model}"
        remarks.append(f"{name} was calibrated {usual.when}, and {changed}: taken from how much slower it was then")
        words = f"export × {slower:.3g}, as calibrated {usual.when} with {usual.model} {usual.bundle[:12]}"
    steps = {}
    for variant in model.variants.values():
        given = own.get(variant.sha256)
        if given is not None and set(given.step_ms) >= {"", *variant.manifest.cuts}:
            steps[variant.sha256] = {cut: ms / 1000 for cut, ms in given.step_ms.items()}
        elif usual is not None and model.sha256 in own:
            as_given = replace(profile, step_ms=dict(own[model.sha256].step_ms))
            steps[variant.sha256] = step_seconds(as_given, variant.manifest, whole)
        else:
            as_given = profile if usual is None else replace(profile, step_ms=None, times_slower=slower)
            steps[variant.sha256] = step_seconds(as_given, variant.manifest, whole)
    return steps, words


def _power(
    name: str, profile: Profile, usual: Optional[Calibrated], threads: int, remarks: list[str]
) -> tuple[float, float, str]:
    """Return idle and training power in watts, and where they come from."""
    busy = float(threads or 1)
    if usual is not None:
        busy = next(
            (each["cpu_s"] / each["wall_s"] for each in usual.power if each["threads"] and each["wall_s"]), busy
        )
        counted = usual.counted_power
        if len(counted) == 1 and counted[0]["threads"]:
            sample = counted[0]
            idle_w = profile.power.idle_w if sample["idle_j"] is None else sample["idle_j"] / sample["wall_s"]
            return idle_w, sample["energy_j"] / sample["wall_s"], f"{sample['source']}, in training on {usual.when}"
        try:
            fit = usual.power_fit()
        except PowerFitError as error:
            remarks.append(f"{name}: its power as calibrated is not used: {error}")
            fit = None
        if fit is not None:
            model = fit.power
            return model.idle_w, model.idle_w + busy * model.busy_w_per_core, f"{fit}; {model.source}"
    model = profile.power
    words = f"modelled: {model.idle_w:g} W + {model.busy_w_per_core:g} W × {busy:.2g} cores (profile {profile.name}: "
    return model.idle_w, model.idle_w + busy * model.busy_w_per_core, f"{words}{model.source})"


def _told(profile: ProfileSettings) -> dict[str, str]:
    """Return where the figures of a device come from that the experiment file describes."""
    told = f"profile {profile.name!r} of the experiment"
    steps = f"{told}: step_ms" if profile.step_ms else f"export × {profile.times_slower:g} ({told})"
    power = f"modelled: {profile.power_w:g} W while training ({told}{_catalog_words(profile)})"
    return {
        "steps": steps,
        "transfers": _link_words(profile),
        "power": power if profile.power_w else "",
        "battery": told if profile.battery_wh else "",
    }


def _catalog_words(profile: ProfileSettings) -> str:
    if not profile.device:
        return ""
    return f"; where not given there, {profile.device}: {load_profile(profile.device).power.source}"


def _link_words(profile: ProfileSettings) -> str:
    if not (profile.download_mbps or profile.upload_mbps):
        return "not known: transfers take no time"
    return (
        f"profile {profile.name!r} of the experiment: {profile.download_mbps:g} down, {profile.upload_mbps:g} Mbit/s up"
    )


def _examples(entry: DeviceEntry, examples: Optional[int]) -> tuple[int, str]:
    if entry.data is not None:
        return _count(entry.name, entry.data)
    if examples is None:
        raise PlanError(
            f"{entry.name}: the inventory names no data of it, so its number of steps is not known; give --examples N"
        )
    return examples, "assumed (--examples)"


def _count(name: str, path: Path) -> tuple[int, str]:
    """Return how many samples a client's data has, without reading them."""
    try:
        if path.is_dir():
            count = sum(file.suffix.lower() in IMAGE_SUFFIXES for file in path.glob("*/*"))
        else:
            with np.load(path, allow_pickle=False) as archive:
                count = len(archive["y"])
    except FileNotFoundError:
        raise PlanError(f"{name}: there is no {path}") from None
    except (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise PlanError(f"{name}: {path}: not a client's data: {error}") from None
    if not count:
        raise PlanError(f"{name}: {path} holds no samples")
    return count, path.name
