"""Every op and its gradient against TensorFlow's own, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from model_export.ops import activation, batch_norm, loss, pooling, sums
from model_export.ops.convolution import convolution
from model_export.ops.depthwise import MOST_CHANNELS, depthwise_convolution
from model_export.ops.tensor import Tensor
from model_export.ops.windows import Window
from model_export.options import CONVOLUTIONS

# Sums of up to a few thousand float32 products of values near 1 are off by about 1e-6; a wrong formula by about 1.
TOLERANCE: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-5}

# size, kernel, strides, padding
WINDOWS = [
    ((6, 7), (3, 3), (1, 1), "same"),
    ((6, 7), (3, 3), (1, 1), "valid"),
    ((6, 7), (1, 1), (1, 1), "same"),
    ((6, 7), (1, 1), (2, 2), "same"),
    ((7, 7), (1, 1), (2, 2), "valid"),
    ((6, 5), (2, 2), (1, 1), "same"),
    ((6, 5), (2, 4), (1, 1), "valid"),
    ((5, 9), (5, 1), (1, 1), "same"),
    ((8, 8), (3, 3), (2, 2), "same"),
    ((9, 7), (3, 3), (2, 2), "same"),
    ((9, 8), (3, 3), (2, 2), "valid"),
    ((9, 8), (2, 2), (3, 3), "valid"),
    ((2, 3), (3, 3), (2, 2), "same"),
    ((1, 1), (3, 3), (1, 1), "same"),
    ((6, 8), (3, 3), (1, 1), "same"),
    ((6, 8), (3, 5), (1, 1), "valid"),
    ((1, 12), (1, 3), (1, 1), "same"),
]
RECTANGULAR = [((9, 8), (3, 2), (2, 1), "same"), ((9, 8), (2, 3), (1, 3), "valid")]


def _normal(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _hold(ours: Any, theirs: Callable[..., Tensor], *inputs: Any) -> None:
    """Compare output and gradients of ``ours = (output, backward)`` with TensorFlow's ``theirs(*inputs)``."""
    y, backward = ours
    exact = [tf.constant(x, tf.float64) for x in inputs]
    dy = _normal(*y.shape)
    with tf.GradientTape() as tape:
        tape.watch(exact)
        expected = theirs(*exact)
        total = tf.reduce_sum(expected * tf.constant(dy, tf.float64))
    gradients = backward(tf.constant(dy))
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    np.testing.assert_allclose(y, expected, **TOLERANCE)
    for found, wanted in zip(gradients, tape.gradient(total, exact), strict=True):
        np.testing.assert_allclose(found, wanted, **TOLERANCE)


@pytest.mark.parametrize("channels", [(3, 5), (20, 24)])
@pytest.mark.parametrize("form", CONVOLUTIONS)
@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), WINDOWS + RECTANGULAR)
def test_convolution(size: Any, kernel: Any, strides: Any, padding: str, form: str, channels: tuple[int, int]) -> None:
    x, w = _normal(4, *size, channels[0]), _normal(*kernel, *channels)
    ours = convolution(tf.constant(x), tf.constant(w), Window.of(size, kernel, strides, padding), form)
    _hold(ours, lambda x, w: tf.nn.conv2d(x, w, strides, padding.upper()), x, w)


@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), WINDOWS)
def test_depthwise_convolution(size: Any, kernel: Any, strides: Any, padding: str) -> None:
    x, w = _normal(4, *size, 3), _normal(*kernel, 3, 1)
    ours = depthwise_convolution(tf.constant(x), tf.constant(w), Window.of(size, kernel, strides, padding))
    _hold(ours, lambda x, w: tf.nn.depthwise_conv2d(x, w, [1, *strides, 1], padding.upper()), x, w)


def test_depthwise_gradient_folds_no_more_channels_than_the_runtime_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[int] = []
    real = tf.nn.depthwise_conv2d

    def spy(x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        folded.append(x.shape[-1])
        return real(x, *arguments, **options)

    monkeypatch.setattr(tf.nn, "depthwise_conv2d", spy)
    x, w = _normal(5, 4, 4, 2000), _normal(3, 3, 2000, 1)
    ours = depthwise_convolution(tf.constant(x), tf.constant(w), Window.of((4, 4), (3, 3), (1, 1), "same"))
    _hold(ours, lambda x, w: real(x, w, [1, 1, 1, 1], "SAME"), x, w)
    assert 2000 < max(folded) <= MOST_CHANNELS


@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), WINDOWS + RECTANGULAR)
def test_average_pool(size: Any, kernel: Any, strides: Any, padding: str) -> None:
    x = _normal(2, *size, 3)
    ours = pooling.average_pool(tf.constant(x), Window.of(size, kernel, strides, padding))
    _hold(ours, lambda x: tf.nn.avg_pool2d(x, kernel, strides, padding.upper()), x)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), WINDOWS + RECTANGULAR)
def test_max_pool(size: Any, kernel: Any, strides: Any, padding: str, ties: bool) -> None:
    x = _normal(2, *size, 3)
    if ties:
        x = np.round(x)
    ours = pooling.max_pool(tf.constant(x), Window.of(size, kernel, strides, padding))
    _hold(ours, lambda x: tf.nn.max_pool2d(x, kernel, strides, padding.upper()), x)


@pytest.mark.parametrize(
    ("function", "theirs"),
    [
        (activation.linear, tf.identity),
        (activation.relu, tf.nn.relu),
        (activation.relu6, tf.nn.relu6),
        (activation.clipped_relu(2.5), lambda x: tf.clip_by_value(tf.nn.relu(x), 0, 2.5)),
        (activation.sigmoid, tf.sigmoid),
        (activation.tanh, tf.tanh),
        (activation.softmax, tf.nn.softmax),
    ],
)
def test_activation(function: Any, theirs: Any) -> None:
    x = _normal(4, 5, 6) * 4
    x[0, 0, :3] = 0
    _hold(function(tf.constant(x)), theirs, x)


@pytest.mark.parametrize("shape", [(6, 3), (6, 4, 5, 3)])
@pytest.mark.parametrize("weights", [[1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0], [0.5, 2, 0, 1, 1, 3]])
def test_batch_norm(shape: tuple[int, ...], weights: list[float]) -> None:
    x, gamma, beta = _normal(*shape) * 3 + 5, _normal(3) + 1, _normal(3)
    w: Any = np.array(weights, np.float32)
    exact_w = tf.constant(w.reshape(-1, *[1] * (len(shape) - 1)), tf.float64)

    def theirs(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        axes = list(range(len(shape) - 1))
        share = exact_w / tf.reduce_sum(exact_w * tf.ones_like(x[..., :1]))
        mean = tf.reduce_sum(x * share, axes)
        variance = tf.reduce_sum((x - mean) ** 2 * share, axes)
        return (x - mean) * tf.math.rsqrt(variance + 1e-3) * gamma + beta

    y, mean, variance, gradient = batch_norm.batch_norm(
        tf.constant(x), tf.constant(gamma), tf.constant(beta), 1e-3, tf.constant(w)
    )
    _hold((y, gradient), theirs, x, gamma, beta)
    taken = x[w > 0] if set(weights) <= {0, 1} else None
    if taken is not None:
        axes = tuple(range(len(shape) - 1))
        np.testing.assert_allclose(mean, taken.mean(axes), **TOLERANCE)
        np.testing.assert_allclose(variance, taken.var(axes), **TOLERANCE)


def test_fixed_norm() -> None:
    x, gamma, beta, mean = _normal(4, 3, 3, 5), _normal(5), _normal(5) + 1, _normal(5)
    variance = _normal(5) ** 2 + 0.1
    inverse = 1 / np.sqrt(np.float64(variance) + 1e-3)
    x32, gamma32, beta32, mean32, variance32 = (tf.constant(a) for a in (x, gamma, beta, mean, variance))
    ours = batch_norm.fixed_norm(x32, gamma32, beta32, mean32, variance32, 1e-3)
    _hold(ours, lambda x, g, b: (x - np.float64(mean)) * inverse * g + b, x, gamma, beta)


def test_cross_entropy() -> None:
    logits, labels = _normal(6, 4) * 3, np.array([0, 1, 2, 3, 3, 0], np.int32)
    weights = np.array([1, 0, 2, 1, 0.5, 1], np.float32)

    def theirs(logits: Tensor) -> Tensor:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.reduce_sum(losses * weights) / weights.sum()

    scores = loss.cross_entropy(tf.constant(logits), tf.constant(labels), tf.constant(weights))
    _hold((scores.loss / scores.weight, lambda dy: scores.gradient() * dy), theirs, logits)
    assert scores.correct == (weights * (logits.argmax(-1) == labels)).sum()


@pytest.mark.parametrize("shape", [(4, 1, 1, 3), (1, 5, 6, 3), (3,), (4, 5, 6, 3)])
def test_sum_onto_is_the_adjoint_of_broadcasting(shape: tuple[int, ...]) -> None:
    x = _normal(*shape)
    ours = (tf.constant(x) * tf.ones((4, 5, 6, 3)), lambda dy: sums.sum_onto(dy, shape))
    _hold(ours, lambda x: x * tf.ones((4, 5, 6, 3), tf.float64), x)
