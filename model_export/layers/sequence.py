"""Layers of sequences ``[N, L, C]``: images of one row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Optional

import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, Shape, unsupported_setting
from model_export.layers.linear import Gradient, LinearRule
from model_export.ops.convolution import grouped_convolution
from model_export.ops.tensor import Backward, Tensor
from model_export.ops.windows import Window, pad_or_crop

__all__ = ["Conv1DRule", "OverRowRule", "Pooling1DRule", "ZeroPadding1DRule"]


class Conv1DRule(LinearRule):
    """``Conv1D``."""

    def macs(self, layer: Layer, input_shape: Shape, output_shape: Shape) -> int:
        """See `LayerRule`."""
        return math.prod(output_shape) * int(math.prod(layer.kernel.shape[:2]))

    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        return unsupported_setting(layer, data_format="channels_last")

    def _inference(self, layer: Layer, x: Tensor, kernel: Tensor) -> Tensor:
        y, _ = self._product(layer, x, kernel, "auto")
        return y

    def _product(self, layer: Layer, x: Tensor, kernel: Tensor, form: str) -> tuple[Tensor, Gradient]:
        causal = layer.padding == "causal"
        before = (layer.kernel_size[0] - 1) * layer.dilation_rate[0] if causal else 0
        row = pad_or_crop(_as_row(x), (0, before), (1, x.shape[1] + before))
        window = Window.of(
            tuple(row.shape[1:3]),
            (1, *layer.kernel_size),
            (1, *layer.strides),
            "valid" if causal else layer.padding,
            (1, *layer.dilation_rate),
        )
        wide = tf.reshape(kernel, [1, *kernel.shape])
        y, row_gradient = grouped_convolution(row, wide, window, layer.groups, form)

        def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
            dx, dkernel = row_gradient(_as_row(dy))
            dx = pad_or_crop(dx, (0, -before), (1, x.shape[1]))
            return tf.reshape(dx, x.shape), tf.reshape(dkernel, kernel.shape)

        return tf.reshape(y, [x.shape[0], *y.shape[2:]]), gradient


class Pooling1DRule(LayerRule):
    """``MaxPooling1D`` and ``AveragePooling1D``, windows may overlap."""

    def __init__(self, pool: Callable[[Tensor, Window], tuple[Tensor, Backward]]) -> None:
        self._pool = pool

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        window = Window.of((1, x.shape[1]), (1, _one(layer.pool_size)), (1, _one(layer.strides)), layer.padding)
        y, backward = self._pool(_as_row(x), window)

        def row_backward(dy: Tensor) -> Gradients:
            return Gradients((tf.reshape(backward(_as_row(dy)), x.shape),))

        return Applied(tf.reshape(y, [x.shape[0], *y.shape[2:]]), row_backward)


class ZeroPadding1DRule(LayerRule):
    """``ZeroPadding1D``."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, (left, right) = call.inputs[0], layer.padding
        length = x.shape[1]
        y = pad_or_crop(_as_row(x), (0, left), (1, left + length + right))

        def backward(dy: Tensor) -> Gradients:
            return Gradients((tf.reshape(pad_or_crop(_as_row(dy), (0, -left), (1, length)), x.shape),))

        return Applied(tf.reshape(y, [x.shape[0], *y.shape[2:]]), backward)


class OverRowRule(LayerRule):
    """A global pooling over the sequence, by the rule of its two-dimensional twin."""

    def __init__(self, twin: LayerRule) -> None:
        self._twin = twin

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return self._twin.refusal(layer)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        rows = Call(call.name, (_as_row(x),), constant=call.constant)
        applied = self._twin.apply(layer, rows)
        shape = [x.shape[0], 1, x.shape[2]] if layer.keepdims else [x.shape[0], x.shape[2]]

        def backward(dy: Tensor) -> Gradients:
            (dx,) = applied.backward(tf.reshape(dy, applied.output.shape)).inputs
            return Gradients((tf.reshape(dx, x.shape),))

        return Applied(tf.reshape(applied.output, shape), backward)


def _as_row(x: Tensor) -> Tensor:
    samples, length, channels = x.shape
    return tf.reshape(x, [samples, 1, length, channels])


def _one(size: int | tuple[int]) -> int:
    return size if isinstance(size, int) else size[0]
