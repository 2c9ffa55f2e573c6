"""``SeparableConv2D``: a depthwise convolution, then one of single pixels."""

from __future__ import annotations

import math
from typing import Optional

import tensorflow as tf

from model_export.layers.activation import activate, unsupported_activation
from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, Shape, unsupported_setting
from model_export.ops.convolution import convolution
from model_export.ops.depthwise import MOST_CHANNELS, depthwise_convolution
from model_export.ops.sums import sum_to_channels
from model_export.ops.tensor import Tensor
from model_export.ops.windows import Window

__all__ = ["SeparableConv2DRule"]


class SeparableConv2DRule(LayerRule):
    """``SeparableConv2D`` without dilation, with one filter for each input channel."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        nothing = dict.fromkeys(
            f"{which}_{kind}" for which in ("depthwise", "pointwise") for kind in ("regularizer", "constraint")
        )
        if layer.depthwise_kernel.shape[2] > MOST_CHANNELS:
            return f"more than {MOST_CHANNELS} input channels are not supported"
        return unsupported_setting(
            layer, data_format="channels_last", depth_multiplier=1, dilation_rate=(1, 1), **nothing
        ) or unsupported_activation(layer)

    def macs(self, layer: Layer, output_shape: Shape) -> int:
        """See `LayerRule`."""
        channels = layer.pointwise_kernel.shape[2]
        each = math.prod(layer.kernel_size) * channels + channels * layer.filters
        return math.prod(output_shape[:-1]) * int(each)

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, bias = call.inputs[0], call.variables.get("bias")
        depthwise, pointwise = call.variables["depthwise_kernel"], call.variables["pointwise_kernel"]
        if call.constant:
            strides, padding = [1, *layer.strides, 1], layer.padding.upper()
            mapped = tf.nn.conv2d(tf.nn.depthwise_conv2d(x, depthwise, strides, padding), pointwise, 1, "VALID")
            y, _ = activate(layer, call, mapped if bias is None else mapped + bias)
            return Applied(y, _no_gradient)
        window = Window.of(tuple(x.shape[1:3]), layer.kernel_size, layer.strides, layer.padding)
        between, depthwise_gradient = depthwise_convolution(x, depthwise, window)
        pixel = Window.of(tuple(between.shape[1:3]), (1, 1), (1, 1), "valid")
        mapped, pointwise_gradient = convolution(between, pointwise, pixel)
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
