"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

import numpy as np
import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, unsupported_setting
from model_export.ops.sums import sum_per_sample
from model_export.ops.tensor import Backward, Tensor
from model_export.ops.windows import Window

__all__ = ["GlobalAveragePooling2DRule", "GlobalMaxPooling2DRule", "PoolingRule"]


class PoolingRule(LayerRule):
    """``MaxPooling2D`` and ``AveragePooling2D``, windows may overlap."""

    def __init__(self, pool: Callable[[Tensor, Window], tuple[Tensor, Backward]]) -> None:
        self._pool = pool

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        window = Window.of(tuple(x.shape[1:3]), layer.pool_size, layer.strides, layer.padding)
        y, backward = self._pool(x, window)
        return Applied(y, lambda dy: Gradients((backward(dy),)))


class GlobalAveragePooling2DRule(LayerRule):
    """``GlobalAveragePooling2D``."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        samples, height, width, channels = x.shape
        share = 1 / (height * width)
        y = tf.reduce_mean(x, axis=[1, 2]) if call.constant else sum_per_sample(x) * share
        spread = [samples, 1, 1, channels]

        def backward(dy: Tensor) -> Gradients:
            ones = np.ones((1, height, width, 1), np.float32)
            return Gradients((tf.reshape(dy * share, spread) * ones,))

        return Applied(tf.reshape(y, spread) if layer.keepdims else y, backward)


class GlobalMaxPooling2DRule(LayerRule):
    """``GlobalMaxPooling2D``; where several places hold the maximum, they share the gradient as in TensorFlow."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        samples, _, _, channels = x.shape
        peak = tf.reduce_max(x, axis=[1, 2], keepdims=True)

        def backward(dy: Tensor) -> Gradients:
            at_peak = tf.cast(tf.equal(x, peak), dy.dtype)
            count = tf.reshape(sum_per_sample(at_peak), peak.shape)
            return Gradients((at_peak * (tf.reshape(dy, peak.shape) / count),))

        return Applied(peak if layer.keepdims else tf.reshape(peak, [samples, channels]), backward)
