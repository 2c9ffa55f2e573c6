"""Batch normalization of a pointwise convolution with many outputs, computed on its few inputs.

A 1×1 convolution ``x K`` is linear, so the batch statistics of its outputs follow from those of its inputs: with ``c``
the centred inputs and ``Cov`` their weighted covariance, the outputs' mean is ``mean(x) K``, and their variance the
diagonal of ``Kᵀ Cov K``. Then centring and scaling go into inputs and kernel, and the product yields normalized values
at once. Backward likewise: the two terms that the statistics add to the gradient are a product of ``c`` with an
``[I, I]`` matrix. Where a MobileNet expands its channels sixfold, this leaves 1 pass over the large tensor of the 4
that normalizing takes forward, and none of the 5 backward; and the centred outputs need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from model_export.ops.matmul import correlate_rows, matmul
from model_export.ops.sums import sum_per_sample, sum_to_channels
from model_export.ops.tensor import Tensor

__all__ = ["Expansion", "ExpansionGradient", "expansion_norm"]


@dataclass(frozen=True)
class Expansion:
    """A pointwise convolution that was not carried out: ``x [B, H, W, I]`` times ``kernel [1, 1, I, O]``."""

    x: Tensor
    kernel: Tensor


@dataclass(frozen=True)
class ExpansionGradient:
    """What a convolution that was not carried out gets back: the gradients of its input and its kernel."""

    x: Tensor
    kernel: Tensor


Gradient = Callable[[Tensor], tuple[ExpansionGradient, Tensor, Tensor]]


def expansion_norm(
    expansion: Expansion, gamma: Tensor, beta: Tensor, epsilon: float, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor, Gradient]:
    """Normalize the outputs of ``expansion`` by the statistics of the batch; as `batch_norm`, which see.

    Returns
    -------
    output
        ``[B, H, W, O]``.
    mean, variance
        Weighted statistics of the convolution's outputs, ``[O]``.
    gradient
        Takes the output's gradient; returns those of the convolution, ``gamma`` and ``beta``.
    """
    x = expansion.x
    batch, height, width, inputs = x.shape
    outputs, places = expansion.kernel.shape[-1], height * width
    kernel = tf.reshape(expansion.kernel, [inputs, outputs])
    share = tf.reshape(weights / (tf.reduce_sum(weights) * float(places)), [batch, 1])
    of_sample = tf.reshape(share, [batch, 1, 1, 1])
    mean = tf.reduce_sum(sum_per_sample(x) * share, axis=0)
    centred = x - mean
    spread = matmul(correlate_rows(centred * of_sample, centred), kernel)
    variance = tf.nn.relu(tf.reduce_sum(spread * kernel, axis=0))
    inverse = tf.math.rsqrt(variance + epsilon)
    scale = gamma * inverse
    scaled = kernel * scale
    rows = tf.reshape(centred, [batch * places, inputs])
    output = tf.reshape(matmul(rows, scaled), [batch, height, width, outputs]) + beta

    def gradient(dy: Tensor) -> tuple[ExpansionGradient, Tensor, Tensor]:
        dbeta = sum_to_channels(dy)
        product = correlate_rows(centred, dy)
        along = tf.reduce_sum(product * kernel, axis=0)
        from_variance = along * inverse * inverse * scale
        dkernel = product * scale - spread * from_variance
        direct = matmul(tf.reshape(dy, [batch * places, outputs]), scaled, transpose_b=True)
        # What the statistics' own dependence on the inputs adds, the outputs' two terms taken back through the kernel.
        turned = matmul(kernel * from_variance, kernel, transpose_b=True)
        shift = matmul(tf.reshape(dbeta, [1, outputs]), scaled, transpose_b=True)
        through = tf.reshape(matmul(rows, turned) + shift, x.shape) * of_sample
        dx = tf.reshape(direct, x.shape) - through
        return ExpansionGradient(dx, tf.reshape(dkernel, expansion.kernel.shape)), along * inverse, dbeta

    return output, tf.reshape(matmul(tf.reshape(mean, [1, inputs]), kernel), [outputs]), variance, gradient
