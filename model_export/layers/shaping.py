"""Layers that move, pad or scale values."""

from __future__ import annotations

from typing import Optional

import numpy as np
import tensorflow as tf

from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, unsupported_setting
from model_export.ops.dropout import dropout_mask
from model_export.ops.tensor import Tensor
from model_export.ops.windows import pad_or_crop

__all__ = ["Cropping2DRule", "DropoutRule", "PermuteRule", "RescalingRule", "ReshapeRule", "ZeroPadding2DRule"]


class ReshapeRule(LayerRule):
    """``Flatten`` and ``Reshape``."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        shape = layer.compute_output_shape(tuple(x.shape))
        return Applied(tf.reshape(x, shape), lambda dy: Gradients((tf.reshape(dy, x.shape),)))


class PermuteRule(LayerRule):
    """``Permute``; with ``Reshape`` before and after it, a channel shuffle."""

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        order = [0, *layer.dims]
        back = [order.index(axis) for axis in range(len(order))]
        return Applied(tf.transpose(call.inputs[0], order), lambda dy: Gradients((tf.transpose(dy, back),)))


class ZeroPadding2DRule(LayerRule):
    """``ZeroPadding2D``."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        (top, bottom), (left, right) = layer.padding
        height, width = x.shape[1:3]
        y = pad_or_crop(x, (top, left), (top + height + bottom, left + width + right))
        return Applied(y, lambda dy: Gradients((pad_or_crop(dy, (-top, -left), (height, width)),)))


class Cropping2DRule(LayerRule):
    """``Cropping2D``."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        (top, bottom), (left, right) = layer.cropping
        height, width = x.shape[1:3]
        y = x[:, top : height - bottom, left : width - right]
        return Applied(y, lambda dy: Gradients((pad_or_crop(dy, (top, left), (height, width)),)))


class RescalingRule(LayerRule):
    """``Rescaling`` by a number or one number for each channel."""

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        scale, offset = np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)

        def backward(dy: Tensor) -> Gradients:
            return Gradients((dy * scale,))

        return Applied(call.inputs[0] * scale + offset, backward)


class DropoutRule(LayerRule):
    """``Dropout``."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return unsupported_setting(layer, noise_shape=None)

    def drops(self, layer: Layer) -> bool:
        """See `LayerRule`."""
        return bool(layer.rate > 0)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x = call.inputs[0]
        if not (call.training and self.drops(layer)):
            return Applied(x, lambda dy: Gradients((dy,)))
        mask = dropout_mask(tuple(x.shape), layer.rate, call.seed, call.name)
        return Applied(x * mask, lambda dy: Gradients((dy * mask,)))
