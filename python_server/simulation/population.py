"""Who takes part in a simulation, and with which samples: an experiment's ``[[clients]]`` and its ``[simulation]``."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import numpy as np

from edge_client.data import Dataset, load_dataset
from model_export.manifest import Manifest
from python_server.errors import ExperimentError, PartitionError
from python_server.experiment import ClientSettings, Experiment
from python_server.model import RunBundles
from python_server.partition import by_domain, by_label, by_user, iid, shards
from python_server.simulation.devices import SimulatedDevice, kinds_of, step_seconds
from python_server.simulation.settings import ProfileSettings, SimulationSettings

__all__ = ["Population", "kind_of", "populate", "steps_of"]

_AVERAGE = ProfileSettings(name="default")


@dataclass(frozen=True)
class Population:
    """Devices, and the samples of all of them in one array."""

    devices: list[SimulatedDevice]
    data: Dataset


def populate(experiment: Experiment, model: RunBundles) -> Population:
    """Make the devices of an experiment.

    A ``[[clients]]`` entry holds the bundle that it names and takes no other, like the processes that ``train``
    starts. A device that is made up begins with the experiment's bundle, and takes any of the run.

    Parameters
    ----------
    experiment
        What its file says.
    model
        Its bundles.

    Raises
    ------
    ExperimentError
        There are none, or their data or kind is not said.
    PartitionError
        The data cannot be split as asked.
    edge_client.errors.DataError
        A file of data cannot be used.
    """
    simulation = experiment.simulation
    seed = experiment.seed if simulation.seed < 0 else simulation.seed
    samples = _Samples(model.bundles[""].manifest)
    devices = [_client(client, simulation, samples, model) for client in experiment.clients]
    if simulation.devices:
        devices += _made_up(simulation, seed, samples, model)
    elif simulation.data is not None:
        raise ExperimentError("simulation.data is given and simulation.devices is not; say how many devices share it")
    if not devices:
        raise ExperimentError("there are no devices: give [simulation] devices and data, or [[clients]]")
    names = [device.name for device in devices]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ExperimentError(f"client {twice!r} has the name of a device that [simulation] makes; rename it")
    return Population(devices, samples.together())


class _Samples:
    """Collects data sets into one."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._parts: list[Dataset] = []
        self._rows: dict[Path, np.ndarray] = {}
        self._count = 0

    def add(self, path: Path) -> np.ndarray:
        """Return the rows that a file's samples have in the whole; a file is read once."""
        if path not in self._rows:
            part = load_dataset(path, self._manifest.input, self._manifest.classes)
            if self._parts and part.x.dtype != self._parts[0].x.dtype:
                raise ExperimentError(
                    f"{path}: x is {part.x.dtype}, that of {self._parts[0].name} is {self._parts[0].x.dtype}; "
                    "all clients' data have to be of one type"
                )
            self._parts.append(part)
            self._rows[path] = np.arange(self._count, self._count + len(part))
            self._count += len(part)
        return self._rows[path]

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """Return the labels of rows."""
        labels: np.ndarray = np.concatenate([part.y for part in self._parts])[rows]
        return labels

    def together(self) -> Dataset:
        """Return all samples."""
        if len(self._parts) == 1:
            return self._parts[0]
        x = np.concatenate([part.x for part in self._parts])
        return Dataset(x, np.concatenate([part.y for part in self._parts]), "the simulated devices' data")


def kind_of(client: ClientSettings, simulation: SimulationSettings) -> ProfileSettings:
    """Return what ``[[simulation.profiles]]`` says of an entry of ``[[clients]]``.

    Raises
    ------
    ExperimentError
        There are profiles, and none is of its name, its processor or its profile.
    """
    kinds = {profile.name: profile for profile in simulation.profiles}
    profile = next((kinds[name] for name in (client.name, client.processor, client.profile) if name in kinds), None)
    if profile is None:
        if kinds:
            raise ExperimentError(
                f"client {client.name!r} is of no kind in [[simulation.profiles]]: none is called {client.name!r} or "
                f"{client.processor!r}; there are: {', '.join(kinds)}"
            )
        profile = _AVERAGE
    return replace(profile, processor=client.processor).completed()


def _client(
    client: ClientSettings, simulation: SimulationSettings, samples: _Samples, model: RunBundles
) -> SimulatedDevice:
    profile = kind_of(client, simulation)
    rows = samples.add(client.data)
    test = samples.add(client.test_data) if client.test_data else rows
    bundle = model.variants[client.variant].sha256
    return SimulatedDevice(client.name, rows, test, profile, steps_of(profile, model), bundle, takes_bundles=False)


def steps_of(profile: ProfileSettings, model: RunBundles) -> dict[str, dict[str, float]]:
    """Return the seconds of a step by bundle and cut; as `python_server.simulation.devices.step_seconds`."""
    whole = model.bundles[""].manifest
    return {variant.sha256: step_seconds(profile, variant.manifest, whole) for variant in model.variants.values()}


def _made_up(simulation: SimulationSettings, seed: int, samples: _Samples, model: RunBundles) -> list[SimulatedDevice]:
    if simulation.data is None:
        raise ExperimentError("simulation.data is missing: the samples that the simulated devices share")
    rows = samples.add(simulation.data)
    try:
        parts = _partition(simulation, samples.labels(rows), seed)
    except PartitionError as error:
        raise PartitionError(f"{simulation.data}: {error}") from None
    profiles = [profile.completed() for profile in simulation.profiles] or [_AVERAGE]
    kinds = kinds_of(profiles, simulation.devices, np.random.default_rng([seed, 1]))
    steps = {profile.name: steps_of(profile, model) for profile in profiles}
    width = len(str(simulation.devices - 1))
    return [
        SimulatedDevice(f"device-{index:0{width}d}", rows[part], rows[part], kind, steps[kind.name], model.sha256)
        for index, (part, kind) in enumerate(zip(parts, kinds))
    ]


def _partition(simulation: SimulationSettings, labels: np.ndarray, seed: int) -> Sequence[np.ndarray]:
    devices = simulation.devices
    if simulation.partition == "dirichlet":
        return by_label(labels, devices, alpha=simulation.alpha, seed=seed)
    if simulation.partition == "shards":
        return shards(labels, devices, classes=simulation.classes, seed=seed)
    if simulation.partition == "domain":
        return by_domain(_column(simulation, "domain", len(labels)), devices, seed=seed)
    if simulation.partition == "user":
        return by_user(_column(simulation, "user", len(labels)), devices, seed=seed)
    return iid(len(labels), devices, seed=seed)


def _column(simulation: SimulationSettings, default: str, count: int) -> np.ndarray:
    path, name = simulation.data, simulation.column or default
    assert path is not None
    values: Optional[np.ndarray] = None
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as file:
                values = file[name] if name in file.files else None
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ExperimentError(f"{path}: {error}") from None
    if values is None:
        raise ExperimentError(f"{path} has no array {name!r}, which partition = {simulation.partition!r} needs")
    if values.shape != (count,):
        raise ExperimentError(f"{path}: array {name!r} is {list(values.shape)}; it has to name one for each sample")
    return values
