"""What a client does with a task: set weights, train or evaluate, measure, answer.

Both the lean client and the Flower ``ClientApp`` hand their tasks to a `Worker`; it knows nothing of the network.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Union

import numpy as np

from edge_client.bundle_store import BundleStore
from edge_client.data import Dataset, load_dataset
from edge_client.errors import DivergedError
from edge_client.feature_cache import FeatureCache
from edge_client.meters import Energy, EnergyMeter, find_meter
from edge_client.records import ACCEPTS_BUNDLE, BUNDLE, EVALUATE, QUERY, TRAIN, Arrays, Reply, Scalar, Task
from edge_client.runtime import available_runtime
from edge_client.trainer import Trainer
from model_export.bundle import Bundle

__all__ = ["TaskError", "Worker"]

_PathLike = Union[str, "os.PathLike[str]"]
_DEFAULT_LEARNING_RATE = 0.01


class TaskError(ValueError):
    """A task that makes no sense to this client."""


@dataclass(frozen=True)
class _Job:
    """A bundle's model and the data that fits it."""

    trainer: Trainer
    dataset: Dataset
    test_dataset: Dataset


class Worker:
    """One client's model and data.

    Parameters
    ----------
    bundle
        Path of the bundle; or a store for bundles that the server sends, which may be empty at first.
    data
        Path of the client's training data; see `edge_client.data.load_dataset`.
    test_data
        Path of the client's own test data; None evaluates on the training data.
    name
        What the server and the report call this device.
    processor
        Class of the processor, for processor-specific cutoffs: ``cpu``, ``gpu``, ….
    profile
        Device profile, for a modelled energy figure where there is no sensor.
    num_threads
        Threads of the interpreter; None takes what is fastest.
    cache_features
        Keep the features of a frozen base; see `edge_client.fit.fit`.
    feature_cache
        Where they are kept for other runs too; None keeps them in memory alone.
    trusted_key
        PEM of the public key that must have signed the bundle; a store has its own.
    on_step
        Called with steps done and planned.

    Raises
    ------
    model_export.errors.BundleError, edge_client.errors.DataError, edge_client.errors.NoRuntimeError
        Bundle, data or runtime cannot be used.
    """

    def __init__(
        self,
        bundle: Union[_PathLike, BundleStore],
        data: _PathLike,
        *,
        test_data: Optional[_PathLike] = None,
        name: str = "",
        processor: str = "cpu",
        profile: str = "generic",
        num_threads: Optional[int] = None,
        cache_features: bool = True,
        feature_cache: Optional[FeatureCache] = None,
        trusted_key: Optional[bytes] = None,
        on_step: Optional[Callable[[int, int], None]] = None,
    ) -> None:
        self.name = name or f"{platform.node()}-{Path(data).stem}"
        self.processor = processor
        self.profile = profile
        self._data = Path(data)
        self._test_data = Path(test_data) if test_data else None
        self._num_threads = num_threads
        self._meter: EnergyMeter = find_meter(profile)
        self._cache_features = cache_features
        self._feature_cache = feature_cache
        self._on_step = on_step
        self._store = bundle if isinstance(bundle, BundleStore) else None
        first = bundle.current() if isinstance(bundle, BundleStore) else Bundle.load(bundle, trusted_key=trusted_key)
        self._job = self._open(first) if first is not None else None

    @property
    def trainer(self) -> Trainer:
        """The model.

        Raises
        ------
        TaskError
            No bundle has arrived yet.
        """
        return self._loaded().trainer

    def handle(self, task: Task) -> Reply:
        """Do what the server asks.

        Raises
        ------
        TaskError
            The kind of task is unknown, or its plan has a value that makes no sense.
        edge_client.errors.EdgeError, model_export.errors.BundleError
            The weights, the data or a bundle that came with the task do not fit.
        """
        if task.kind == QUERY:
            if BUNDLE in task.arrays:
                self._install(task)
            return Reply(metrics={"num-examples": self._examples()}, info=self.facts())
        if task.kind == TRAIN:
            return self._train(task)
        if task.kind == EVALUATE:
            return self._evaluate(task)
        raise TaskError(f"unknown kind of task {task.kind!r}")

    def facts(self) -> dict[str, Scalar]:
        """Return what the server may know of this device."""
        job = self._job
        return {
            "name": self.name,
            "processor": self.processor,
            "profile": self.profile,
            "num-examples": self._examples(),
            "classes-held": len(set(job.dataset.y.tolist())) if job else 0,
            BUNDLE: job.trainer.bundle.sha256 if job else "",
            ACCEPTS_BUNDLE: self._store is not None,
            "model": job.trainer.manifest.name if job else "",
            "runtime": available_runtime(),
            "threads": self._num_threads or 0,
            "system": platform.platform(),
            "machine": platform.machine(),
            "cores": os.cpu_count() or 0,
            "python": platform.python_version(),
        }

    def _open(self, bundle: Bundle) -> _Job:
        trainer = Trainer(bundle, num_threads=self._num_threads, feature_cache=self._feature_cache)
        manifest = trainer.manifest
        dataset = load_dataset(self._data, manifest.input, manifest.classes)
        test = load_dataset(self._test_data, manifest.input, manifest.classes) if self._test_data else dataset
        return _Job(trainer, dataset, test)

    def _install(self, task: Task) -> None:
        """Change over to a bundle that came with a query; the old one stays in use if it cannot be used."""
        if self._store is None:
            raise TaskError("this client was started with a bundle of its own (--bundle) and takes no other")
        bundle = self._store.add(task.arrays[BUNDLE].tobytes(), _text(task.config, BUNDLE, ""))
        job = self._open(bundle)
        self._store.use(bundle)
        self._job = job

    def _loaded(self) -> _Job:
        if self._job is None:
            raise TaskError("this client has no bundle yet; the server has to send it one first")
        return self._job

    def _examples(self) -> int:
        return len(self._job.dataset) if self._job else 0

    def _train(self, task: Task) -> Reply:
        job = self._loaded()
        plan, trainer, dataset = task.config, job.trainer, job.dataset
        cut = _text(plan, "cut", "")
        epochs = _whole(plan, "epochs", 1)
        learning_rate = _number(plan, "learning-rate", _DEFAULT_LEARNING_RATE)
        mu, cutoff_s = _number(plan, "proximal-mu", 0.0), _number(plan, "cutoff-s", 0.0)
        which = _text(plan, "reply-arrays", "trained")
        if which not in ("trained", "all"):
            raise TaskError(f"reply-arrays is {which!r}; it may be 'trained' or 'all'")
        # The same round of the same run is the same work, whichever process does it.
        seed = zlib.crc32(f"{_whole(plan, 'seed', 0)}/{_whole(plan, 'server-round', 0)}/{self.name}".encode())
        cpu_start, start = time.process_time(), time.monotonic()
        trainer.set_weights(task.arrays)
        set_s = time.monotonic() - start
        with self._meter:
            result = trainer.fit(
                dataset,
                epochs,
                learning_rate=learning_rate,
                cut=cut,
                mu=mu,
                seed=seed,
                cutoff_s=cutoff_s,
                cache_features=self._cache_features,
                on_step=self._on_step,
            )
        start = time.monotonic()
        weights = trainer.weights()
        if which == "trained":
            weights = {path: weights[path] for path in trainer.trained(cut)}
        _check_finite(weights)
        metrics: dict[str, Union[int, float]] = {
            "num-examples": len(dataset),
            "examples-processed": result.examples_processed,
            "steps": result.steps,
            "planned-steps": result.planned_steps,
            "train-loss": result.loss,
            "train-s": result.train_s,
            "features-s": result.features_s,
            "prepare-s": set_s + time.monotonic() - start,
            "cpu-s": time.process_time() - cpu_start,
            "peak-memory-bytes": _peak_memory_bytes(),
        }
        energy = self._meter.energy
        metrics.update(_energy_metrics(energy))
        return Reply(metrics=metrics, arrays=weights, info=self._info(energy))

    def _evaluate(self, task: Task) -> Reply:
        job = self._loaded()
        job.trainer.set_weights(task.arrays)
        start = time.monotonic()
        with self._meter:
            loss, accuracy = job.trainer.evaluate(job.test_dataset.x, job.test_dataset.y)
        energy = self._meter.energy
        metrics: dict[str, Union[int, float]] = {
            "num-examples": len(job.test_dataset),
            "eval-loss": loss,
            "eval-accuracy": accuracy,
            "evaluate-s": time.monotonic() - start,
        }
        metrics.update(_energy_metrics(energy))
        return Reply(metrics=metrics, info=self._info(energy))

    def _info(self, energy: Optional[Energy]) -> dict[str, Scalar]:
        return {
            "name": self.name,
            "energy-method": energy.method if energy else "none",
            "energy-source": energy.source if energy else "the energy source failed during this interval",
            "runtime": available_runtime(),
        }


def _check_finite(weights: Arrays) -> None:
    """Find out what the last step did: the loss of a step is that of the weights before it."""
    for path, value in weights.items():
        if not np.isfinite(value).all():
            raise DivergedError(
                f"training went astray: {path} holds values that are no numbers; a lower learning rate may help"
            )


def _energy_metrics(energy: Optional[Energy]) -> dict[str, Union[int, float]]:
    """Return gross and idle joules; −1 stands for "not known", as a metric cannot be absent."""
    if energy is None:
        return {"energy-j": -1.0, "energy-idle-j": -1.0}
    return {"energy-j": energy.gross_j, "energy-idle-j": -1.0 if energy.idle_j is None else energy.idle_j}


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _number(plan: Mapping[str, Scalar], key: str, default: float) -> float:
    value = plan.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise TaskError(f"{key} is {value!r}; it has to be a number, not negative")
    return float(value)


def _whole(plan: Mapping[str, Scalar], key: str, default: int) -> int:
    value = plan.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TaskError(f"{key} is {value!r}; it has to be a whole number, not negative")
    return value


def _text(plan: Mapping[str, Scalar], key: str, default: str) -> str:
    value = plan.get(key, default)
    if not isinstance(value, str):
        raise TaskError(f"{key} is {value!r}; it has to be text")
    return value
