"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from model_export.ops.tensor import Backward, Tensor

__all__ = [
    "clipped_relu",
    "elu",
    "hard_sigmoid",
    "hard_silu",
    "leaky_relu",
    "linear",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]

# Large enough that any activation above 1e-30 times it is at least one: XNNPACK multiplies and takes minima, but
# neither compares nor casts, and the mask of a ReLU is the most frequent operation of a training step.
_LARGE = 1e30


def linear(x: Tensor) -> tuple[Tensor, Backward]:
    """Identity."""
    return x, lambda dy: dy


def relu(x: Tensor) -> tuple[Tensor, Backward]:
    """``max(x, 0)``."""
    y = tf.nn.relu(x)
    return y, lambda dy: dy * _above_zero(y)


def relu6(x: Tensor) -> tuple[Tensor, Backward]:
    """``min(max(x, 0), 6)``; an op of its own, which TFLite fuses into convolutions."""
    y = tf.nn.relu6(x)
    return y, lambda dy: dy * _above_zero(y * (6.0 - y))


def clipped_relu(limit: float) -> Callable[[Tensor], tuple[Tensor, Backward]]:
    """``min(max(x, 0), limit)``."""

    def clipped(x: Tensor) -> tuple[Tensor, Backward]:
        y = tf.minimum(tf.nn.relu(x), limit)
        return y, lambda dy: dy * _above_zero(y * (limit - y))

    return clipped


def _above_zero(x: Tensor) -> Tensor:
    """Return 1 where ``x`` is above zero and 0 where it is zero; it is never below.

    The converter merges the limits into the product, which makes it one op.
    """
    return tf.minimum(tf.maximum(x * _LARGE, -1.0), 1.0)


def leaky_relu(slope: float) -> Callable[[Tensor], tuple[Tensor, Backward]]:
    """``x`` above zero, ``slope * x`` below."""

    def leaky(x: Tensor) -> tuple[Tensor, Backward]:
        y = tf.nn.leaky_relu(x, alpha=slope)

        def backward(dy: Tensor) -> Tensor:
            above_zero = _above_zero(tf.nn.relu(x))
            return dy * (above_zero * (1.0 - slope) + slope)

        return y, backward

    return leaky


def elu(x: Tensor) -> tuple[Tensor, Backward]:
    """``x`` above zero, ``exp(x) - 1`` below."""
    y = tf.nn.elu(x)
    return y, lambda dy: dy * (tf.minimum(y, 0.0) + 1.0)


def hard_sigmoid(x: Tensor) -> tuple[Tensor, Backward]:
    """``relu6(x + 3) / 6``, a line where the logistic function is steep."""
    y6, backward6 = relu6(x + 3.0)
    return y6 * (1 / 6), lambda dy: backward6(dy * (1 / 6))


def hard_silu(x: Tensor) -> tuple[Tensor, Backward]:
    """``x * hard_sigmoid(x)``, MobileNetV3's h-swish."""
    gate, backward_gate = hard_sigmoid(x)
    return x * gate, lambda dy: dy * gate + backward_gate(dy * x)


def silu(x: Tensor) -> tuple[Tensor, Backward]:
    """``x * sigmoid(x)``."""
    gate = tf.sigmoid(x)
    y = x * gate
    return y, lambda dy: dy * (gate + y * (1.0 - gate))


def sigmoid(x: Tensor) -> tuple[Tensor, Backward]:
    """Logistic function."""
    y = tf.sigmoid(x)
    return y, lambda dy: dy * (y * (1.0 - y))


def tanh(x: Tensor) -> tuple[Tensor, Backward]:
    """Hyperbolic tangent."""
    y = tf.tanh(x)
    return y, lambda dy: dy * (1.0 - y * y)


def softmax(x: Tensor) -> tuple[Tensor, Backward]:
    """Softmax over the last axis."""
    y = tf.nn.softmax(x)
    return y, lambda dy: (dy - tf.reduce_sum(dy * y, axis=-1, keepdims=True)) * y
