"""Networks drawn at random from all supported layers, for `model_export.random_networks_test`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from model_export.layers import RULES
from model_export.options import Adam, Optimizer, Sgd

L = keras.layers
CLASSES = 4
TOKENS = 9
ACTIVATIONS = ("tanh", "sigmoid", "silu", "linear", "elu", "gelu", "softplus", "softsign", "mish", "relu", "hard_silu")

Piece = Callable[[Any], Any]


class Draw:
    """Draws layers that fit what is there; the same seed draws the same."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def among(self, *choices: Any) -> Any:
        """Return one of the choices."""
        return choices[self.random.integers(len(choices))]

    def below(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` on and less than ``high``."""
        return int(self.random.integers(low, high))

    def network(self) -> Any:
        """Return a random network."""
        keras.utils.clear_session()
        keras.utils.set_random_seed(self.below(0, 2**31))
        shared: tuple[Piece, ...] = (self.norm, self.activation, self.join, self.twice)
        if self.random.random() < 0.3:
            inputs, x = self.sequence()
            pieces = (self.conv1d, self.pool1d, self.edge1d, self.recur, self.recur, *shared)
            pool = self.among(L.GlobalAveragePooling1D, L.GlobalMaxPooling1D, L.Flatten)
        else:
            inputs = keras.Input((self.below(6, 15), self.below(6, 15), self.below(1, 5)))
            x = self.scaled(inputs)
            pieces = (self.conv, self.conv, self.depthwise, self.separable, self.pool, self.edge, *shared)
            pieces = (*pieces, self.excite, self.shuffle, self.expand)
            pool = self.among(L.GlobalAveragePooling2D, L.GlobalMaxPooling2D, L.Flatten)
        for _ in range(self.below(2, 7)):
            x = self.among(*pieces)(x)
        x = pool()(x)
        if self.random.random() < 0.5:
            x = self.norm(L.Dense(self.below(3, 9), activation=self.among(*ACTIVATIONS))(x))
        return keras.Model(inputs, L.Dense(CLASSES)(x))

    def optimizer(self) -> Optimizer:
        """Return an optimizer; Adam's epsilon is large, or the rounding of tiny gradients would be all that is seen."""
        shared = {"weight_decay": self.among(0.0, 0.01), "clip_norm": self.among(0.0, 0.1)}
        if self.random.random() < 0.25:
            return Adam(beta_2=0.9, epsilon=0.1, amsgrad=self.among(True, False), **shared)
        momentum = self.among(0.0, 0.9)
        return Sgd(momentum=momentum, nesterov=bool(momentum) and self.among(True, False), **shared)

    def sequence(self) -> tuple[Any, Any]:
        """Begin with readings, or with tokens in a table."""
        if self.random.random() < 0.3:
            inputs = keras.Input((self.below(5, 12),))
            return inputs, L.Embedding(TOKENS, self.below(2, 5))(inputs)
        inputs = keras.Input((self.below(9, 24), self.below(1, 5)))
        return inputs, self.scaled(inputs)

    def scaled(self, x: Any) -> Any:
        """Let the input through, or scale it."""
        return L.Rescaling(0.5, offset=0.1)(x) if self.random.random() < 0.2 else x

    def conv(self, x: Any) -> Any:
        """Any convolution that leaves at least one place."""
        groups = self.among(*[g for g in (1, 1, 2, 3) if x.shape[-1] % g == 0])
        stride, dilation = self.among((1, 1), (1, 1), (2, 1), (3, 1), (1, 2))
        return L.Conv2D(
            groups * self.below(1, 4),
            self._size(x, dilation),
            strides=stride,
            dilation_rate=dilation,
            groups=groups,
            **self._options(),
        )(x)

    def depthwise(self, x: Any) -> Any:
        """Any depthwise convolution."""
        size, steps = self._depthwise_geometry(x)
        return L.DepthwiseConv2D(size, **steps, depth_multiplier=self.among(1, 1, 2), **self._options())(x)

    def separable(self, x: Any) -> Any:
        """Any separable convolution."""
        size, steps = self._depthwise_geometry(x)
        multiplier = self.among(1, 1, 2)
        return L.SeparableConv2D(self.below(1, 6), size, **steps, depth_multiplier=multiplier, **self._options())(x)

    def pool(self, x: Any) -> Any:
        """Pooling; its windows may overlap."""
        kind = self.among(L.MaxPooling2D, L.AveragePooling2D)
        return kind(self._size(x, 1), strides=self.among(1, 2, 3), padding=self.among("same", "valid"))(x)

    def conv1d(self, x: Any) -> Any:
        """Any convolution over a sequence."""
        stride, dilation = self.among((1, 1), (2, 1), (1, 2))
        groups = self.among(*[g for g in (1, 1, 2) if x.shape[-1] % g == 0])
        size = self.below(1, min(4, (x.shape[1] - 1) // dilation + 1) + 1)
        options = {**self._options(), "padding": self.among("same", "valid", "causal")}
        filters = groups * self.below(1, 4)
        return L.Conv1D(filters, size, strides=stride, dilation_rate=dilation, groups=groups, **options)(x)

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
        kinds = (L.ELU, L.LeakyReLU, L.PReLU, L.ReLU, L.Softmax if x.shape[-1] > 1 else L.ELU, lambda: L.Dropout(0.0))
        return self.among(lambda: L.Activation(self.among(*ACTIVATIONS)), *kinds)()(x)

    def join(self, x: Any) -> Any:
        """Two branches that come together again."""
        one = L.Conv2D if len(x.shape) == 4 else L.Conv1D
        branch = one(x.shape[-1], self.among(1, 3), padding="same", activation=self.among(*ACTIVATIONS))(x)
        kinds = (L.Add, L.Multiply, L.Concatenate, L.Average, L.Subtract, L.Maximum, L.Minimum)
        return self.among(*kinds)()([x, branch])

    def twice(self, x: Any) -> Any:
        """A layer used twice, once on what it made itself."""
        shared = L.Dense(x.shape[-1], activation=self.among(*ACTIVATIONS))
        return L.Add()([x, shared(shared(x))])

    def recur(self, x: Any) -> Any:
        """Any recurrence over a sequence that is made short; it leaves a sequence."""
        x = L.MaxPooling1D(2, padding="same")(x) if x.shape[1] > 8 else x
        kind = self.among(L.LSTM, L.GRU, L.SimpleRNN)
        options = {"return_sequences": True, "use_bias": self.among(True, False)}
        if kind is L.GRU:
            options["reset_after"] = self.among(True, False)
        if self.random.random() < 0.4:
            mode = self.among("concat", "sum", "ave", "mul")
            return L.Bidirectional(kind(self.below(2, 5), **options), merge_mode=mode)(x)
        return kind(self.below(2, 6), go_backwards=self.among(True, False), **options)(x)

    def excite(self, x: Any) -> Any:
        """Squeeze and excite."""
        gate = L.GlobalAveragePooling2D(keepdims=True)(x)
        gate = L.Conv2D(x.shape[-1], 1, activation="sigmoid")(L.Conv2D(2, 1, activation="silu")(gate))
        return L.Multiply()([x, gate])

    def expand(self, x: Any) -> Any:
        """Expand the channels and normalize, which is computed as one."""
        x = L.Conv2D(x.shape[-1] * self.below(2, 5), 1, use_bias=False)(x)
        return L.Activation(self.among(*ACTIVATIONS))(L.BatchNormalization(momentum=0.8, epsilon=0.01)(x))

    def shuffle(self, x: Any) -> Any:
        """Shuffle the channels, where they can be."""
        height, width, channels = x.shape[1:]
        if channels % 2:
            return L.Permute((2, 1, 3))(x)
        x = L.Permute((1, 2, 4, 3))(L.Reshape((height, width, 2, channels // 2))(x))
        return L.Reshape((height, width, channels))(x)

    def edge(self, x: Any) -> Any:
        """Pad, repeat what is small, or crop what is large enough."""
        if max(x.shape[1:3]) < 8 and self.random.random() < 0.5:
            return L.UpSampling2D(self.among((1, 2), (2, 1), (2, 2)))(x)
        if min(x.shape[1:3]) > 3 and self.random.random() < 0.5:
            return L.Cropping2D(((1, 0), (0, 1)))(x)
        return L.ZeroPadding2D(((0, 1), (2, 0)))(x)

    def edge1d(self, x: Any) -> Any:
        """Pad a sequence, or repeat what is short."""
        return L.UpSampling1D(2)(x) if x.shape[1] < 8 else L.ZeroPadding1D((1, 2))(x)

    def _options(self) -> dict[str, Any]:
        padding, bias = self.among("same", "valid"), self.among(True, False)
        return {"padding": padding, "use_bias": bias, "activation": self.among(*ACTIVATIONS)}

    def _size(self, x: Any, dilation: int) -> tuple[int, int]:
        rows, columns = (self.below(1, min(4, (extent - 1) // dilation + 1) + 1) for extent in x.shape[1:3])
        return rows, columns

    def _depthwise_geometry(self, x: Any) -> tuple[tuple[int, int], dict[str, int]]:
        """Return size and steps of a depthwise convolution.

        For one channel and a window smaller than its stride, ``DepthwiseConv2dNativeBackpropFilter`` of TensorFlow 2.21
        writes beyond its buffer on CPUs, and the process dies some time later; the reference takes its gradient there.
        """
        stride, dilation = self.among((1, 1), (2, 1), (1, 2))
        size = self._size(x, dilation)
        if x.shape[-1] == 1 and min(size) < stride:
            stride = 1
        return size, {"strides": stride, "dilation_rate": dilation}


def test_all_supported_layers_are_drawn() -> None:
    missing = set(RULES)
    for seed in range(400):
        missing -= {type(layer) for layer in Draw(seed).network().layers}
        if not missing:
            break
    assert not missing
