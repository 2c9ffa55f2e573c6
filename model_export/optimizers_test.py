"""Adam over many steps, and what its options refuse."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_export.errors import ExportError
from model_export.optimizers import update_rule
from model_export.options import Adam
from model_export.reference import keras_optimizer

STEPS = 2000


def test_adam_follows_keras_in_float64_over_thousands_of_steps() -> None:
    """Gradients of sizes from 1e-6 to 1 with noise; the moments and the correction of their bias are float32."""
    options = Adam(weight_decay=1e-3)
    rule = update_rule(options)
    random = np.random.default_rng(0)
    start = random.normal(size=64)
    gradients = random.normal(0.3, 1, size=(STEPS, 64)) * np.geomspace(1e-6, 1, 64)

    exact, rounded = (keras.Variable(start, dtype=dtype) for dtype in ("float64", "float32"))
    twins = [(variable, keras_optimizer(options, 1e-3)) for variable in (exact, rounded)]
    for variable, optimizer in twins:
        optimizer.build([variable])

    @tf.function  # type: ignore[untyped-decorator]
    def step(value: Any, gradient: Any, slots: dict[str, Any], number: Any) -> Any:
        for variable, optimizer in twins:
            optimizer.apply([tf.cast(gradient, variable.dtype)], [variable])
        gradient, number = tf.cast(gradient, tf.float32), tf.cast(number, tf.float32)
        return rule.update(value, gradient, tf.constant(1e-3), slots, number)

    value = tf.constant(start, tf.float32)
    slots = {slot: tf.zeros(64) for slot in rule.slots}
    first = np.inf
    for number, gradient in enumerate(gradients, start=1):
        value, slots = step(value, tf.constant(gradient), slots, tf.constant(number))
        if number == 1:
            first = np.abs(value.numpy() - exact.numpy()).max()
    assert first < 2e-7
    change = np.linalg.norm(exact.numpy() - start)
    error = np.linalg.norm(value.numpy() - exact.numpy())
    assert change > 1
    assert error < 1e-5 * change
    assert error < 3 * np.linalg.norm(rounded.numpy() - exact.numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta_1": 1.0}, "beta_1 is 1.0"),
        ({"beta_2": -0.5}, "beta_2 is -0.5"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"weight_decay": 1.0}, "weight_decay is 1.0"),
        ({"clip_norm": -1.0}, "clip_norm is -1.0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        Adam(**options)
