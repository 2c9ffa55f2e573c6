"""Smooth activation functions of transformers and of self-normalizing networks."""

from __future__ import annotations

import math

import tensorflow as tf

from model_export.ops.tensor import Backward, Tensor

__all__ = ["exponential", "gelu", "mish", "selu", "softplus", "softsign"]

# Abramowitz & Stegun, Handbook of Mathematical Functions, 7.1.26: the error of erf is at most 1.5e-7.
_ERF_P = 0.3275911
_ERF_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)

# Klambauer et al., Self-Normalizing Neural Networks, 2017.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def gelu(x: Tensor) -> tuple[Tensor, Backward]:
    """``x · Φ(x)`` with the normal distribution Φ to within 1e-7; TFLite has no ``erf`` of its own."""
    density = tf.exp(x * x * -0.5)
    t = 1.0 / (tf.abs(x) * (_ERF_P * math.sqrt(0.5)) + 1.0)
    polynomial = t * _ERF_A[-1]
    for coefficient in reversed(_ERF_A[:-1]):
        polynomial = (polynomial + coefficient) * t
    tail = polynomial * density * 0.5  # Φ(-|x|)
    # 0 below zero and 1 above: the tail is taken from one side or the other.
    sign = tf.sign(x)
    normal = (sign + 1.0) * 0.5 - sign * tail
    return x * normal, lambda dy: dy * (normal + x * density * (1 / math.sqrt(2 * math.pi)))


def softplus(x: Tensor) -> tuple[Tensor, Backward]:
    """``ln(1 + exp(x))``; the exponential never overflows."""
    y = tf.nn.relu(x) - tf.math.log(tf.sigmoid(tf.abs(x)))
    return y, lambda dy: dy * tf.sigmoid(x)


def softsign(x: Tensor) -> tuple[Tensor, Backward]:
    """``x / (1 + |x|)``."""
    inverse = 1.0 / (tf.abs(x) + 1.0)
    return x * inverse, lambda dy: dy * (inverse * inverse)


def mish(x: Tensor) -> tuple[Tensor, Backward]:
    """``x · tanh(softplus(x))`` (Misra 2020).

    With ``q = sigmoid(-x)`` the hyperbolic tangent is ``(1 - q²) / (1 + q²)``, and no digit is lost far from zero.
    """
    p, q = tf.sigmoid(x), tf.sigmoid(-x)
    inverse = 1.0 / (q * q + 1.0)
    t = p * (q + 1.0) * inverse
    return x * t, lambda dy: dy * (t + x * p * tf.square(q * inverse * 2.0))


def exponential(x: Tensor) -> tuple[Tensor, Backward]:
    """``exp(x)``."""
    y = tf.exp(x)
    return y, lambda dy: dy * y


def selu(x: Tensor) -> tuple[Tensor, Backward]:
    """``ELU`` scaled so that activations keep mean 0 and variance 1."""
    unit = tf.nn.elu(x)
    y = tf.nn.relu(x) * _SELU_SCALE + tf.minimum(unit, 0.0) * (_SELU_SCALE * _SELU_ALPHA)

    def backward(dy: Tensor) -> Tensor:
        above_zero = tf.minimum(tf.nn.relu(x) * 1e30, 1.0)
        below = (tf.minimum(unit, 0.0) + 1.0) * (_SELU_SCALE * _SELU_ALPHA)
        return dy * (below + above_zero * (_SELU_SCALE - below))

    return y, backward
