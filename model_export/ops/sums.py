"""Sums that keep float32 accurate on a phone.

TFLite's SUM adds one element after the other into one float32, so the error grows with the number of elements. Summing
axis by axis keeps every chain short: summing 16·32·32 values one after the other loses two digits more than this.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from model_export.ops.tensor import Tensor

__all__ = ["sum_onto", "sum_per_sample", "sum_to_channels"]


def sum_to_channels(x: Tensor) -> Tensor:
    """Sum ``[…, C]`` over all axes but the last, the innermost first; ``[C]``."""
    while len(x.shape) > 1:
        x = tf.reduce_sum(x, axis=-2)
    return x


def sum_per_sample(x: Tensor) -> Tensor:
    """Sum ``[B, …, C]`` over all axes but the first and the last; ``[B, C]``."""
    while len(x.shape) > 2:
        x = tf.reduce_sum(x, axis=-2)
    return x


def sum_onto(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum ``x`` over the axes along which a tensor of ``shape`` was broadcast; the adjoint of broadcasting."""
    surplus = len(x.shape) - len(shape)
    for axis in reversed(range(len(x.shape))):
        if axis < surplus or (shape[axis - surplus] == 1 and x.shape[axis] != 1):
            x = tf.reduce_sum(x, axis=axis, keepdims=True)
    return x if tuple(x.shape) == shape else tf.reshape(x, np.array(shape, np.int32))
