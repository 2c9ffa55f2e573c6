"""Pooling over windows that may overlap."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from model_export.ops.tensor import Backward, Tensor
from model_export.ops.windows import Window, gather, scatter

__all__ = ["average_pool", "max_pool"]

_LOWEST = float(np.finfo(np.float32).min)


def max_pool(x: Tensor, window: Window) -> tuple[Tensor, Backward]:
    """Largest value of each window of ``x [N, H, W, C]``; of several, the first in row order has the gradient."""
    y = tf.nn.max_pool2d(x, window.kernel, window.strides, window.padding)

    def backward(dy: Tensor) -> Tensor:
        rest = dy
        parts = []
        for seen in gather(x, window, fill=_LOWEST):
            part = rest * tf.cast(tf.equal(seen, y), dy.dtype)
            rest = rest - part
            parts.append(part)
        return scatter(parts, window)

    return y, backward


def average_pool(x: Tensor, window: Window) -> tuple[Tensor, Backward]:
    """Mean of each window of ``x [N, H, W, C]``; padding is not counted."""
    y = tf.nn.avg_pool2d(x, window.kernel, window.strides, window.padding)

    def backward(dy: Tensor) -> Tensor:
        share = dy * (1 / window.pooled)
        return scatter([share] * len(window.taps), window)

    return y, backward
