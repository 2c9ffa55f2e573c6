"""Small models that several tests of the exporter export."""

from __future__ import annotations

from typing import Any

import keras

L = keras.layers


def model_of(*layers: Any, shape: tuple[Any, ...] = (8, 8, 3), dtype: str = "float32") -> Any:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def sequence(layer: Any, steps: int = 4) -> Any:
    return model_of(layer, L.Dense(3), shape=(steps, 2))


def to_classes(*layers: Any, shape: tuple[Any, ...] = (8, 8, 3), dtype: str = "float32") -> Any:
    return model_of(*layers, L.Flatten(), L.Dense(3), shape=shape, dtype=dtype)


def shared_dense() -> Any:
    inputs = keras.Input((4,))
    dense = L.Dense(4, name="twice")
    return keras.Model(inputs, L.Dense(3, name="logits")(dense(L.ReLU(name="between")(dense(inputs)))))


def functional() -> Any:
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same", name="conv (1)")(inputs)
    x = L.Add(name="sum")([x, L.Conv2D(4, 1, name="conv [1]")(inputs)])
    return keras.Model(inputs, L.Dense(3, name="logits")(L.Flatten()(x)), name="functional")


def nested() -> Any:
    """Return a base and a head as transfer learning has them, in models of their own."""
    base_inputs = keras.Input((None, None, 3))
    x = L.Conv2D(4, 3, name="base_conv")(base_inputs)
    x = L.BatchNormalization(name="base_norm")(x)
    base = keras.Model(base_inputs, L.GlobalAveragePooling2D(name="base_pool")(x), name="base")
    head = keras.Sequential([keras.Input((4,)), L.Dropout(0.2, name="drop"), L.Dense(3, name="logits")], name="top")
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, head(base(L.Rescaling(0.5, name="scale")(inputs), training=False)), name="nested")
