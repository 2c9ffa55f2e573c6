"""A recurrent network for windows of sensor readings, such as an accelerometer's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["sensor_lstm"]


def sensor_lstm(
    input_shape: tuple[int, int], classes: int, *, units: Sequence[int] = (64,), bidirectional: bool = False
) -> Any:
    """LSTM layers, one after the other, then one dense layer on the last output.

    Parameters
    ----------
    input_shape
        Readings in a window, channels.
    classes
        Number of classes.
    units
        Size of each layer's state.
    bidirectional
        Whether each layer reads the window in both directions, with a state for each (Schuster & Paliwal 1997).

    Returns
    -------
    keras.Model
        Ends in logits; takes standardized readings.
    """
    if len(input_shape) != 2:
        raise ValueError("it takes readings by channels, as in 128x6")
    if not units:
        raise ValueError("units needs the size of at least one layer")
    inputs = x = keras.Input(input_shape)
    for i, size in enumerate(units, start=1):
        layer = keras.layers.LSTM(size, return_sequences=i < len(units), name=f"lstm{i}")
        x = keras.layers.Bidirectional(layer, name=f"both{i}")(x) if bidirectional else layer(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="sensor_lstm")
