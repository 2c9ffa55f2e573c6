"""Layers that repeat values: nearest-neighbour upsampling."""

from __future__ import annotations

import math
from typing import Optional

import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, unsupported_setting
from model_export.ops.tensor import Backward, Tensor

__all__ = ["UpSampling1DRule", "UpSampling2DRule"]


class UpSampling2DRule(LayerRule):
    """``UpSampling2D`` by the nearest neighbour."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last", interpolation="nearest")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        rows, columns = layer.size
        tall, tall_backward = _repeat(call.inputs[0], 1, rows)
        wide, wide_backward = _repeat(tall, 2, columns)
        return Applied(wide, lambda dy: Gradients((tall_backward(wide_backward(dy)),)))


class UpSampling1DRule(LayerRule):
    """``UpSampling1D``."""

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        y, backward = _repeat(call.inputs[0], 1, layer.size)
        return Applied(y, lambda dy: Gradients((backward(dy),)))


def _repeat(x: Tensor, axis: int, times: int) -> tuple[Tensor, Backward]:
    """Repeat each element along an axis; its gradient is the sum of its copies'."""
    if times == 1:
        return x, lambda dy: dy
    before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    shape = [*x.shape[:axis], x.shape[axis] * times, *x.shape[axis + 1 :]]
    one = tf.reshape(x, [before * x.shape[axis], 1, after])

    def backward(dy: Tensor) -> Tensor:
        copies = tf.reshape(dy, [before * x.shape[axis], times, after])
        return tf.reshape(tf.reduce_sum(copies, axis=1), x.shape)

    return tf.reshape(tf.concat([one] * times, axis=1), shape), backward
