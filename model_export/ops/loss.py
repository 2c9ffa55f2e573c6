"""Softmax cross-entropy over weighted samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from model_export.ops.tensor import Tensor

__all__ = ["Scores", "cross_entropy"]


class Scores(NamedTuple):
    """Sums over the samples of a batch, each times its weight.

    Attributes
    ----------
    loss
        Sum of ``w·l``.
    correct
        Sum of ``w·[argmax = y]``.
    weight
        Sum of ``w``.
    gradient
        Returns the gradient of the mean loss ``loss / weight`` with respect to the logits.
    """

    loss: Tensor
    correct: Tensor
    weight: Tensor
    gradient: Callable[[], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Scores:
    """Score ``logits [B, K]`` against ``labels [B] int32``, ``weights [B]``."""
    batch, classes = logits.shape
    truth = tf.one_hot(labels, classes)
    losses = -tf.reduce_sum(tf.nn.log_softmax(logits) * truth, axis=-1)
    hits = tf.cast(tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels), tf.float32)
    weight = tf.reduce_sum(weights)

    def gradient() -> Tensor:
        share = tf.reshape(weights / weight, [batch, 1])
        return (tf.nn.softmax(logits) - truth) * share

    return Scores(tf.reduce_sum(losses * weights), tf.reduce_sum(hits * weights), weight, gradient)
