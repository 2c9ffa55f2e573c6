"""An experiment without devices: simulated ones, the same round loop, a run directory like any other."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import numpy as np

from edge_client.data import Dataset, load_dataset
from model_export.quiet import quiet
from python_server.experiment import Experiment
from python_server.model import Evaluation, RunBundles
from python_server.new_run import TrainResult, check_fit, create_run, load_run, recording_the_end, reopen_run
from python_server.progress import Progress
from python_server.round_loop import RoundLoop
from python_server.run_rows import RoundRow
from python_server.simulation.backend import use_backend
from python_server.simulation.clock import VirtualClock
from python_server.simulation.engine import Engine
from python_server.simulation.exchange import VirtualExchange
from python_server.simulation.population import Population, populate
from python_server.simulation.settings import SimulationSettings
from python_server.simulation.standing import Standings
from python_server.simulation.work import Workshop
from python_server.store import RunStore

__all__ = ["load_simulation", "simulate"]

_KEPT = "local_weights"
"""Folder in the run directory: what devices keep between rounds, so that an interrupted run goes on from it."""
_STANDING = "simulated_devices"
"""Folder in the run directory: what they came to after the last rounds, until the run ends."""
_SHOWN = 60
"""Devices whose classes the report draws."""


class _EngineModel(RunBundles):
    """The bundles of a run, the experiment's own evaluated by the engine; a `python_server.model.GlobalModel`."""

    engine: Engine
    test: Optional[Dataset] = None

    def evaluate(self, weights: Mapping[str, np.ndarray], bundle: str = "") -> Optional[Evaluation]:
        """Evaluate weights of a bundle (empty: the experiment's own) on the held-out data; None where there is none."""
        if self.test is None:
            return None
        loss, accuracy = self.engine.evaluate(weights, self.test, bundle)
        return loss, accuracy, len(self.test)


def load_simulation(run: Path) -> Experiment:
    """Return the experiment of an existing simulated run.

    Raises
    ------
    StoreError
        It is not a run directory, or one of real devices.
    """
    return load_run(run, simulated=True)


def simulate(experiment: Experiment, *, runs: Path, progress: Progress, resume: Optional[Path] = None) -> TrainResult:
    """Do an experiment with simulated devices.

    Parameters
    ----------
    experiment
        What to do; for a resumed run the one from `load_simulation`.
    runs
        Directory of run directories, for a new run.
    progress
        Hears how it goes.
    resume
        The run directory to go on in.

    Raises
    ------
    ServerError
        Something failed; where a run had begun, it can be resumed.
    model_export.errors.BundleError, edge_client.errors.EdgeError
        The bundle or data cannot be used.
    """
    experiment.check_files()
    trusted = experiment.model.trusted_key
    with experiment.naming():
        model = _EngineModel(
            experiment.model.bundle,
            trusted_key=trusted.read_bytes() if trusted else None,
            variants={variant.name: variant.bundle for variant in experiment.variants},
        )
    check_fit(experiment, model)
    if experiment.evaluate.server and experiment.data.test is not None:
        manifest = model.bundles[""].manifest
        model.test = load_dataset(experiment.data.test, manifest.input, manifest.classes)
    with experiment.naming():
        population = populate(experiment, model)

    def work(engine: Engine) -> TrainResult:
        model.engine = engine
        if resume is None:
            store = create_run(experiment, runs, model, _facts(experiment, population))
        else:
            store = reopen_run(resume, experiment, model)
        try:
            return _simulate(experiment, store, model, population, progress)
        finally:
            store.close()

    if experiment.simulation.engine == "flower":
        from python_server.simulation.flower_engine import within_flower

        return within_flower(model.bundles, population.data, work)
    from python_server.simulation.local_engine import LocalEngine

    by_keras = experiment.simulation.backend != "tflite"
    if by_keras:
        use_backend(experiment.simulation.backend)
    with quiet():
        engine = LocalEngine(
            model.bundles, population.data, side_by_side=experiment.simulation.side_by_side, keras=by_keras
        )
    return work(engine)


def _simulate(
    experiment: Experiment,
    store: RunStore,
    model: _EngineModel,
    population: Population,
    progress: Progress,
) -> TrainResult:
    checkpoint = store.checkpoint()
    if checkpoint is not None and checkpoint.row.round >= experiment.rounds:
        return TrainResult(store.path, checkpoint.row)
    store.start()
    simulation = experiment.simulation
    standings = Standings(store.path / _STANDING)
    standing = standings.load(checkpoint.row.round) if checkpoint else None
    passed_s = standing["now"] if standing else 0.0
    clock = VirtualClock(_goes_on_at(checkpoint.row) - passed_s if checkpoint else time.time())
    exchange = VirtualExchange(
        population.devices,
        model.engine,
        population.data,
        Workshop(model.bundles, store.path / _KEPT),
        clock,
        dropout=simulation.dropout,
        overhead_s=simulation.overhead_s,
        seed=experiment.seed if simulation.seed < 0 else simulation.seed,
        on_late=lambda late: loop.note_late(late),
        on_done=lambda number: standings.save(number, exchange.standing()),
    )
    if standing:
        exchange.restore(standing)
    progress.simulating(store.path, len(population.devices), checkpoint.row.round if checkpoint else None)
    loop = RoundLoop(experiment, store, model, exchange, names={}, progress=progress, clock=clock)
    with recording_the_end(store):
        last = loop.run()
        store.finish("finished", uploads=loop.collect_last_uploads())
    for folder in (_KEPT, _STANDING):
        shutil.rmtree(store.path / folder, ignore_errors=True)
    return TrainResult(store.path, last)


def _goes_on_at(row: RoundRow) -> float:
    return row.started_at + row.wall_s


def _facts(experiment: Experiment, population: Population) -> dict[str, str]:
    """Return what the run's meta data say of the simulation."""
    y = population.data.y
    classes = int(y.max()) + 1
    split = {
        device.name: np.bincount(y[device.rows], minlength=classes).tolist() for device in population.devices[:_SHOWN]
    }
    versions = {}
    for package in ("keras", "jax", "tensorflow", "flwr"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "mode": "simulated",
        "engine": experiment.simulation.engine,
        "backend": _backend(experiment.simulation),
        "devices": str(len(population.devices)),
        "split": json.dumps(split),
        **versions,
    }


def _backend(simulation: SimulationSettings) -> str:
    if simulation.engine != "local":
        return "TensorFlow Lite on Ray"
    return "TensorFlow Lite" if simulation.backend == "tflite" else os.environ.get("KERAS_BACKEND", "")
