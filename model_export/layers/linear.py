"""``Conv2D``, ``DepthwiseConv2D`` and ``Dense``: a linear map, a bias, an activation."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Optional

import tensorflow as tf

from model_export.layers.activation import activate, unsupported_activation
from model_export.layers.base import Applied, Call, Gradients, Layer, LayerRule, Shape, unsupported_setting
from model_export.ops.convolution import convolution
from model_export.ops.depthwise import MOST_CHANNELS, depthwise_convolution
from model_export.ops.matmul import correlate_rows, matmul
from model_export.ops.sums import sum_to_channels
from model_export.ops.tensor import Tensor
from model_export.ops.windows import Window

__all__ = ["Conv2DRule", "DenseRule", "DepthwiseConv2DRule"]

Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]


class _LinearRule(LayerRule):
    """What the three have in common."""

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
            mapped, gradient = self._product(layer, x, kernel)
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
    def _product(self, layer: Layer, x: Tensor, kernel: Tensor) -> tuple[Tensor, Gradient]:
        """Apply a variable kernel; return output and gradient."""


def _no_gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
    raise AssertionError("a constant layer has no gradient")


class Conv2DRule(_LinearRule):
    """``Conv2D``."""

    def macs(self, layer: Layer, output_shape: Shape) -> int:
        """See `LayerRule`."""
        return math.prod(output_shape) * int(math.prod(layer.kernel.shape[:3]))

    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        return unsupported_setting(layer, data_format="channels_last", dilation_rate=(1, 1), groups=1)

    def _inference(self, layer: Layer, x: Tensor, kernel: Tensor) -> Tensor:
        return tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper())

    def _product(self, layer: Layer, x: Tensor, kernel: Tensor) -> tuple[Tensor, Gradient]:
        window = Window.of(tuple(x.shape[1:3]), layer.kernel_size, layer.strides, layer.padding)
        return convolution(x, kernel, window)


class DepthwiseConv2DRule(_LinearRule):
    """``DepthwiseConv2D``."""

    def macs(self, layer: Layer, output_shape: Shape) -> int:
        """See `LayerRule`."""
        return math.prod(output_shape) * int(math.prod(layer.kernel_size))

    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        if layer.kernel.shape[2] * layer.depth_multiplier > MOST_CHANNELS:
            return f"more than {MOST_CHANNELS} output channels are not supported"
        return unsupported_setting(layer, data_format="channels_last", dilation_rate=(1, 1))

    def _inference(self, layer: Layer, x: Tensor, kernel: Tensor) -> Tensor:
        return tf.nn.depthwise_conv2d(x, kernel, [1, *layer.strides, 1], layer.padding.upper())

    def _product(self, layer: Layer, x: Tensor, kernel: Tensor) -> tuple[Tensor, Gradient]:
        window = Window.of(tuple(x.shape[1:3]), layer.kernel_size, layer.strides, layer.padding)
        multiplier = layer.depth_multiplier
        if multiplier == 1:
            return depthwise_convolution(x, kernel, window)
        samples, height, width, channels = x.shape
        copies = tf.reshape(x, [samples, height, width, channels, 1]) * tf.ones([multiplier])
        repeated = tf.reshape(copies, [samples, height, width, channels * multiplier])
        flat_kernel = tf.reshape(kernel, [*layer.kernel_size, channels * multiplier, 1])
        y, repeated_gradient = depthwise_convolution(repeated, flat_kernel, window)

        def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
            drepeated, dkernel = repeated_gradient(dy)
            dx = tf.reduce_sum(tf.reshape(drepeated, copies.shape), axis=-1)
            return dx, tf.reshape(dkernel, kernel.shape)

        return y, gradient


class DenseRule(_LinearRule):
    """``Dense`` on the last axis."""

    def macs(self, layer: Layer, output_shape: Shape) -> int:
        """See `LayerRule`."""
        return math.prod(output_shape) * int(layer.kernel.shape[0])

    def _unsupported_map(self, layer: Layer) -> Optional[str]:
        return None

    def _inference(self, layer: Layer, x: Tensor, kernel: Tensor) -> Tensor:
        return tf.matmul(x, kernel)

    def _product(self, layer: Layer, x: Tensor, kernel: Tensor) -> tuple[Tensor, Gradient]:
        inputs, outputs = kernel.shape
        places = math.prod(x.shape[:-1])
        rows = tf.reshape(x, [places, inputs])
        y = tf.reshape(matmul(rows, kernel), [*x.shape[:-1], outputs])

        def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
            dx = matmul(tf.reshape(dy, [places, outputs]), kernel, transpose_b=True)
            return tf.reshape(dx, x.shape), correlate_rows(x, dy)

        return y, gradient
