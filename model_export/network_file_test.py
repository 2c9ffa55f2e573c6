"""``network.json``: the network that was exported, as Keras reads it back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from model_export.bundle import NETWORK, Bundle, write_bundle
from model_export.errors import BundleFormatError
from model_export.network import read_network
from model_export.network_file import network_json


def test_a_bundle_holds_the_network_that_its_manifest_describes(digits_bundle: Path) -> None:
    bundle = Bundle.load(digits_bundle)
    model = keras.models.model_from_json(bundle.network())
    shapes = {
        f"{layer.name}/{variable.name}": tuple(variable.shape) for layer in model.layers for variable in layer.weights
    }
    assert shapes == {path: variable.shape for path, variable in bundle.manifest.variables.items()}
    assert [layer.name for layer in model.layers[1:]] == [layer.name for layer in bundle.manifest.layers]


def test_nested_and_shared_layers_compute_the_same() -> None:
    inner = keras.Sequential(
        [keras.Input((6, 6, 2)), keras.layers.Conv2D(2, 3, padding="same", name="conv")], name="base"
    )
    shared = keras.layers.Dense(4, name="shared")
    x = keras.Input((6, 6, 2), name="conv_input")
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(inner(x))
    both = keras.layers.Add(name="sum")([shared(pooled), shared(keras.layers.ReLU(name="relu")(pooled))])
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax", name="head")(both), name="nested")
    network = read_network(model)
    read = keras.models.model_from_json(network_json(network).decode())
    for node in network.nodes:
        read.get_layer(node.layer.name).set_weights(node.layer.get_weights())
    given = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(read(given), model(given), rtol=1e-6, atol=1e-7)
    assert network_json(network) == network_json(read_network(model)), "the same bytes each time"


def test_an_older_bundle_says_that_it_has_none(digits_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(digits_bundle)
    files = {name: bundle.read(name) for name in bundle.manifest.files if name != NETWORK}
    old = write_bundle(tmp_path / "old", replace(bundle.manifest, files={}), files)
    with pytest.raises(BundleFormatError, match=r"holds no network\.json; export it again"):
        old.network()
