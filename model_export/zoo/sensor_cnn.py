"""A one-dimensional convolutional network for windows of sensor readings, such as an accelerometer's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["sensor_cnn"]


def sensor_cnn(
    input_shape: tuple[int, int], classes: int, *, filters: Sequence[int] = (32, 64, 64), kernel: int = 5
) -> Any:
    """Blocks of convolution over time, batch norm, ReLU and pooling, then one dense layer.

    Parameters
    ----------
    input_shape
        Readings in a window, channels.
    classes
        Number of classes.
    filters
        Filters of each block; every block but the last halves the window.
    kernel
        Readings that a filter sees.

    Returns
    -------
    keras.Model
        Ends in logits; takes standardized readings.
    """
    if len(input_shape) != 2:
        raise ValueError("it takes readings by channels, as in 128x6")
    inputs = x = keras.Input(input_shape)
    for i, count in enumerate(filters, start=1):
        x = keras.layers.Conv1D(count, kernel, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"norm{i}")(x)
        x = keras.layers.ReLU(name=f"relu{i}")(x)
        if i < len(filters):
            x = keras.layers.MaxPooling1D(name=f"pool{i}")(x)
    x = keras.layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="sensor_cnn")
