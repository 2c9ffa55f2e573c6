"""Clients of one bundle by one compiled step of Keras on TensorFlow or JAX.

A client is a list of row numbers into one array of samples; it holds no weights between tasks. On a CPU clients train
one after the other; on an accelerator (JAX) several step side by side, their variables stacked (``jax.vmap``), and who
is done waits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Optional

import keras
import numpy as np
from keras import ops

from edge_client.base import FrozenBase
from edge_client.data import Dataset, as_network_input
from edge_client.fit import batches
from edge_client.runtime import available_runtime
from model_export.bundle import Bundle
from python_server.errors import ExperimentError
from python_server.simulation.backend import compiled, compiled_for_any_batch
from python_server.simulation.engine import Arrays, TrainResult, TrainTask, astray
from python_server.simulation.keras_network import KerasNetwork
from python_server.simulation.step import make_evaluation, make_step, slots_of

__all__ = ["KerasClients", "side_by_side_of"]

_EVALUATED_AT_ONCE = 256


class KerasClients:
    """Trains the clients of one bundle.

    Parameters
    ----------
    bundle
        The bundle, uncompressed; where it has a frozen base, a TensorFlow Lite runtime computes the features, once.
    data
        The samples of all clients.
    side_by_side
        Clients whose steps are one call, on JAX.

    Raises
    ------
    BundleFormatError
        The bundle holds no network.
    edge_client.errors.NoRuntimeError
        There is a frozen base and no runtime.
    """

    def __init__(self, bundle: Bundle, data: Dataset, *, side_by_side: int = 1) -> None:
        self._network = KerasNetwork(bundle)
        self._manifest = bundle.manifest
        self._data = data
        self._base: Optional[FrozenBase] = None
        if self._network.start:
            self._base = FrozenBase(bundle, num_threads=None, runtime=available_runtime())
        self._side_by_side = side_by_side
        self._padded = keras.config.backend() == "jax"  # which compiles anew for every size of batch
        self._begun: tuple[Arrays, dict[str, Any]] = ({}, {})
        self._steps: dict[tuple[str, bool], Callable[..., Any]] = {}
        self._evaluate = compiled(make_evaluation(self._network))

    def train(self, tasks: list[TrainTask]) -> Iterator[TrainResult]:
        """Yield the result of each task, in order; all train from one cut, at most ``side_by_side`` at once."""
        for start in range(0, len(tasks), self._side_by_side):
            group = tasks[start : start + self._side_by_side]
            if len(group) == 1:
                yield self._train_one(group[0])
            else:
                yield from self._train_group(group)

    def evaluate(self, weights: Arrays, data: Dataset) -> tuple[float, float]:
        """Return mean loss and accuracy over all of ``data``."""
        variables = self._tensors(weights)
        size = max(self._manifest.batch_size, min(_EVALUATED_AT_ONCE, len(data)))
        loss = correct = 0.0
        for start in range(0, len(data), size):
            x, y = data.x[start : start + size], data.y[start : start + size]
            given = self._base.features(x) if self._base else as_network_input(x, self._manifest.input)
            batch = {"given": _padded(given, size), "y": _padded(y, size), "w": _padded(np.ones(len(y), "f4"), size)}
            found = self._evaluate(self._tensors(batch), variables)
            loss, correct = loss + float(found[0]), correct + float(found[1])
        return loss / len(data), correct / len(data)

    def _train_one(self, task: TrainTask) -> TrainResult:
        step = self._step(task.cut)
        if self._begun[0] is not task.weights:
            self._begun = task.weights, self._tensors(task.weights)
        variables = self._begun[1]
        state = self._begin(variables, task.cut)
        scalars = {"rate": np.float32(task.learning_rate), "mu": np.float32(task.mu)}
        fixed = {**self._tensors(scalars), "anchors": self._anchors(variables, task.cut)}
        losses, counts = [], []
        for count, batch in itertools.islice(self._batches(task), task.steps):
            state, loss = step({"state": state, "batch": self._tensors(batch), **fixed})
            losses.append(loss)
            counts.append(count)
        updates = self._manifest.trained(task.cut)
        return _result(
            {path: _array(state["variables"][path]) for path in updates}, [float(loss) for loss in losses], counts
        )

    def _train_group(self, group: list[TrainTask]) -> Iterator[TrainResult]:
        """Let clients step side by side; a last group that is smaller is filled up with clients that do nothing."""
        lead = group[0]
        step = self._step(lead.cut, vectorized=True)
        places = self._side_by_side
        filled_up = [*group, *[lead] * (places - len(group))]
        variables = _stacked(filled_up)
        state = self._begin(variables, lead.cut)
        scalars = {
            "rate": np.array([task.learning_rate for task in filled_up], np.float32),
            "mu": np.array([task.mu for task in filled_up], np.float32),
        }
        fixed = {**self._tensors(scalars), "anchors": self._anchors(variables, lead.cut)}
        streams = [itertools.islice(self._batches(task), task.steps) for task in group]
        idle = {key: np.zeros_like(value) for key, value in next(self._batches(lead))[1].items()}
        idle["w"] = np.ones_like(idle["w"])  # no weight at all would divide by zero
        losses: list[Any] = []
        counts: list[list[int]] = [[] for _ in group]
        for _ in range(max(task.steps for task in group)):
            taken = [next(stream, (0, idle)) for stream in streams] + [(0, idle)] * (places - len(group))
            batch = self._tensors({key: np.stack([each[key] for _, each in taken]) for key in idle})
            active = ops.convert_to_tensor(np.array([size > 0 for size, _ in taken]))
            state, loss = step({"state": state, "batch": batch, "active": active, **fixed})
            losses.append(loss)
            for sizes, (size, _) in zip(counts, taken):
                sizes += [size] if size else []
        table = np.stack([_array(loss) for loss in losses]) if losses else np.zeros((0, places))
        updates = self._manifest.trained(lead.cut)
        arrays = {path: _array(state["variables"][path]) for path in updates}
        for place, sizes in enumerate(counts):
            own = {path: value[place].copy() for path, value in arrays.items()}
            yield _result(own, table[: len(sizes), place].tolist(), sizes)

    @cached_property
    def _features(self) -> np.ndarray:
        """What the frozen base makes of all samples."""
        assert self._base is not None
        return self._base.features(self._data.x)

    def _step(self, cut: str, *, vectorized: bool = False) -> Callable[..., Any]:
        key = cut, vectorized
        if key not in self._steps:
            step = make_step(self._network, cut)
            self._steps[key] = compiled(step, vectorized=vectorized) if self._padded else compiled_for_any_batch(step)
        return self._steps[key]

    def _begin(self, variables: Mapping[str, Any], cut: str) -> dict[str, Any]:
        slots = slots_of(self._manifest.optimizer)
        zeros = {path: ops.zeros_like(variables[path]) for path in self._network.trained(cut)} if slots else {}
        return {"variables": dict(variables), "slots": {slot: zeros for slot in slots}}

    def _anchors(self, variables: Mapping[str, Any], cut: str) -> dict[str, Any]:
        trained = self._network.trained(cut) if self._manifest.optimizer["proximal"] else ()
        return {path: variables[path] for path in trained}

    def _batches(self, task: TrainTask) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield the batches that the client's own loop would take (`edge_client.fit.fit`), and their sizes."""
        size = self._manifest.batch_size
        for step, chosen in enumerate(batches(len(task.rows), size, task.epochs, task.seed)):
            rows = task.rows[chosen]
            y = self._data.y[rows]
            given = self._features[rows] if self._base else as_network_input(self._data.x[rows], self._manifest.input)
            numbers = {
                "seed": np.array((task.seed * 1_000_003 + step) % 2**31, np.int32),
                "step": np.array(step + 1, np.float32),
            }
            if self._padded:
                weights = _padded(np.ones(len(rows), np.float32), size)
                yield len(rows), {"given": _padded(given, size), "y": _padded(y, size), "w": weights, **numbers}
            else:
                yield len(rows), {"given": given, "y": y, **numbers}

    @staticmethod
    def _tensors(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: ops.convert_to_tensor(value) for name, value in values.items()}


def side_by_side_of(asked: int) -> int:
    """Return how many clients step at once: on JAX as many as asked for, or, for 0, sixteen on an accelerator.

    Raises
    ------
    ExperimentError
        Several were asked for on another backend.
    """
    if keras.config.backend() != "jax":
        if asked > 1:
            backend = keras.config.backend()
            raise ExperimentError(f"simulation.side_by_side is {asked}, which needs backend = 'jax'; this is {backend}")
        return 1
    import jax

    return asked or (1 if jax.default_backend() == "cpu" else 16)


def _stacked(tasks: list[TrainTask]) -> dict[str, Any]:
    """Return the weights that tasks begin with, one beside the other; those that all share, copied there."""
    weights = [task.weights for task in tasks]
    if all(each is weights[0] for each in weights):
        return {
            path: ops.repeat(ops.convert_to_tensor(value)[None], len(tasks), 0) for path, value in weights[0].items()
        }
    return {path: ops.convert_to_tensor(np.stack([each[path] for each in weights])) for path in weights[0]}


def _result(weights: Arrays, losses: list[float], counts: list[int]) -> TrainResult:
    """Sum a client's steps up, and tell what a client would: that it diverged."""
    for number, loss in enumerate(losses, 1):
        if not np.isfinite(loss):
            return TrainResult({}, 0.0, 0, f"the loss is {loss} at step {number}; a lower learning rate may help")
    problem = astray(weights)
    if problem:
        return TrainResult({}, 0.0, 0, problem)
    processed = sum(counts)
    total = sum(loss * count for loss, count in zip(losses, counts))
    return TrainResult(weights, total / processed if processed else 0.0, processed)


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    if len(values) == size:
        return values
    out = np.zeros((size, *values.shape[1:]), values.dtype)
    out[: len(values)] = values
    return out


def _array(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value))
