"""A small convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["small_cnn"]


def small_cnn(
    input_shape: tuple[int, int, int], classes: int, *, filters: Sequence[int] = (16, 32, 64), dropout: float = 0.0
) -> Any:
    """Blocks of convolution, batch norm and ReLU, then one dense layer.

    Parameters
    ----------
    input_shape
        Height, width, channels.
    classes
        Number of classes.
    filters
        Filters of each block; every block but the last halves the image.
    dropout
        Rate of the dropout before the dense layer.

    Returns
    -------
    keras.Model
        Ends in logits; takes pixels scaled to 0 … 1.
    """
    inputs = keras.Input(input_shape)
    x = inputs
    for i, count in enumerate(filters, start=1):
        x = keras.layers.Conv2D(count, 3, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"norm{i}")(x)
        x = keras.layers.ReLU(name=f"relu{i}")(x)
        if i < len(filters):
            x = keras.layers.MaxPooling2D(name=f"pool{i}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="small_cnn")
