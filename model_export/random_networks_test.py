"""Networks drawn at random from the supported layers: every gradient is Keras's, and they convert.

``POCKETFLEET_RANDOM_NETWORKS=500`` tries more of them; a failure names its seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_export import Sgd, export
from model_export.layers import RULES
from model_export.network import INPUT, read_network
from model_export.reference import Reference
from model_export.training import Batch, gradient_step

L = keras.layers
SAMPLES = 5
CLASSES = 4
RATE = 0.1
TRIED = int(os.environ.get("POCKETFLEET_RANDOM_NETWORKS", "40"))
CONVERTED = max(4, TRIED // 20)
SMOOTH = ("tanh", "sigmoid", "silu", "linear", "elu", "gelu", "softplus", "softsign", "mish")
"""Where an activation has a kink, float32 and float64 may fall on different sides of it; the rule tests cover those."""


class Draw:
    """Draws layers that fit what is there."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def among(self, *choices: Any) -> Any:
        """Return one of the choices."""
        return choices[self.random.integers(len(choices))]

    def network(self) -> Any:
        """Return a random network."""
        keras.utils.clear_session()
        keras.utils.set_random_seed(int(self.random.integers(2**31)))
        if self.random.random() < 0.2:
            inputs = keras.Input((int(self.random.integers(9, 24)), int(self.random.integers(1, 5))))
            pieces: tuple[Callable[[Any], Any], ...] = (self.conv1d, self.pool1d, self.norm, self.activation, self.join)
            pieces = (*pieces, self.recur, self.twice)
            pool = self.among(L.GlobalAveragePooling1D, L.GlobalMaxPooling1D, L.Flatten)
        else:
            height, width, channels = (int(self.random.integers(*limits)) for limits in ((6, 15), (6, 15), (1, 5)))
            inputs = keras.Input((height, width, channels))
            pieces = (
                self.conv,
                self.conv,
                self.depthwise,
                self.separable,
                self.pool,
                self.norm,
                self.activation,
                self.join,
            )
            pieces = (*pieces, self.excite, self.shuffle, self.edge, self.twice)
            pool = self.among(L.GlobalAveragePooling2D, L.GlobalMaxPooling2D, L.Flatten)
        x = self.scaled(inputs)
        for _ in range(self.random.integers(2, 7)):
            x = self.among(*pieces)(x)
        x = pool()(x)
        if self.random.random() < 0.5:
            x = self.norm(L.Dense(int(self.random.integers(3, 9)), activation=self.among(*SMOOTH))(x))
        return keras.Model(inputs, L.Dense(CLASSES)(x))

    def scaled(self, x: Any) -> Any:
        """Let the input through, or scale it."""
        return L.Rescaling(0.5, offset=0.1)(x) if self.random.random() < 0.2 else x

    def conv(self, x: Any) -> Any:
        """Any convolution that leaves at least one place."""
        groups = self.among(*[g for g in (1, 1, 2, 3) if x.shape[-1] % g == 0])
        stride, dilation = self.among((1, 1), (1, 1), (2, 1), (3, 1), (1, 2))
        size = self._size(x, dilation)
        return L.Conv2D(
            groups * int(self.random.integers(1, 4)),
            size,
            strides=stride,
            dilation_rate=dilation,
            groups=groups,
            padding=self.among("same", "valid"),
            use_bias=self.among(True, False),
            activation=self.among(*SMOOTH),
        )(x)

    def depthwise(self, x: Any) -> Any:
        """Any depthwise convolution."""
        stride, dilation = self.among((1, 1), (2, 1), (1, 2))
        return L.DepthwiseConv2D(
            self._size(x, dilation),
            strides=stride,
            dilation_rate=dilation,
            depth_multiplier=self.among(1, 1, 2),
            padding=self.among("same", "valid"),
            use_bias=self.among(True, False),
            activation=self.among(*SMOOTH),
        )(x)

    def separable(self, x: Any) -> Any:
        """Any separable convolution."""
        return L.SeparableConv2D(
            int(self.random.integers(1, 6)),
            self._size(x, 1),
            strides=self.among(1, 2),
            padding=self.among("same", "valid"),
            use_bias=self.among(True, False),
            activation=self.among(*SMOOTH),
        )(x)

    def pool(self, x: Any) -> Any:
        """Pooling; its windows may overlap."""
        kind = self.among(L.MaxPooling2D, L.AveragePooling2D)
        return kind(self._size(x, 1), strides=self.among(1, 2, 3), padding=self.among("same", "valid"))(x)

    def conv1d(self, x: Any) -> Any:
        """Any convolution over a sequence."""
        stride, dilation = self.among((1, 1), (2, 1), (1, 2))
        size = int(self.random.integers(1, min(4, (x.shape[1] - 1) // dilation + 1) + 1))
        return L.Conv1D(
            int(self.random.integers(1, 6)),
            size,
            strides=stride,
            dilation_rate=dilation,
            padding=self.among("same", "valid", "causal"),
            activation=self.among(*SMOOTH),
        )(x)

    def pool1d(self, x: Any) -> Any:
        """Pooling over a sequence."""
        kind = self.among(L.MaxPooling1D, L.AveragePooling1D)
        return kind(min(2, x.shape[1]), strides=self.among(1, 2), padding=self.among("same", "valid"))(x)

    def norm(self, x: Any) -> Any:
        """A normalization, sometimes frozen."""
        layer = self.among(
            lambda: L.BatchNormalization(momentum=0.8, epsilon=0.01),
            lambda: L.BatchNormalization(scale=False, epsilon=0.01),
            lambda: L.LayerNormalization(epsilon=0.01),
            lambda: L.GroupNormalization(self.among(1, -1), epsilon=0.01),
        )()
        y = layer(x)
        layer.trainable = self.random.random() < 0.8
        return y

    def activation(self, x: Any) -> Any:
        """An activation as a layer of its own, or dropout that drops nothing."""
        return self.among(L.Activation(self.among(*SMOOTH)), L.ELU(), L.Dropout(0.0))(x)

    def join(self, x: Any) -> Any:
        """Two branches that come together again."""
        filters = x.shape[-1]
        one = L.Conv2D if len(x.shape) == 4 else L.Conv1D
        branch = one(filters, self.among(1, 3), padding="same", activation=self.among(*SMOOTH))(x)
        return self.among(L.Add(), L.Multiply(), L.Concatenate(), L.Average(), L.Subtract())([x, branch])

    def twice(self, x: Any) -> Any:
        """A layer used twice, once on what it made itself."""
        shared = L.Dense(x.shape[-1], activation=self.among(*SMOOTH))
        return L.Add()([x, shared(shared(x))])

    def recur(self, x: Any) -> Any:
        """Any recurrence that leaves a sequence."""
        options = {"return_sequences": True, "go_backwards": self.among(True, False)}
        kind = self.among(L.LSTM, L.GRU, L.SimpleRNN)
        if kind is L.GRU:
            options["reset_after"] = self.among(True, False)
        return kind(int(self.random.integers(2, 6)), use_bias=self.among(True, False), **options)(x)

    def excite(self, x: Any) -> Any:
        """Squeeze and excite."""
        gate = L.GlobalAveragePooling2D(keepdims=True)(x)
        gate = L.Conv2D(x.shape[-1], 1, activation="sigmoid")(L.Conv2D(2, 1, activation="silu")(gate))
        return L.Multiply()([x, gate])

    def shuffle(self, x: Any) -> Any:
        """Shuffle the channels, where they can be."""
        height, width, channels = x.shape[1:]
        if channels % 2:
            return L.Permute((2, 1, 3))(x)
        x = L.Permute((1, 2, 4, 3))(L.Reshape((height, width, 2, channels // 2))(x))
        return L.Reshape((height, width, channels))(x)

    def edge(self, x: Any) -> Any:
        """Pad, or crop what is large enough."""
        if min(x.shape[1:3]) > 3 and self.random.random() < 0.5:
            return L.Cropping2D(((1, 0), (0, 1)))(x)
        return L.ZeroPadding2D(((0, 1), (2, 0)))(x)

    def _size(self, x: Any, dilation: int) -> tuple[int, int]:
        rows, columns = (
            int(self.random.integers(1, min(4, (extent - 1) // dilation + 1) + 1)) for extent in x.shape[1:3]
        )
        return rows, columns


def samples(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(SAMPLES, *shape)).astype(np.float32)
    return x, (np.arange(SAMPLES) % CLASSES).astype(np.int32)


@pytest.mark.parametrize("seed", range(TRIED))
def test_every_change_is_keras_s(seed: int) -> None:
    network = read_network(Draw(seed).network())
    x, y = samples(network.input_shape, seed)
    optimizer = Sgd(weight_decay=0.01)
    references = [Reference(network, dtype) for dtype in ("float64", "float32")]
    before = references[1].values
    losses = [reference.step(x, y, RATE, optimizer, first=0) for reference in references]
    exact, rounded = (reference.values for reference in references)

    batch = Batch(tf.constant(y), tf.ones(SAMPLES), tf.constant(RATE))
    variables = {path: tf.constant(value) for path, value in before.items()}
    step = gradient_step(network, {INPUT: tf.constant(x)}, variables, {}, {}, batch, optimizer, start=0, first=0)

    assert float(step.loss) == pytest.approx(losses[0], rel=1e-5, abs=1e-6)
    whole = np.sqrt(sum(np.sum((exact[path] - value) ** 2) for path, value in before.items()))
    for path, value in before.items():
        found = step.variables[path].numpy() if path in step.variables else value
        error = np.linalg.norm(found - exact[path])
        allowed = 10 * np.linalg.norm(rounded[path] - exact[path]) + 1e-4 * np.linalg.norm(exact[path] - value)
        assert error <= allowed + 1e-6 * whole, f"{path}: {error:.3g}"


@pytest.mark.parametrize("seed", range(1000, 1000 + CONVERTED))
def test_it_converts(seed: int, tmp_path: Path) -> None:
    """The export itself compares inference, loss and one step of the converted model with Keras's."""
    export(Draw(seed).network(), tmp_path / "b", batch_size=SAMPLES, optimizer=Sgd(momentum=0.9), measure=False)


def test_the_draw_knows_the_layers() -> None:
    drawn = {type(layer) for seed in range(200) for layer in Draw(seed).network().layers}
    kinked = {L.ReLU, L.LeakyReLU, L.Softmax, L.PReLU, L.Maximum, L.Minimum}
    assert set(RULES) - drawn - kinked <= {L.ZeroPadding1D, L.Embedding}
