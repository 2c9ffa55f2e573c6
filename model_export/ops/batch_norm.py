"""Batch normalization over weighted samples, with its gradient in closed form."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from model_export.ops.sums import sum_per_sample, sum_to_channels
from model_export.ops.tensor import Tensor

__all__ = ["batch_norm", "fixed_norm"]

Gradient = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor, Gradient]:
    """Normalize ``x [B, …, C]`` by the statistics of the batch.

    Parameters
    ----------
    x
        ``[B, …, C]``.
    gamma, beta
        Scale and shift, ``[C]``.
    epsilon
        Added to the variance.
    weights
        Weight of each sample ``[B]``; a sample of weight 0 takes no part in the statistics.

    Returns
    -------
    output
        ``[B, …, C]``.
    mean, variance
        Weighted statistics (the biased variance, as Keras has it), ``[C]``.
    gradient
        Takes the output's gradient; returns those of ``x``, ``gamma`` and ``beta``.
    """
    batch, places = x.shape[0], 1
    for size in x.shape[1:-1]:
        places *= size
    share = tf.reshape(weights / (tf.reduce_sum(weights) * float(places)), [batch, 1])
    mean = tf.reduce_sum(sum_per_sample(x) * share, axis=0)
    centred = x - mean
    variance = tf.reduce_sum(sum_per_sample(centred * centred) * share, axis=0)
    inverse = tf.math.rsqrt(variance + epsilon)
    scale = gamma * inverse

    def gradient(dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dbeta = sum_to_channels(dy)
        along = sum_to_channels(dy * centred)
        per_sample = [batch, *[1] * (len(x.shape) - 2), x.shape[-1]]
        from_mean = tf.reshape(share * (dbeta * scale), per_sample)
        from_variance = tf.reshape(share * (along * inverse * inverse * scale), per_sample)
        dx = dy * scale - (centred * from_variance + from_mean)
        return dx, along * inverse, dbeta

    return centred * scale + beta, mean, variance, gradient


def fixed_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, epsilon: float
) -> tuple[Tensor, Gradient]:
    """Normalize ``x [B, …, C]`` by given statistics; the same results as `batch_norm` otherwise."""
    inverse = tf.math.rsqrt(variance + epsilon)
    scale = gamma * inverse

    def gradient(dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dgamma = sum_to_channels(dy * (x - mean)) * inverse
        return dy * scale, dgamma, sum_to_channels(dy)

    return x * scale + (beta - mean * scale), gradient
