"""Fully connected networks, such as those of the IoT paper: five layers of ten sigmoid neurons."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["mlp"]


def mlp(
    input_shape: tuple[int, ...], classes: int, *, layers: int = 5, units: int = 10, activation: str = "sigmoid"
) -> Any:
    """Dense layers of equal width, then one for the classes.

    Parameters
    ----------
    input_shape
        Of any rank; it is flattened.
    classes
        Number of classes.
    layers, units
        How many hidden layers, and how many neurons each has.
    activation
        Of the hidden layers.

    Returns
    -------
    keras.Model
        Ends in logits.
    """
    if layers < 0:
        raise ValueError(f"layers is {layers}; there cannot be less than none")
    inputs = keras.Input(input_shape)
    x = keras.layers.Flatten(name="flatten")(inputs) if len(input_shape) > 1 else inputs
    for number in range(1, layers + 1):
        x = keras.layers.Dense(units, activation=activation, name=f"hidden{number}")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="mlp")
