"""``SeparableConv2D``: a depthwise convolution, then one of single pixels."""

from __future__ import annotations

import math
from typing import Optional

import tensorflow as tf

from model_export.layers.activation import activate
from model_export.layers.base import Applied, Call, Gradients, Layer, Shape, unsupported_setting
from model_export.layers.linear import DepthwiseConv2DRule
from model_export.ops.convolution import convolution
from model_export.ops.depthwise import MOST_CHANNELS
from model_export.ops.sums import sum_to_channels
from model_export.ops.tensor import Tensor
from model_export.ops.windows import Window

__all__ = ["SeparableConv2DRule"]


class SeparableConv2DRule(DepthwiseConv2DRule):
    """``SeparableConv2D``."""

    def macs(self, layer: Layer, input_shape: Shape, output_shape: Shape) -> int:
        """See `LayerRule`."""
        channels = layer.pointwise_kernel.shape[2]
        each = math.prod(layer.kernel_size) * channels + channels * layer.filters
        return math.prod(output_shape[:-1]) * int(each)

    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        if layer.pointwise_kernel.shape[2] > MOST_CHANNELS:
            return f"more than {MOST_CHANNELS} channels between its two convolutions are not supported"
        return unsupported_setting(layer, data_format="channels_last")

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, bias = call.inputs[0], call.variables.get("bias")
        depthwise, pointwise = call.variables["depthwise_kernel"], call.variables["pointwise_kernel"]
        if call.constant:
            mapped = tf.nn.conv2d(self._inference(layer, x, depthwise), pointwise, 1, "VALID")
            y, _ = activate(layer, call, mapped if bias is None else mapped + bias)
            return Applied(y, _no_gradient)
        between, depthwise_gradient = self._product(layer, x, depthwise, call.convolution)
        pixel = Window.of(tuple(between.shape[1:3]), (1, 1), (1, 1), "valid")
        mapped, pointwise_gradient = convolution(between, pointwise, pixel, call.convolution)
        y, activation_backward = activate(layer, call, mapped if bias is None else mapped + bias)

        def backward(dy: Tensor) -> Gradients:
            dz = activation_backward(dy)
            dbetween, dpointwise = pointwise_gradient(dz)
            dx, ddepthwise = depthwise_gradient(dbetween)
            variables = {"depthwise_kernel": ddepthwise, "pointwise_kernel": dpointwise}
            if bias is not None:
                variables["bias"] = sum_to_channels(dz)
            return Gradients((dx,), variables)

        return Applied(y, backward)


def _no_gradient(dy: Tensor) -> Gradients:
    raise AssertionError("a constant layer has no gradient")
