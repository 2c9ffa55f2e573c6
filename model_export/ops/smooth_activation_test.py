"""Smooth activations and their gradients against TensorFlow in float64, far beyond where activations usually are."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_export.ops import smooth_activation

FUNCTIONS = ["gelu", "mish", "selu", "softplus", "softsign"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients(name: str) -> None:
    points = np.concatenate([np.linspace(-12, 12, 4001) + 1e-4, [-1e4, -100.0, 100.0, 1e4]])
    theirs: Any = getattr(keras.activations, name)
    exact = tf.constant(points, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(exact)
        expected = theirs(exact)
    slope = tape.gradient(expected, exact)
    y, backward = getattr(smooth_activation, name)(tf.constant(points, tf.float32))
    np.testing.assert_allclose(y, expected, rtol=5e-7, atol=5e-7)
    np.testing.assert_allclose(backward(tf.ones_like(y)), slope, rtol=1e-6, atol=1e-6)
