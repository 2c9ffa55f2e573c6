"""The ``local`` engine: many clients in this process, by one compiled step of Keras on TensorFlow or JAX.

A client is a list of row numbers into one array of samples; it holds no weights between rounds. On a CPU clients train
one after the other; on an accelerator (JAX) several step side by side, their variables stacked (``jax.vmap``), and who
is done waits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Optional

import keras
import numpy as np
from keras import ops

from edge_client.base import FrozenBase
from edge_client.data import Dataset, as_network_input
from edge_client.fit import batches
from edge_client.runtime import available_runtime
from model_export.bundle import Bundle
from python_server.simulation.backend import compiled
from python_server.simulation.engine import Arrays, TrainResult, TrainTask
from python_server.simulation.keras_network import KerasNetwork
from python_server.simulation.step import make_evaluation, make_step, slots_of

__all__ = ["LocalEngine"]

_EVALUATED_AT_ONCE = 256


class LocalEngine:
    """Trains the clients of one bundle.

    Parameters
    ----------
    bundle
        The bundle; where it has a frozen base, a TensorFlow Lite runtime computes the features, once.
    data
        The samples of all clients.
    side_by_side
        Clients whose steps are one call, on JAX; 0: sixteen on an accelerator, one on a CPU.

    Raises
    ------
    ExperimentError
        The bundle trains in a way that Keras does not.
    BundleFormatError
        The bundle holds no network.
    edge_client.errors.NoRuntimeError
        There is a frozen base and no runtime.
    """

    def __init__(self, bundle: Bundle, data: Dataset, *, side_by_side: int = 0) -> None:
        self._network = KerasNetwork(bundle)
        self._manifest = bundle.manifest
        self._data = data
        self._base: Optional[FrozenBase] = None
        self._features: Optional[np.ndarray] = None
        if self._network.start:
            self._base = FrozenBase(bundle, num_threads=None, runtime=available_runtime())
            self._features = self._base.features(data.x)
        self._side_by_side = side_by_side or _default_side_by_side()
        self._steps: dict[str, Callable[..., Any]] = {}
        self._evaluate = compiled(make_evaluation(self._network))

    def train(self, tasks: Iterable[TrainTask]) -> Iterator[TrainResult]:
        """Yield the result of each task, in order; at most ``side_by_side`` are under way."""
        waiting = iter(tasks)
        while group := list(itertools.islice(waiting, self._side_by_side)):
            if len(group) == 1:
                yield self._train_one(group[0])
            else:
                yield from self._train_group(group)

    def evaluate(self, weights: Arrays, data: Dataset) -> tuple[float, float]:
        """Return mean loss and accuracy over all of ``data``."""
        shared = {"variables": self._tensors(weights)}
        size = max(self._manifest.batch_size, min(_EVALUATED_AT_ONCE, len(data)))
        loss = correct = 0.0
        for start in range(0, len(data), size):
            x, y = data.x[start : start + size], data.y[start : start + size]
            given = self._base.features(x) if self._base else as_network_input(x, self._manifest.input)
            batch = {"given": _padded(given, size), "y": _padded(y, size), "w": _padded(np.ones(len(y), "f4"), size)}
            found = self._evaluate(self._tensors(batch), shared)
            loss, correct = loss + float(found[0]), correct + float(found[1])
        return loss / len(data), correct / len(data)

    def _train_one(self, task: TrainTask) -> TrainResult:
        step = self._step(task.cut)
        variables = self._tensors(task.weights)
        state = self._begin(variables, task.cut)
        shared = self._shared(task, variables)
        losses, counts = [], []
        for batch in itertools.islice(self._batches(task), task.steps):
            state, loss = step({"state": state, "batch": self._tensors(batch)}, shared)
            losses.append(loss)
            counts.append(int(batch["w"].sum()))
        updates = self._manifest.trained(task.cut)
        return _result(
            {path: _array(state["variables"][path]) for path in updates}, [float(loss) for loss in losses], counts
        )

    def _train_group(self, group: list[TrainTask]) -> Iterator[TrainResult]:
        """Let clients step side by side; a last group that is smaller is filled up with clients that do nothing."""
        lead = group[0]
        if any(task.cut != lead.cut or _settings(task) != _settings(lead) for task in group):
            for task in group:
                yield self._train_one(task)
            return
        step = self._step(lead.cut, vectorized=True)
        places = self._side_by_side
        variables = self._tensors(lead.weights)
        stacked = keras.tree.map_structure(
            lambda value: ops.repeat(value[None], places, axis=0), self._begin(variables, lead.cut)
        )
        shared = self._shared(lead, variables)
        streams = [itertools.islice(self._batches(task), task.steps) for task in group]
        idle = {key: np.zeros_like(value) for key, value in next(self._batches(lead)).items()}
        idle["w"] = np.ones_like(idle["w"])  # no weight at all would divide by zero
        losses: list[Any] = []
        counts: list[list[int]] = [[] for _ in group]
        for _ in range(max(task.steps for task in group)):
            taken = [next(stream, None) for stream in streams] + [None] * (places - len(group))
            filled = [idle if batch is None else batch for batch in taken]
            batch = self._tensors({key: np.stack([each[key] for each in filled]) for key in idle})
            active = ops.convert_to_tensor(np.array([each is not None for each in taken]))
            stacked, loss = step({"state": stacked, "batch": batch, "active": active}, shared)
            losses.append(loss)
            for count, each in zip(counts, taken):
                if each is not None:
                    count.append(int(each["w"].sum()))
        table = np.stack([_array(loss) for loss in losses]) if losses else np.zeros((0, places))
        updates = self._manifest.trained(lead.cut)
        arrays = {path: _array(stacked["variables"][path]) for path in updates}
        for place, count in enumerate(counts):
            yield _result(
                {path: value[place].copy() for path, value in arrays.items()},
                table[: len(count), place].tolist(),
                count,
            )

    def _step(self, cut: str, *, vectorized: bool = False) -> Callable[..., Any]:
        key = f"{cut}/{vectorized}"
        if key not in self._steps:
            self._steps[key] = compiled(make_step(self._network, cut), vectorized=vectorized)
        return self._steps[key]

    def _begin(self, variables: Mapping[str, Any], cut: str) -> dict[str, Any]:
        zeros = {path: ops.zeros_like(variables[path]) for path in self._network.trained(cut)}
        return {"variables": dict(variables), "slots": {slot: zeros for slot in slots_of(self._manifest.optimizer)}}

    def _shared(self, task: TrainTask, variables: Mapping[str, Any]) -> dict[str, Any]:
        scalars = {"rate": np.float32(task.learning_rate), "mu": np.float32(task.mu)}
        anchors = {path: variables[path] for path in self._network.trained(task.cut)}
        return {**self._tensors(scalars), "anchors": anchors if self._manifest.optimizer["proximal"] else {}}

    def _batches(self, task: TrainTask) -> Iterator[dict[str, np.ndarray]]:
        """Yield the batches that the client's own loop would take (`edge_client.fit.fit`)."""
        size = self._manifest.batch_size
        for step, chosen in enumerate(batches(len(task.rows), size, task.epochs, task.seed)):
            rows = task.rows[chosen]
            if self._features is None:
                given = as_network_input(self._data.x[rows], self._manifest.input)
            else:
                given = self._features[rows]
            yield {
                "given": _padded(given, size),
                "y": _padded(self._data.y[rows], size),
                "w": _padded(np.ones(len(rows), np.float32), size),
                "seed": np.array((task.seed * 1_000_003 + step) % 2**31, np.int32),
                "step": np.array(step + 1, np.float32),
            }

    @staticmethod
    def _tensors(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: ops.convert_to_tensor(value) for name, value in values.items()}


def _default_side_by_side() -> int:
    if keras.config.backend() != "jax":
        return 1
    import jax

    return 1 if jax.default_backend() == "cpu" else 16


def _settings(task: TrainTask) -> tuple[float, float, int]:
    return task.learning_rate, task.mu, id(task.weights)


def _result(weights: Arrays, losses: list[float], counts: list[int]) -> TrainResult:
    """Sum a client's steps up, and tell what a client would: that it diverged."""
    for number, loss in enumerate(losses, 1):
        if not np.isfinite(loss):
            return TrainResult({}, 0.0, 0, f"the loss is {loss} at step {number}; a lower learning rate may help")
    for path, value in weights.items():
        if not np.isfinite(value).all():
            return TrainResult({}, 0.0, 0, f"training went astray: {path} holds values that are no numbers")
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
