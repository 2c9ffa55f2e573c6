"""What a client does with a task: set weights, train or evaluate, measure, answer.

Both the lean client and the Flower ``ClientApp`` hand their tasks to a `Worker`; it knows nothing of the network.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Union

from edge_client.bundle_store import BundleStore
from edge_client.conditions import build
from edge_client.data import Dataset, load_dataset
from edge_client.energy import Phases, SampledMeter, find_meter
from edge_client.errors import NoLocalWeightsError, TaskError
from edge_client.feature_cache import FeatureCache
from edge_client.local_weights import LocalWeights
from edge_client.plan import Plan, text
from edge_client.power_supply import battery_facts, memory_bytes
from edge_client.records import (
    ACCEPTS_BUNDLE,
    BUILD,
    BUNDLE,
    CODECS,
    ENERGY_COVERS,
    ENERGY_METHOD,
    ENERGY_SOURCE,
    EVALUATE,
    KEEPS_WEIGHTS,
    MEMORY_BYTES,
    PREVIOUS_UPLOAD_ENERGY,
    QUERY,
    TRAIN,
    Arrays,
    Reply,
    Scalar,
    Task,
)
from edge_client.reported import Conditions, phase_figures, upload_figures
from edge_client.runtime import available_runtime
from edge_client.task_weights import check_finite, received_weights, wanted_variables
from edge_client.trainer import Trainer
from model_export import codecs
from model_export.bundle import Bundle

__all__ = ["Worker"]

_PathLike = Union[str, "os.PathLike[str]"]


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
    meter
        Where energy figures come from; None finds the best.
    num_threads
        Threads of the interpreter; None takes what is fastest.
    cache_features
        Keep the features of a frozen base; see `edge_client.fit.fit`.
    feature_cache
        Where they are kept for other runs too; None keeps them in memory alone.
    trusted_key
        PEM of the public key that must have signed the bundle; a store has its own.
    local_weights
        Where the client keeps its own weights between rounds; None: it keeps none.
    on_step
        Called with steps done and planned.
    make_trainer
        What trains, where that is not `Trainer` itself: called as that is.

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
        meter: Optional[SampledMeter] = None,
        num_threads: Optional[int] = None,
        cache_features: bool = True,
        feature_cache: Optional[FeatureCache] = None,
        trusted_key: Optional[bytes] = None,
        local_weights: Optional[LocalWeights] = None,
        on_step: Optional[Callable[[int, int], None]] = None,
        make_trainer: Callable[..., Trainer] = Trainer,
    ) -> None:
        self.name = name or f"{platform.node()}-{Path(data).stem}"
        self.processor = processor
        self.profile = profile
        self._data = Path(data)
        self._test_data = Path(test_data) if test_data else None
        self._num_threads = num_threads
        self.phases = Phases(meter or find_meter(profile))
        self._cache_features = cache_features
        self._feature_cache = feature_cache
        self._local_weights = local_weights
        self._on_step = on_step
        self._make_trainer = make_trainer
        self._store = bundle if isinstance(bundle, BundleStore) else None
        first = bundle.current() if isinstance(bundle, BundleStore) else Bundle.load(bundle, trusted_key=trusted_key)
        self._job = self._open(first) if first is not None else None

    @property
    def trainer(self) -> Trainer:
        """The model.

        Raises
        ------
        edge_client.errors.TaskError
            No bundle has arrived yet.
        """
        return self._loaded().trainer

    def handle(self, task: Task) -> Reply:
        """Do what the server asks.

        Joules come with every answer: of the work itself, and of what `phases` was told of since the last one.

        Raises
        ------
        edge_client.errors.TaskError
            The kind of task is unknown, or its plan has a value that makes no sense.
        edge_client.errors.EdgeError, model_export.errors.BundleError
            The weights, the data or a bundle that came with the task do not fit.
        """
        self.phases.enter("")
        if task.kind == QUERY:
            if BUNDLE in task.arrays:
                self._install(task)
            metrics, info = upload_figures(self.phases)
            metrics = metrics if metrics[PREVIOUS_UPLOAD_ENERGY[0]] >= 0 else {}
            return Reply(metrics={"num-examples": self._examples(), **metrics}, info={**self.facts(), **info})
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
            KEEPS_WEIGHTS: self._local_weights is not None,
            CODECS: " ".join(codecs.FAMILIES),
            "model": job.trainer.manifest.name if job else "",
            "runtime": job.trainer.runtime if job else available_runtime(),
            "threads": self._num_threads or 0,
            "system": platform.platform(),
            "machine": platform.machine(),
            "cores": os.cpu_count() or 0,
            MEMORY_BYTES: memory_bytes(),
            "python": platform.python_version(),
            BUILD: build(),
            ENERGY_SOURCE: self.phases.meter.about.title,
            ENERGY_METHOD: self.phases.meter.about.method,
            ENERGY_COVERS: self.phases.meter.about.covers,
            **battery_facts(),
        }

    def _open(self, bundle: Bundle) -> _Job:
        trainer = self._make_trainer(bundle, num_threads=self._num_threads, feature_cache=self._feature_cache)
        manifest = trainer.manifest
        dataset = load_dataset(self._data, manifest.input, manifest.classes)
        test = load_dataset(self._test_data, manifest.input, manifest.classes) if self._test_data else dataset
        return _Job(trainer, dataset, test)

    def _install(self, task: Task) -> None:
        """Change over to a bundle that came with a query; the old one stays in use if it cannot be used."""
        if self._store is None:
            raise TaskError("this client was started with a bundle of its own (--bundle) and takes no other")
        bundle = self._store.add(task.arrays[BUNDLE].tobytes(), text(task.config, BUNDLE, ""))
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
        plan, trainer, dataset = Plan.of(task.config), job.trainer, job.dataset
        wanted = wanted_variables(plan, trainer)
        before = Conditions.now()
        cpu_start, start = time.process_time(), time.monotonic()
        received = received_weights(plan, task, trainer)
        trainer.set_weights({**self._own_weights(plan, trainer), **received})
        set_s = time.monotonic() - start
        with self._phase("train"):
            result = trainer.fit(
                dataset,
                plan.epochs,
                learning_rate=plan.learning_rate,
                steps=plan.steps,
                cut=plan.cut,
                mu=plan.mu,
                seed=plan.seed_for(self.name),
                cutoff_s=plan.cutoff_s,
                cache_features=self._cache_features,
                on_step=self._on_step,
            )
        start = time.monotonic()
        weights = trainer.weights()
        check_finite(weights)
        if plan.keep_weights:
            self._keeper().save(plan, trainer.bundle.sha256, weights)
        arrays = codecs.encode({path: weights[path] for path in wanted}, plan.upload_codec, received)
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
        return self._answer("train", metrics, before, arrays)

    def _evaluate(self, task: Task) -> Reply:
        job = self._loaded()
        before = Conditions.now()
        job.trainer.set_weights(received_weights(Plan.of(task.config), task, job.trainer))
        start = time.monotonic()
        with self._phase("evaluate"):
            loss, accuracy = job.trainer.evaluate(job.test_dataset.x, job.test_dataset.y)
        metrics: dict[str, Union[int, float]] = {
            "num-examples": len(job.test_dataset),
            "eval-loss": loss,
            "eval-accuracy": accuracy,
            "evaluate-s": time.monotonic() - start,
        }
        return self._answer("evaluate", metrics, before)

    def _own_weights(self, plan: Plan, trainer: Trainer) -> Arrays:
        """Return the client's own weights where the plan starts from them."""
        return {} if plan.start_round is None else self._keeper().load(plan, trainer.bundle.sha256)

    def _keeper(self) -> LocalWeights:
        if self._local_weights is None:
            raise NoLocalWeightsError("this client keeps no weights of its own between rounds; send it all variables")
        return self._local_weights

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.phases.enter(name)
        try:
            yield
        finally:
            self.phases.enter("")

    def _answer(
        self, phase: str, metrics: dict[str, Union[int, float]], before: Conditions, arrays: Optional[Arrays] = None
    ) -> Reply:
        """Return the reply to a task, with all that is known of its joules and conditions."""
        figures, words = phase_figures(self.phases, phase)
        runtime = self._job.trainer.runtime if self._job else available_runtime()
        info = {"name": self.name, "runtime": runtime, **words, **before.words()}
        return Reply(metrics={**metrics, **figures, **before.figures()}, arrays=arrays, info=info)


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
