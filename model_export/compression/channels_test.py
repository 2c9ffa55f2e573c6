"""A narrow network computes what the whole one computes when nothing is taken from the channels that were removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_export import ARCHITECTURES, build, export
from model_export.bundle import MODEL
from model_export.compression import Compression, Prune, PruneChannels
from model_export.compression.channels import channel_map
from model_export.compression.structured import prune_channels, whole_from
from model_export.errors import ExportError
from model_export.network import INPUT, Network, read_network
from model_export.runner import SignatureRunner
from model_export.training import forward

L = keras.layers


def logits(network: Network, x: np.ndarray, values: dict[str, np.ndarray]) -> np.ndarray:
    passed = forward(network, network.nodes, {INPUT: x}, {k: tf.constant(v) for k, v in values.items()})
    return np.asarray(passed.values[network.logits])


def values_of(network: Network) -> dict[str, np.ndarray]:
    return {path: v.numpy() for node in network.nodes for path, v in node.variables.items()}


def scattered(model: Any) -> Any:
    """Give every variable values that matter: batch norms are not the identity, biases not zero."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        low = 0.5 if "variance" in variable.path or "gamma" in variable.path else -0.3
        if "kernel" not in variable.path:
            variable.assign(random.uniform(low, low + 1, variable.shape))
    return model


def check(model: Any, share: float) -> tuple[Network, dict[str, tuple[np.ndarray, ...]]]:
    network = read_network(model)
    pruned = prune_channels(model, share)
    narrow, kept = read_network(pruned.model), pruned.parts
    whole = values_of(network)
    # What a kernel takes from channels that are gone, it takes no more; nothing else about the whole is changed.
    silent = dict(whole)
    for node in network.nodes:
        for path in node.variables:
            if path.endswith("/kernel") and not isinstance(node.layer, L.DepthwiseConv2D):
                rows = kept[path][-2]
                quiet = np.zeros_like(whole[path])
                quiet[..., rows, :] = whole[path][..., rows, :]
                silent[path] = quiet
    x = np.random.default_rng(1).normal(size=(2, *network.input_shape)).astype(np.float32)
    expected = logits(network, x, silent)
    found = logits(narrow, x, values_of(narrow))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4 * np.abs(expected).max())
    assert np.abs(expected - logits(network, x, whole)).max() > 1e-3 * np.abs(expected).max()
    return narrow, kept


SMALLER: dict[str, dict[str, Any]] = {
    "mobilenet_v1": {"alpha": 0.25},
    "mobilenet_v2": {"alpha": 0.35},
    "resnet18": {"width": 0.25},
    "shufflenet_v2": {"width": 0.5},
}


# V3-Large is made of what V3-Small is, and recurrent layers keep their width.
@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"mobilenet_v3_large", "keyboard_lstm", "sensor_lstm"}))
def test_the_whole_zoo_can_be_narrowed(name: str) -> None:
    keras.utils.set_random_seed(1)
    shape = {"sensor_cnn": (64, 6), "mlp": (6,)}.get(name, (32, 32, 3))
    model = scattered(build(name, shape, 7, **SMALLER.get(name, {})))
    network = read_network(model)
    narrow, kept = check(model, 0.5)
    sizes = [sum(v.size for v in values_of(n).values()) for n in (network, narrow)]
    assert sizes[1] < 0.45 * sizes[0]
    whole = values_of(network)
    cut = {path: value[np.ix_(*kept[path])] for path, value in whole.items()}
    for path, value in values_of(narrow).items():
        np.testing.assert_array_equal(value, cut[path])
    moved = {path: value + 1 for path, value in cut.items()}
    for path, value in whole_from(kept, moved, whole).items():
        np.testing.assert_array_equal(value[np.ix_(*kept[path])], cut[path] + 1)
        assert (value != whole[path]).sum() == cut[path].size


def residual() -> Any:
    inputs = keras.Input((8, 8, 2))
    a = L.Conv2D(6, 3, padding="same", name="a")(inputs)
    b = L.Conv2D(6, 3, padding="same", activation="sigmoid", name="b")(a)
    x = L.Add(name="sum")([a, b])
    gate = L.Dense(6, activation="sigmoid", name="gate")(L.GlobalAveragePooling2D(keepdims=True, name="mean")(x))
    x = L.Multiply(name="gated")([x, gate])
    x = L.Concatenate(name="both")([x, L.Conv2D(4, 1, padding="same", name="c")(inputs)])
    x = L.DepthwiseConv2D(3, depth_multiplier=2, name="d")(x)
    x = L.Dense(5, activation="tanh", name="e")(L.Flatten(name="flat")(x))
    return keras.Model(inputs, L.Dense(3, name="logits")(x), name="residual")


def test_what_is_tied_goes_together() -> None:
    model = scattered(residual())
    groups = {group.layers: len(group.slots) for group in channel_map(read_network(model)).groups}
    assert groups == {("a", "b", "gate"): 6, ("c",): 4, ("e",): 5}
    _, kept = check(model, 0.5)
    assert [len(i) for i in kept["e/kernel"]] == [6 * 6 * 2 * (3 + 2), 3]
    np.testing.assert_array_equal(kept["a/kernel"][3], kept["b/kernel"][2])
    np.testing.assert_array_equal(kept["a/kernel"][3], kept["gate/kernel"][0])


def test_a_narrow_bundle_trains_and_says_where_it_comes_from(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = build("small_cnn", (8, 8, 1), 4, filters=(8, 12))
    compression = Compression(prune=Prune(0.5), channels=PruneChannels(0.5))
    bundle = export(model, tmp_path / "b", batch_size=4, compression=compression, measure=False)
    bundle.verify()
    assert bundle.manifest.compression["prune_channels"] == 0.5
    assert {path: v.shape for path, v in bundle.manifest.variables.items()} == {
        "conv1/kernel": (3, 3, 1, 4),
        **{f"norm1/{name}": (4,) for name in ("gamma", "beta", "moving_mean", "moving_variance")},
        "conv2/kernel": (3, 3, 4, 6),
        **{f"norm2/{name}": (6,) for name in ("gamma", "beta", "moving_mean", "moving_variance")},
        "logits/kernel": (6, 4),
        "logits/bias": (4,),
    }
    whole = {f"{layer.name}/{v.name}": v.numpy() for layer in model.layers for v in layer.weights}
    kept = bundle.kept_channels()
    for path, value in bundle.initial().items():
        cut = whole[path][np.ix_(*kept[path])]
        np.testing.assert_array_equal(np.where(value == 0, cut, value), cut)
    run = SignatureRunner(bundle.read(MODEL))
    run("set", **dict(zip(run("get"), bundle.initial().values())))
    x, y = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32), np.arange(4, dtype=np.int32)
    losses = [
        float(run("train", x=x, y=y, w=np.ones(4, np.float32), learning_rate=np.float32(0.2))["loss"])
        for _ in range(150)
    ]
    assert losses[-1] < losses[0] / 2


def test_the_smallest_channels_go() -> None:
    model = residual()
    kernel = model.get_layer("c").kernel
    kernel.assign(np.ones(kernel.shape) * np.array([3, 1, 4, 2]))
    kept = prune_channels(model, 0.5).parts
    assert kept["c/kernel"][3].tolist() == [0, 2]


def test_a_softmax_keeps_its_channels_but_not_its_inputs() -> None:
    inputs = keras.Input((8, 8, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, name="c")(inputs))
    model = keras.Model(inputs, L.Dense(5, activation="softmax", name="classes")(x))
    kept = prune_channels(model, 0.5).parts
    assert [len(axis) for axis in kept["classes/kernel"]] == [2, 5]


def test_what_mixes_channels_keeps_its_width() -> None:
    inputs = keras.Input((8, 8, 4))
    x = L.Conv2D(6, 3, groups=2, name="grouped")(L.Conv2D(4, 1, name="first")(inputs))
    x = L.LayerNormalization(name="norm")(L.Conv2D(5, 1, name="second")(x))
    model = keras.Model(inputs, L.Dense(3, name="logits")(L.GlobalMaxPooling2D()(x)))
    assert channel_map(read_network(model)).groups == ()
    with pytest.raises(ExportError, match="no channels to remove"):
        prune_channels(model, 0.5)
