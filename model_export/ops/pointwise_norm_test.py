from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from model_export.ops.batch_norm import batch_norm
from model_export.ops.convolution import convolution
from model_export.ops.pointwise_norm import Expansion, expansion_norm
from model_export.ops.windows import Window

SAMPLES, SIZE, INPUTS, OUTPUTS = 4, (5, 6), 3, 11


def case(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "x": random.normal(2.0, 1.5, (SAMPLES, *SIZE, INPUTS)),
        "kernel": random.normal(size=(1, 1, INPUTS, OUTPUTS)),
        "gamma": random.normal(1.0, 0.3, OUTPUTS),
        "beta": random.normal(size=OUTPUTS),
        "weights": np.array([1.0, 0.5, 0.0, 2.0]),
        "dy": random.normal(size=(SAMPLES, *SIZE, OUTPUTS)),
    }


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_convolution_and_its_batch_norm(seed: int) -> None:
    """In float64, where only a different formula could tell them apart."""
    given = {name: tf.constant(value, tf.float64) for name, value in case(seed).items()}
    window = Window.of(SIZE, (1, 1), (1, 1), "valid")
    mapped, map_gradient = convolution(given["x"], given["kernel"], window)
    norm = (given["gamma"], given["beta"], tf.constant(1e-3, tf.float64), given["weights"])
    *expected, norm_gradient = batch_norm(mapped, *norm)
    *found, gradient = expansion_norm(Expansion(given["x"], given["kernel"]), *norm)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    dmapped, dgamma, dbeta = norm_gradient(given["dy"])
    dx, dkernel = map_gradient(dmapped)
    back, found_gamma, found_beta = gradient(given["dy"])
    for one, other in ((back.x, dx), (back.kernel, dkernel), (found_gamma, dgamma), (found_beta, dbeta)):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


def test_outputs_that_do_not_vary_are_finite() -> None:
    """In float32 the variance from the covariance may come out below zero."""
    given = {name: tf.constant(value, tf.float32) for name, value in case(0).items()}
    x = tf.concat([given["x"][..., :1]] * INPUTS, axis=-1)
    kernel = tf.constant([100.0, -300.0, 200.0])[:, None] * tf.ones([1, OUTPUTS])
    expansion = Expansion(x, tf.reshape(kernel, [1, 1, INPUTS, OUTPUTS]))
    output, _, variance, gradient = expansion_norm(expansion, given["gamma"], given["beta"], 1e-3, given["weights"])
    assert (variance.numpy() >= 0).all()
    np.testing.assert_allclose(output, tf.broadcast_to(given["beta"], output.shape), atol=0.1)
    assert np.isfinite(gradient(given["dy"])[0].kernel).all()
