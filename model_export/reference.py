"""The same steps by Keras's own layers and TensorFlow's own gradients, to hold an exported model against.

The layers are twins made from the configuration of the user's layers, so the user's model is never touched, and can
be made in float64: the distance between Keras in float32 and in float64 says how much of a difference is rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import keras
import numpy as np
import tensorflow as tf

from model_export.layers.activation import ends_in_softmax
from model_export.network import INPUT, Network, Node
from model_export.ops.dropout import dropout_mask
from model_export.options import Adam, Optimizer

__all__ = ["Reference", "keras_optimizer"]


class Reference:
    """A network of twin layers.

    Parameters
    ----------
    network
        The network to copy, with the present values of its variables.
    dtype
        "float32" or "float64".
    """

    def __init__(self, network: Network, dtype: str) -> None:
        self._network = network
        self._dtype = dtype
        twins: dict[int, Any] = {}
        for node in network.nodes:
            if id(node.layer) not in twins:
                twins[id(node.layer)] = _twin(node, dtype, logits=node.name == network.logits)
        self._layers = {node.name: twins[id(node.layer)] for node in network.nodes}

    @property
    def values(self) -> dict[str, np.ndarray]:
        """Value of every variable by path."""
        return {path: variable.numpy() for path, variable in self._variables().items()}

    def logits(self, x: np.ndarray, first: Optional[int] = None, seed: int = 0) -> Any:
        """Logits ``[B, K]`` of ``x``; layers from position ``first`` on in training mode."""
        return self.values_of(x, self._network.logits, first, seed)

    def values_of(self, x: np.ndarray, name: str, first: Optional[int] = None, seed: int = 0) -> Any:
        """Output of the layer ``name``; otherwise like `logits`."""
        values = {INPUT: tf.constant(x, self._dtype)}
        for position, node in enumerate(self._network.nodes):
            layer, inputs = self._layers[node.name], [values[name] for name in node.inputs]
            training = first is not None and position >= first
            if node.rule.drops(node.layer):
                mask = dropout_mask(tuple(inputs[0].shape), layer.rate, tf.constant(seed), node.name)
                values[node.name] = inputs[0] * tf.cast(mask, self._dtype) if training else inputs[0]
            else:
                values[node.name] = layer(inputs if len(inputs) > 1 else inputs[0], training=training)
            if node.name == name:
                break
        return values[name]

    def step(
        self, x: np.ndarray, y: np.ndarray, learning_rate: float, optimizer: Optimizer, *, first: int, seed: int = 0
    ) -> float:
        """Train once from position ``first`` on; return the mean loss."""
        variables = self._variables()
        paths = dict.fromkeys(path for node in self._network.nodes[first:] for path in node.trainable_paths)
        trained = [variables[path] for path in paths]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in trained])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, self.logits(x, first, seed))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, [variable.value for variable in trained])
        # An embedding's comes row by row; of rows that are the same, Adam would take the squares before it adds them.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        keras_optimizer(optimizer, learning_rate).apply(gradients, trained)
        return float(loss)

    def _variables(self) -> Mapping[str, Any]:
        return {
            path: twin
            for node in self._network.nodes
            for path, twin in zip(node.variables, self._layers[node.name].weights)
        }


def keras_optimizer(optimizer: Optimizer, learning_rate: float) -> Any:
    """Return Keras's own optimizer with the same options; it knows no proximal term."""
    shared = {
        "learning_rate": learning_rate,
        "weight_decay": optimizer.weight_decay or None,
        "global_clipnorm": optimizer.clip_norm or None,
    }
    if isinstance(optimizer, Adam):
        return keras.optimizers.Adam(
            beta_1=optimizer.beta_1,
            beta_2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            amsgrad=optimizer.amsgrad,
            **shared,
        )
    return keras.optimizers.SGD(momentum=optimizer.momentum, nesterov=optimizer.nesterov, **shared)


def _in_dtype(config: Any, dtype: str) -> Any:
    """Set the dtype of a layer's configuration, and of those of the layers that it wraps."""
    if not isinstance(config, dict):
        return config
    return {key: dtype if key == "dtype" else _in_dtype(value, dtype) for key, value in config.items()}


def _twin(node: Node, dtype: str, *, logits: bool) -> Any:
    layer = type(node.layer).from_config(_in_dtype(node.layer.get_config(), dtype))
    if logits and isinstance(layer, keras.layers.Softmax):
        return keras.layers.Identity(dtype=dtype)
    if logits and ends_in_softmax(layer):
        layer.activation = keras.activations.linear
    shapes = [(None, *shape) for shape in node.input_shapes]
    layer.build(shapes if len(shapes) > 1 else shapes[0])
    layer.set_weights([variable.numpy() for variable in node.layer.weights])
    return layer
