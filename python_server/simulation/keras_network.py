"""A bundle's network as Keras computes it, with its variables given from outside.

Layers are called in the order and with the inputs that the manifest lists, so that any part of the network can be in
training mode and the rest not, as in the bundle's own signatures. Batch normalization and dropout are written here:
the first so that samples that only fill a batch up take no part in its statistics, the second for the same masks as
on devices (`model_export.ops`).
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any, Optional

import keras
import numpy as np
from keras import ops

from model_export.bundle import NETWORK, Bundle
from model_export.errors import BundleFormatError
from model_export.manifest import Layer
from python_server.simulation.backend import fused_batch_norm

__all__ = ["KerasNetwork", "dropout_mask"]

Tensor = Any
_INPUT = "input"
_REPEATED = re.compile(r"(.+)_use\d+_*")
_PRIME = 46337


class KerasNetwork:
    """The part of a bundle's network that its devices carry as state.

    Parameters
    ----------
    bundle
        The bundle; of a compressed one this is the network without its compression.

    Raises
    ------
    BundleFormatError
        The bundle holds no network, or one that does not fit its manifest.
    """

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        self.manifest = manifest
        try:
            with keras.StatelessScope(initialize_variables=False):  # values come from outside
                model = keras.saving.deserialize_keras_object(json.loads(bundle.network()), safe_mode=True)
        except (ValueError, TypeError, KeyError) as error:
            raise BundleFormatError(f"{bundle.path}: {NETWORK} cannot be read: {error}") from None
        self._made = {layer.name: layer for layer in model.layers}
        self._start = first_carried(manifest)
        self._nodes = [(node, self._layer(bundle, node)) for node in manifest.layers[self._start :]]
        self._trained = {path: variable.trained for path, variable in manifest.variables.items()}
        last = self._nodes[-1][1]
        if getattr(last, "activation", None) is keras.activations.softmax:
            last.activation = keras.activations.linear
        self._check(bundle)

    @property
    def start(self) -> int:
        """Position of the first layer that is carried; 0 without a frozen base."""
        return self._start

    def first(self, cut: str) -> int:
        """Return the position of the first layer that is in training mode when training begins at ``cut``."""
        return [layer.name for layer in self.manifest.layers].index(cut) if cut else self._start

    def trained(self, cut: str) -> tuple[str, ...]:
        """Return the paths of the variables that the optimizer changes when training begins at ``cut``."""
        updates = self.manifest.trained(cut)
        return tuple(path for path in updates if self._trained[path])

    def logits(
        self,
        variables: Mapping[str, Tensor],
        given: Tensor,
        *,
        first: Optional[int] = None,
        weights: Tensor = None,
        seed: Tensor = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the logits ``[B, K]``.

        Parameters
        ----------
        variables
            Value of every carried variable by path.
        given
            What enters the carried layers: ``float32 [B, ...]``, samples or features of the frozen base.
        first
            Position of the first layer in training mode; None: all are in inference mode.
        weights
            Weight of each sample ``[B]``, for batch normalization in training mode; None, on TensorFlow: all count
            alike.
        seed
            int32 scalar, for dropout in training mode.

        Returns
        -------
        logits
            ``[B, K]``.
        updates
            New moving statistics by path.
        """
        entry = self._nodes[0][0].inputs[0]
        values = {entry: given}
        updates: dict[str, Tensor] = {}
        with keras.StatelessScope(state_mapping=self._mapping(variables)):
            for position, (node, layer) in enumerate(self._nodes, self._start):
                inputs = [values[name] for name in node.inputs]
                training = first is not None and position >= first
                if training and isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
                    values[node.name] = _batch_norm(layer, inputs[0], variables, weights, updates)
                elif isinstance(layer, keras.layers.Dropout):
                    values[node.name] = self._dropout(layer, node.name, inputs[0], seed) if training else inputs[0]
                elif isinstance(layer, keras.layers.Softmax) and node is self._nodes[-1][0]:
                    values[node.name] = inputs[0]
                else:
                    values[node.name] = layer(inputs if len(inputs) > 1 else inputs[0], training=training)
        return values[self._nodes[-1][0].name], updates

    def _layer(self, bundle: Bundle, node: Layer) -> Any:
        repeated = _REPEATED.fullmatch(node.name)
        for name in (node.name, repeated[1] if repeated else node.name):
            if name in self._made:
                return self._made[name]
        raise BundleFormatError(f"{bundle.path}: {NETWORK} has no layer {node.name!r}, which the manifest lists")

    def _dropout(self, layer: Any, name: str, x: Tensor, seed: Tensor) -> Tensor:
        if not layer.rate:
            return x
        mask = dropout_mask((self.manifest.batch_size, *x.shape[1:]), layer.rate, seed, name)
        return x * mask[: ops.shape(x)[0]]

    def _mapping(self, variables: Mapping[str, Tensor]) -> list[tuple[Any, Tensor]]:
        layers = {layer.name: layer for _, layer in self._nodes}.values()
        return [(v, variables[f"{layer.name}/{v.name}"]) for layer in layers for v in layer.weights]

    def _check(self, bundle: Bundle) -> None:
        found = {f"{layer.name}/{v.name}": tuple(v.shape) for _, layer in self._nodes for v in layer.weights}
        for path, variable in self.manifest.variables.items():
            if found.pop(path, None) != variable.shape:
                raise BundleFormatError(f"{bundle.path}: {NETWORK} has no variable {path} of shape {variable.shape}")
        if found:
            raise BundleFormatError(f"{bundle.path}: {NETWORK} has a variable {next(iter(found))} of its own")


def first_carried(manifest: Any) -> int:
    """Return the position of the first layer that devices carry as state.

    The layers behind the frozen base hold the manifest's variables; whether layers without variables right before them
    belong to the base or not is told by the size of a step, which counts the outputs of the carried layers.
    """
    if "features" not in manifest.signatures:
        return 0
    layers = manifest.layers
    names = [layer.name for layer in layers]
    if manifest.trainable in names:
        return names.index(manifest.trainable)
    behind = next(i for i, layer in enumerate(layers) if layer.variables)
    base = max((i for i, layer in enumerate(layers[:behind]) if layer.parameters), default=-1)
    shapes = {layer.name: layer.output_shape for layer in layers} | {_INPUT: manifest.input.shape}
    size = manifest.costs.signatures["train_head"].activation_bytes
    for start in range(behind, base, -1):
        entering = {name for layer in layers[start:] for name in layer.inputs} - set(names[start:])
        kept = [*(shapes[name] for name in entering), *(layer.output_shape for layer in layers[start:])]
        if 4 * manifest.batch_size * sum(math.prod(shape) for shape in kept) == size:
            return start
    raise BundleFormatError("manifest.json: the costs of train_head fit no layer that the head could begin at")


def _batch_norm(
    layer: Any, x: Tensor, variables: Mapping[str, Tensor], weights: Tensor, updates: dict[str, Tensor]
) -> Tensor:
    """Normalize by the statistics of the samples that count."""
    value = {v.name: variables[f"{layer.name}/{v.name}"] for v in layer.weights}
    if weights is None:
        out, mean, variance = fused_batch_norm(x, value.get("gamma"), value.get("beta"), layer.epsilon)
    else:
        out, mean, variance = _weighted_batch_norm(layer, x, value, weights)
    keep, take = float(layer.momentum), 1.0 - float(layer.momentum)
    updates[f"{layer.name}/moving_mean"] = value["moving_mean"] * keep + mean * take
    updates[f"{layer.name}/moving_variance"] = value["moving_variance"] * keep + variance * take
    return out


def _weighted_batch_norm(
    layer: Any, x: Tensor, value: Mapping[str, Tensor], weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    axes = list(range(len(x.shape) - 1))
    places = math.prod(x.shape[1:-1])
    share = ops.reshape(weights / (ops.sum(weights) * places), (-1, *[1] * (len(x.shape) - 1)))
    mean = ops.sum(x * share, axis=axes)
    centred = x - mean
    variance = ops.sum(centred * centred * share, axis=axes)
    scale = ops.rsqrt(variance + layer.epsilon)
    if "gamma" in value:
        scale = scale * value["gamma"]
    out = centred * scale
    return out + value["beta"] if "beta" in value else out, mean, variance


def dropout_mask(shape: tuple[int, ...], rate: float, seed: Tensor, name: str) -> Tensor:
    """Return the mask that devices use (`model_export.ops.dropout`): 0, or ``1 / (1 − rate)`` for what is kept.

    Parameters
    ----------
    shape
        Of the mask, batch axis first.
    rate
        Probability of dropping an element.
    seed
        int32 scalar.
    name
        Name of the layer.
    """
    features = np.arange(math.prod(shape[1:]), dtype=np.int64).reshape(1, *shape[1:])
    samples = np.arange(shape[0], dtype=np.int32).reshape(-1, *[1] * (len(shape) - 1))
    salt = zlib.crc32(name.encode())
    low, high = ops.mod(seed, _PRIME), ops.mod(ops.floor_divide(seed, _PRIME), _PRIME)
    feature = _cubed(ops.convert_to_tensor((features % _PRIME).astype(np.int32)), low + salt % _PRIME)
    feature = _cubed(feature, high + ops.convert_to_tensor((features // _PRIME + salt // _PRIME % _PRIME).astype("i4")))
    sample = _cubed(_cubed(ops.convert_to_tensor(samples), low), high)
    numbers = _cubed(_cubed(feature, sample), low)
    return ops.cast(numbers >= round(rate * _PRIME), "float32") * (1 / (1 - rate))


def _cubed(value: Tensor, key: Tensor) -> Tensor:
    value = ops.mod(value + key, _PRIME)
    return ops.mod(ops.mod(value * value, _PRIME) * value, _PRIME)
