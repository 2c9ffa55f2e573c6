"""Depthwise convolution: the kernel of TFLite forward and, turned around, backward."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from model_export.ops.tensor import Tensor
from model_export.ops.windows import Window, pad_or_crop, scatter, turned_around

__all__ = ["MOST_CHANNELS", "depthwise_convolution"]

MOST_CHANNELS = 4096
"""LiteRT's depthwise kernel never returns with more than about 4,800 channels."""

Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]


def depthwise_convolution(x: Tensor, kernel: Tensor, window: Window) -> tuple[Tensor, Gradient]:
    """Convolve each channel of ``x [N, H, W, C]`` with its own ``kernel [kh, kw, C, 1]``; strides are equal.

    Returns
    -------
    output
        ``[N, OH, OW, C]``.
    gradient
        Takes the output's gradient; returns those of ``x`` and ``kernel``.
    """
    height, width, _, _ = kernel.shape
    stride = window.strides[0]
    rows, columns = window.output
    seen = ((rows - 1) * stride + height, (columns - 1) * stride + width)
    padded = pad_or_crop(x, window.before, seen)
    y = _depthwise(padded, kernel, stride)

    def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
        spread_size = ((rows - 1) * stride + 1, (columns - 1) * stride + 1)
        spread = scatter([dy], Window.of(spread_size, (1, 1), window.strides, "valid"))
        before = (height - 1 - window.before[0], width - 1 - window.before[1])
        full = (window.size[0] + height - 1, window.size[1] + width - 1)
        dx = _depthwise(pad_or_crop(spread, before, full), turned_around(kernel), 1)
        return dx, _kernel_gradient(padded, dy, window)

    return y, gradient


def _depthwise(x: Tensor, kernel: Tensor, stride: int, dilation: int = 1) -> Tensor:
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "VALID", dilations=[dilation, dilation])


def _kernel_gradient(padded: Tensor, dy: Tensor, window: Window) -> Tensor:
    """Correlate with ``dy`` as the kernel: samples are folded into channels, so one depthwise convolution does it."""
    (height, width), stride = window.kernel, window.strides[0]
    samples, channels = dy.shape[0], dy.shape[-1]
    if window.output == (1, 1):
        return tf.reshape(tf.reduce_sum(padded * dy, axis=0), [height, width, channels, 1])
    at_once = max(MOST_CHANNELS // channels, 1)
    total = None
    for first in range(0, samples, at_once):
        count = min(at_once, samples - first)
        part = slice(first, first + count)
        image = tf.reshape(tf.transpose(padded[part], [1, 2, 0, 3]), [1, *padded.shape[1:3], count * channels])
        kernel = tf.reshape(tf.transpose(dy[part], [1, 2, 0, 3]), [*window.output, count * channels, 1])
        found = tf.reshape(_depthwise(image, kernel, 1, stride), [height * width, count, channels])
        found = tf.reduce_sum(found, axis=1)
        total = found if total is None else total + found
    return tf.reshape(total, [height, width, channels, 1])
