"""Layer normalization over the last axis, with its gradient in closed form."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from model_export.ops.sums import sum_to_channels
from model_export.ops.tensor import Tensor

__all__ = ["layer_norm"]

Gradient = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Gradient]:
    """Normalize each row of ``x [B, …, C]`` by its own mean and variance.

    Parameters
    ----------
    x
        ``[B, …, C]``.
    gamma, beta
        Scale and shift, ``[C]``.
    epsilon
        Added to the variance.

    Returns
    -------
    output
        ``[B, …, C]``.
    gradient
        Takes the output's gradient; returns those of ``x``, ``gamma`` and ``beta``.
    """
    share = 1.0 / x.shape[-1]
    centred = x - tf.reduce_sum(x, axis=-1, keepdims=True) * share
    variance = tf.reduce_sum(centred * centred, axis=-1, keepdims=True) * share
    inverse = tf.math.rsqrt(variance + epsilon)
    normal = centred * inverse

    def gradient(dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scaled = dy * gamma
        mean = tf.reduce_sum(scaled, axis=-1, keepdims=True) * share
        along = tf.reduce_sum(scaled * normal, axis=-1, keepdims=True) * share
        dx = (scaled - mean - normal * along) * inverse
        return dx, sum_to_channels(dy * normal), sum_to_channels(dy)

    return normal * gamma + beta, gradient
