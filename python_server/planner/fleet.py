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
from edge_client.data import IMAGE_SUFFIXES
from python_server.errors import ExperimentError, PlanError
from python_server.experiment import Experiment
from python_server.model import RunBundles
from python_server.planner.calibrations import Calibrations
from python_server.planner.known import known_of, told
from python_server.simulation.devices import SimulatedDevice
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
            found = known_of(entry.name, profile, known, model, entry.profile or "generic", entry.threads)
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
            sources = told(device.profile, described=bool(experiment.simulation.profiles))
            planned.append(PlannedDevice(device, {**sources, "examples": "its share of simulation.data"}))
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
            found = known_of(client.name, kind, known, model, client.profile or "generic", client.threads)
            profile, steps, batch_s = found.profile, found.step_s, found.batch_evaluate_s
            sources, remarks = dict(found.sources), found.remarks
            once_s = math.ceil(count / model.bundles[""].manifest.batch_size) * found.features_ms / 1000
        else:
            profile = kind_of(client, experiment.simulation)
            if not profile.power_w:
                profile = replace(profile, device=client.profile or "generic", threads=client.threads).completed()
            sources = told(profile, described=bool(experiment.simulation.profiles))
            steps, batch_s, remarks, once_s = steps_of(profile, model), {}, (), 0.0
        device = SimulatedDevice(
            client.name, np.arange(count), np.arange(tests), profile, steps, bundle, takes_bundles=False
        )
        device.batch_evaluate_s = batch_s
        planned.append(PlannedDevice(device, {**sources, "examples": whence}, once_s, remarks=remarks))
    return planned


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
