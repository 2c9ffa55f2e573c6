"""The signatures of a bundle's model, as TensorFlow functions that share variables (``docs/bundle.md``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from model_export.compression.options import NO_COMPRESSION, Compression
from model_export.compression.scheme import Scheme
from model_export.errors import ExportError
from model_export.manifest import Signature, TensorSpec
from model_export.network import INPUT, Network, Node
from model_export.ops.loss import cross_entropy
from model_export.ops.tensor import Tensor
from model_export.optimizers import update_rule
from model_export.options import Optimizer
from model_export.training import Batch, forward, gradient_step

__all__ = ["TrainableModel", "signature_of_cut"]


def signature_of_cut(cut: str) -> str:
    """Name of the signature that trains from layer ``cut`` on; characters other than letters, digits and _ become _."""
    return "train_from_" + re.sub(r"[^A-Za-z0-9_]", "_", cut)


@dataclass(frozen=True)
class _Function:
    """A signature before it is traced; ``updates`` are the paths that it assigns."""

    inputs: Mapping[str, Any]
    body: Callable[..., dict[str, Tensor]]
    updates: tuple[str, ...] = ()


class TrainableModel(tf.Module):  # type: ignore[misc]
    """Variables and signatures of a bundle's model.

    Parameters
    ----------
    network
        The network.
    batch_size
        Samples in each batch.
    start
        Position of the first layer that is carried as state. What lies before it is a file of its own
        (`model_export.frozen_base`), and the signatures take its ``features`` in place of ``x``.
    cuts
        Position of each cut by the name of its layer.
    optimizer
        The optimizer.
    compression
        What is done to the carried variables and their training.
    convolution
        One of `model_export.options.CONVOLUTIONS`.
    """

    def __init__(
        self,
        network: Network,
        batch_size: int,
        *,
        start: int,
        cuts: Mapping[str, int],
        optimizer: Optimizer,
        compression: Compression = NO_COMPRESSION,
        convolution: str = "auto",
    ) -> None:
        super().__init__()
        self._convolution = convolution
        self._network = network
        self._batch_size = batch_size
        self._start = start
        self._optimizer = optimizer
        carried = network.nodes[start:]
        initial = {path: variable.numpy() for node in carried for path, variable in node.variables.items()}
        self._shapes = {path: value.shape for path, value in initial.items()}
        self._keys = {path: f"v{i:04d}" for i, path in enumerate(initial)}
        trained = dict.fromkeys(path for node in carried for path in node.trainable_paths)
        self.scheme = Scheme(initial, frozenset(trained), compression)
        # A compressed model begins with zeros, which a zip shrinks to nothing: its initial values are stored narrow.
        self._state = {
            path: tf.Variable(np.zeros_like(value) if self.scheme.compresses else value, name=self._keys[path])
            for path, value in self.scheme.initial.items()
        }
        self._tables = {path: tf.Variable(table) for path, table in self.scheme.tables.items()}
        self.scheme.read_tables_from(self._tables)
        rule = update_rule(optimizer)
        self._slots = {
            path: {slot: tf.Variable(tf.zeros_like(self._state[path]), name=f"{slot}{i:04d}") for slot in rule.slots}
            for i, path in enumerate(trained)
        }
        self._steps = tf.Variable(0.0, name="steps") if rule.counts else None
        self._anchors = {
            path: tf.Variable(self._state[path], name=f"a{i:04d}")
            for i, path in enumerate(trained)
            if optimizer.proximal
        }
        self._functions = self._define(cuts)
        self.concrete = {
            name: tf.function(function.body, autograph=False).get_concrete_function(**function.inputs)
            for name, function in self._functions.items()
        }

    @property
    def state(self) -> dict[str, Any]:
        """Variables in their stored form by path, in the order of ``get`` and ``set``."""
        return dict(self._state)

    def describe(self) -> dict[str, Signature]:
        """Return the manifest's entries of all signatures."""
        described = {}
        for name, function in self._functions.items():
            outputs = self.concrete[name].structured_outputs
            described[name] = Signature(
                {key: _spec(value) for key, value in function.inputs.items()},
                {key: _spec(outputs[key]) for key in sorted(outputs)},
                function.updates,
            )
        return described

    def _define(self, cuts: Mapping[str, int]) -> dict[str, _Function]:
        functions = {"train_head" if self._start else "train": self._train(self._start)}
        for cut, position in cuts.items():
            name = signature_of_cut(cut)
            if name in functions:
                raise ExportError(
                    f"cut {cut!r}: another cut already has the signature {name}; rename one of the layers"
                )
            functions[name] = self._train(position)
        entry = {self._given.name: self._given}
        labels = {"y": self._input("y", (), tf.int32), "w": self._input("w", ())}
        functions["evaluate"] = _Function({**entry, **labels}, self._evaluate)
        functions["infer"] = _Function(entry, self._infer)
        functions["get"] = _Function({}, self._get)
        values = {
            key: tf.TensorSpec(self._shapes[path], self._state[path].dtype, key) for path, key in self._keys.items()
        }
        functions["set"] = _Function(values, self._set, tuple(self._state))
        return functions

    def _input(self, name: str, shape: tuple[int, ...], dtype: Any = tf.float32) -> Any:
        return tf.TensorSpec([self._batch_size, *shape], dtype, name)

    @property
    def _entry(self) -> str:
        """Name of the value that enters the carried layers."""
        return self._network.crossing(self._start)[0] if self._start else INPUT

    @property
    def _given(self) -> Any:
        """What the signatures take: the network's input, or the features of the frozen base."""
        if self._start:
            return self._input("features", self._network.shape_of(self._entry))
        return self._input("x", self._network.input_shape)

    def _logits(self, given: Tensor) -> Tensor:
        nodes = self._network.nodes[self._start :]
        weights = self.scheme.weights({path: variable.read_value() for path, variable in self._state.items()})
        entering = {self._entry: given}
        passed = forward(self._network, nodes, entering, weights, scheme=self.scheme, convolution=self._convolution)
        return passed.values[self._network.logits]

    def _infer(self, **fed: Tensor) -> dict[str, Tensor]:
        return {"probabilities": tf.nn.softmax(self._logits(fed[self._given.name]))}

    def _evaluate(self, **fed: Tensor) -> dict[str, Tensor]:
        scores = cross_entropy(self._logits(fed[self._given.name]), fed["y"], fed["w"])
        return {"loss": scores.loss, "correct": scores.correct}

    def _train(self, first: int) -> _Function:
        inputs = {
            self._given.name: self._given,
            "y": self._input("y", (), tf.int32),
            "w": self._input("w", ()),
            "learning_rate": tf.TensorSpec([], tf.float32, "learning_rate"),
        }
        if self._optimizer.proximal:
            inputs["mu"] = tf.TensorSpec([], tf.float32, "mu")
        trained = self._network.nodes[first:]
        if self.scheme.takes_seed or any(node.rule.drops(node.layer) for node in trained):
            inputs["seed"] = tf.TensorSpec([], tf.int32, "seed")

        def step(**fed: Tensor) -> dict[str, Tensor]:
            number = None if self._steps is None else self._steps.read_value() + 1.0
            batch = Batch(fed["y"], fed["w"], fed["learning_rate"], fed.get("mu"), fed.get("seed"), number)
            result = gradient_step(
                self._network,
                {self._entry: fed[self._given.name]},
                {path: variable.read_value() for path, variable in self._state.items()},
                {path: _read(slots) for path, slots in self._slots.items()},
                {path: variable.read_value() for path, variable in self._anchors.items()},
                batch,
                self._optimizer,
                start=self._start,
                first=first,
                scheme=self.scheme,
                convolution=self._convolution,
            )
            for path, value in result.variables.items():
                self._state[path].assign(value)
            for path, slots in result.slots.items():
                for slot, value in slots.items():
                    self._slots[path][slot].assign(value)
            if self._steps is not None:
                self._steps.assign(number)
            return {"loss": result.loss, "correct": result.correct}

        return _Function(inputs, step, self._updates(trained))

    def _updates(self, trained: tuple[Node, ...]) -> tuple[str, ...]:
        changing = {path for node in trained for path in (*node.trainable_paths, *_statistics(node))}
        return tuple(path for path in self._state if path in changing)

    def _get(self) -> dict[str, Tensor]:
        weights = self.scheme.weights({path: variable.read_value() for path, variable in self._state.items()})
        return {key: weights[path] for path, key in self._keys.items()}

    def _set(self, **values: Tensor) -> dict[str, Tensor]:
        for table in self._tables.values():
            # What is never assigned becomes a constant in the conversion.
            table.assign(table.read_value())
        for path, variable in self._state.items():
            value = self.scheme.project(path, values[self._keys[path]])
            variable.assign(value)
            if path in self._anchors:
                self._anchors[path].assign(value)
            for slot in self._slots.get(path, {}).values():
                slot.assign(tf.zeros(slot.shape))
        if self._steps is not None:
            self._steps.assign(0.0)
        return {"ok": tf.constant(1, tf.int32)}


def _statistics(node: Node) -> tuple[str, ...]:
    """Paths of the moving statistics that training changes."""
    if not node.layer.trainable:
        return ()
    return tuple(path for path in node.variables if path.rpartition("/")[2].startswith("moving_"))


def _read(variables: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: variable.read_value() for name, variable in variables.items()}


def _spec(value: Any) -> TensorSpec:
    return TensorSpec(tuple(value.shape), value.dtype.name)
