"""``Conv2D``, ``DepthwiseConv2D`` and ``Dense``: a linear map, a bias, an activation."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Optional

import tensorflow as tf

from model_export.layers.activation import activate, unsupported_activation
from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, Shape, unsupported_setting
from model_export.ops.convolution import grouped_convolution
from model_export.ops.depthwise import MOST_CHANNELS, depthwise_convolution
from model_export.ops.matmul import correlate_rows, matmul
from model_export.ops.pointwise_norm import Expansion
from model_export.ops.sums import sum_to_channels
from model_export.ops.tensor import Tensor
from model_export.ops.windows import Window, concat, dilate, undilate

__all__ = ["Conv2DRule", "DenseRule", "DepthwiseConv2DRule", "Gradient", "LinearRule"]

Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]


class LinearRule(LayerRule):
    """What the linear layers have in common."""

    def refusal(self, layer: Layer) -> Optional[str]:
        """See `LayerRule`."""
        return (
            unsupported_setting(layer, lora_enabled=False, quantization_mode=None)
            or unsupported_activation(layer)
            or self._unsupported_map(layer)
        )

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        x, kernel, bias = call.inputs[0], call.variables["kernel"], call.variables.get("bias")
        gradient: Gradient = _no_gradient
        if call.constant:
            mapped = self._inference(layer, x, kernel)
        else:
            mapped, gradient = self._product(layer, x, kernel, call.convolution)
        y, activation_backward = activate(layer, call, mapped if bias is None else mapped + bias)

        def backward(dy: Tensor) -> Gradients:
            dz = activation_backward(dy)
            dx, dkernel = gradient(dz)
            variables = {"kernel": dkernel}
            if bias is not None:
                variables["bias"] = sum_to_channels(dz)
            return Gradients((dx,), variables)

        return Applied(y, backward)

    @abc.abstractmethod
    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        """Return a refusal of what is particular to the linear map."""

    @abc.abstractmethod
    def _inference(self, layer: Layer, x: Tensor, kernel: Tensor) -> Tensor:
        """Apply a constant kernel by the op that inference runs best."""

    @abc.abstractmethod
    def _product(self, layer: Layer, x: Tensor, kernel: Tensor, form: str) -> tuple[Tensor, Gradient]:
        """Apply a variable kernel; return output and gradient. ``form`` is for convolutions."""


def _no_gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
    raise AssertionError("a constant layer has no gradient")


class Conv2DRule(LinearRule):
    """``Conv2D``."""

    def apply(self, layer: Layer, call: Call) -> Applied:
        """See `LayerRule`."""
        if not call.deferred:
            return super().apply(layer, call)
        expansion = Expansion(call.inputs[0], call.variables["kernel"])
        return Applied(expansion, lambda found: Gradients((found.x,), {"kernel": found.kernel}))

    def macs(self, layer: Layer, input_shape: Shape, output_shape: Shape) -> int:
        """See `LayerRule`."""
        return math.prod(output_shape) * int(math.prod(layer.kernel.shape[:3]))

    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        return unsupported_setting(layer, data_format="channels_last")

    def _inference(self, layer: Layer, x: Tensor, kernel: Tensor) -> Tensor:
        # A split in one would be copied.
        pairs = (
            zip(tf.split(x, layer.groups, axis=-1), tf.split(kernel, layer.groups, axis=-1))
            if layer.groups > 1
            else [(x, kernel)]
        )
        parts = [
            tf.nn.conv2d(part, weights, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)
            for part, weights in pairs
        ]
        return concat(parts, axis=-1)

    def _product(self, layer: Layer, x: Tensor, kernel: Tensor, form: str) -> tuple[Tensor, Gradient]:
        window = Window.of(tuple(x.shape[1:3]), layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
        return grouped_convolution(x, kernel, window, layer.groups, form)


class DepthwiseConv2DRule(LinearRule):
    """``DepthwiseConv2D``."""

    def macs(self, layer: Layer, input_shape: Shape, output_shape: Shape) -> int:
        """See `LayerRule`."""
        return math.prod(output_shape) * int(math.prod(layer.kernel_size))

    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        if layer.kernel.shape[2] * layer.depth_multiplier > MOST_CHANNELS:
            return f"more than {MOST_CHANNELS} output channels are not supported"
        return unsupported_setting(layer, data_format="channels_last")

    def _inference(self, layer: Layer, x: Tensor, kernel: Tensor) -> Tensor:
        strides, padding = [1, *layer.strides, 1], layer.padding.upper()
        return tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=layer.dilation_rate)

    def _product(self, layer: Layer, x: Tensor, kernel: Tensor, form: str) -> tuple[Tensor, Gradient]:
        window = Window.of(tuple(x.shape[1:3]), layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
        multiplier = layer.depth_multiplier
        if multiplier == 1:
            return _dilated_depthwise(x, kernel, window)
        samples, height, width, channels = x.shape
        copies = tf.reshape(x, [samples, height, width, channels, 1]) * tf.ones([multiplier])
        repeated = tf.reshape(copies, [samples, height, width, channels * multiplier])
        flat_kernel = tf.reshape(kernel, [*layer.kernel_size, channels * multiplier, 1])
        y, repeated_gradient = _dilated_depthwise(repeated, flat_kernel, window)

        def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
            drepeated, dkernel = repeated_gradient(dy)
            dx = tf.reduce_sum(tf.reshape(drepeated, copies.shape), axis=-1)
            return dx, tf.reshape(dkernel, kernel.shape)

        return y, gradient


def _dilated_depthwise(x: Tensor, kernel: Tensor, window: Window) -> tuple[Tensor, Gradient]:
    """Convolve with the zeros between the taps written out: rare enough that its speed does not matter."""
    if window.dilation == (1, 1):
        return depthwise_convolution(x, kernel, window)
    y, dense_gradient = depthwise_convolution(x, dilate(kernel, window.dilation), window)

    def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
        dx, ddense = dense_gradient(dy)
        return dx, undilate(ddense, window.dilation)

    return y, gradient


class DenseRule(LinearRule):
    """``Dense`` on the last axis."""

    def macs(self, layer: Layer, input_shape: Shape, output_shape: Shape) -> int:
        """See `LayerRule`."""
        return math.prod(output_shape) * int(layer.kernel.shape[0])

    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        return None

    def _inference(self, layer: Layer, x: Tensor, kernel: Tensor) -> Tensor:
        return tf.matmul(x, kernel)

    def _product(self, layer: Layer, x: Tensor, kernel: Tensor, form: str) -> tuple[Tensor, Gradient]:
        inputs, outputs = kernel.shape
        places = math.prod(x.shape[:-1])
        rows = tf.reshape(x, [places, inputs])
        y = tf.reshape(matmul(rows, kernel), [*x.shape[:-1], outputs])

        def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
            dx = matmul(tf.reshape(dy, [places, outputs]), kernel, transpose_b=True)
            return tf.reshape(dx, x.shape), correlate_rows(x, dy)

        return y, gradient
