"""The signatures of a bundle's model, as TensorFlow functions that share variables (``docs/bundle.md``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from model_export.errors import ExportError
from model_export.manifest import Signature, TensorSpec
from model_export.network import INPUT, Network, Node
from model_export.ops.loss import cross_entropy
from model_export.ops.tensor import Tensor
from model_export.options import Sgd
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
    """

    def __init__(
        self,
        network: Network,
        batch_size: int,
        *,
        start: int,
        cuts: Mapping[str, int],
        optimizer: Sgd,
    ) -> None:
        super().__init__()
        self._network = network
        self._batch_size = batch_size
        self._start = start
        self._optimizer = optimizer
        carried = network.nodes[start:]
        initial = {path: variable.numpy() for node in carried for path, variable in node.variables.items()}
        self._keys = {path: f"v{i:04d}" for i, path in enumerate(initial)}
        self._state = {path: tf.Variable(value, name=self._keys[path]) for path, value in initial.items()}
        trained = [path for node in carried for path in node.trainable_paths]
        self._velocities = {
            path: tf.Variable(tf.zeros_like(self._state[path]), name=f"m{i:04d}")
            for i, path in enumerate(trained)
            if optimizer.momentum
        }
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
        """Variables by path, in the order of ``get`` and ``set``."""
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
            key: tf.TensorSpec(self._state[path].shape, self._state[path].dtype, key)
            for path, key in self._keys.items()
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
        variables = {path: variable.read_value() for path, variable in self._state.items()}
        return forward(self._network, nodes, {self._entry: given}, variables).values[self._network.logits]

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
        if any(node.rule.drops(node.layer) for node in trained):
            inputs["seed"] = tf.TensorSpec([], tf.int32, "seed")

        def step(**fed: Tensor) -> dict[str, Tensor]:
            batch = Batch(fed["y"], fed["w"], fed["learning_rate"], fed.get("mu"), fed.get("seed"))
            result = gradient_step(
                self._network,
                {self._entry: fed[self._given.name]},
                {path: variable.read_value() for path, variable in self._state.items()},
                {path: variable.read_value() for path, variable in self._velocities.items()},
                {path: variable.read_value() for path, variable in self._anchors.items()},
                batch,
                self._optimizer,
                start=self._start,
                first=first,
            )
            for path, value in result.variables.items():
                self._state[path].assign(value)
            for path, value in result.velocities.items():
                self._velocities[path].assign(value)
            return {"loss": result.loss, "correct": result.correct}

        return _Function(inputs, step, self._updates(trained))

    def _updates(self, trained: tuple[Node, ...]) -> tuple[str, ...]:
        changing = {path for node in trained for path in (*node.trainable_paths, *_statistics(node))}
        return tuple(path for path in self._state if path in changing)

    def _get(self) -> dict[str, Tensor]:
        return {key: self._state[path].read_value() for path, key in self._keys.items()}

    def _set(self, **values: Tensor) -> dict[str, Tensor]:
        for path, variable in self._state.items():
            value = values[self._keys[path]]
            variable.assign(value)
            if path in self._anchors:
                self._anchors[path].assign(value)
            if path in self._velocities:
                self._velocities[path].assign(tf.zeros(variable.shape))
        return {"ok": tf.constant(1, tf.int32)}


def _statistics(node: Node) -> tuple[str, ...]:
    """Paths of the moving statistics that training changes."""
    if not node.layer.trainable:
        return ()
    return tuple(path for path in node.variables if path.rpartition("/")[2].startswith("moving_"))


def _spec(value: Any) -> TensorSpec:
    return TensorSpec(tuple(value.shape), value.dtype.name)
