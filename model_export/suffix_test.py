"""Where the head begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest

from model_export.conftest import build_in
from model_export.errors import ExportError
from model_export.network import read_network
from model_export.suffix import first_trained

L = keras.layers


def flat(*layers: Any) -> Callable[[], Any]:
    return lambda: keras.Sequential([keras.Input((8, 8, 3)), *layers])


def sequence(*layers: Any) -> Callable[[], Any]:
    return lambda: keras.Sequential([keras.Input((8, 3)), *layers])


def base_and_head(*head: Any, pooling: bool = True) -> Callable[[], Any]:
    def build() -> Any:
        layers = [keras.Input((8, 8, 3)), L.Conv2D(4, 3, name="conv")]
        base = keras.Sequential([*layers, L.GlobalAveragePooling2D()] if pooling else layers, name="base")
        return keras.Sequential([keras.Input((8, 8, 3)), base, *head])

    return build


@pytest.mark.parametrize(
    ("build", "first"),
    [
        (flat(L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.Flatten(), L.Dense(3, name="out")), "out"),
        (flat(L.Conv2D(4, 3), L.Flatten(), L.Dense(8, name="hidden"), L.Dense(3)), "hidden"),
        (flat(L.Conv2D(4, 3), L.MaxPooling2D(), L.Flatten(), L.Dropout(0.5, name="drop"), L.Dense(3)), "drop"),
        (flat(L.Conv2D(4, 3), L.Dropout(0.5, name="drop"), L.ReLU(), L.Flatten(), L.Dense(3)), "drop"),
        (flat(L.Dropout(0.5), L.Conv2D(4, 3), L.Flatten(), L.Dropout(0.0), L.Dense(3, name="out")), "out"),
        (flat(L.Conv2D(4, 3), L.Conv2D(3, 1, name="last"), L.GlobalAveragePooling2D(), L.Softmax()), "last"),
        (flat(L.Flatten(), L.Dense(8, name="hidden"), L.Dense(3)), "hidden"),
        (sequence(L.Dense(4), L.Conv1D(4, 3), L.Flatten(), L.Dense(8, name="hidden"), L.Dense(3)), "hidden"),
        (sequence(L.Dense(4), L.GlobalMaxPooling1D(), L.Dense(3, name="out")), "out"),
        (sequence(L.Dense(4), L.Bidirectional(L.GRU(2)), L.Dropout(0.5, name="drop"), L.Dense(3)), "drop"),
        (base_and_head(L.Dense(3, name="out")), "out"),
        (base_and_head(L.Flatten(), L.BatchNormalization(name="norm"), L.Dense(3), pooling=False), "norm"),
        (base_and_head(L.Conv2D(5, 1, name="adapter"), L.Flatten(), L.Dense(3), pooling=False), "adapter"),
        (base_and_head(L.Flatten(), L.Dropout(0.2, name="drop"), L.Dense(3), pooling=False), "drop"),
    ],
)
def test_head(build: Callable[[], Any], first: str) -> None:
    network = read_network(build_in("float32", build))
    assert network.nodes[first_trained(network, "head")].name == first
    assert network.nodes[first_trained(network, first)].name == first
    assert first_trained(network, "all") == 0


@pytest.mark.parametrize("trainable", ["head", "first"])
def test_the_whole_network_is_all(trainable: str) -> None:
    network = read_network(build_in("float32", flat(L.Dense(8, name="first"), L.Flatten(), L.Dense(3))))
    with pytest.raises(ExportError, match="is the whole network; use trainable='all'"):
        first_trained(network, trainable)
