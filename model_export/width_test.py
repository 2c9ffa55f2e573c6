"""Slices compute what the whole network computes on the channels that stay, and know where they lie in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model_export import Bundle, build, export
from model_export.compression import Compression, PruneChannels
from model_export.compression.channels import channel_map
from model_export.draw_networks_test import Draw
from model_export.errors import BundleFormatError, ExportError
from model_export.manifest import Manifest
from model_export.network import Network, read_network
from model_export.part import Parts
from model_export.random_networks_test import samples
from model_export.size import size_of, size_without
from model_export.width import cut, slice_channels, slice_width, take_weights

L = keras.layers


def values_of(model: Any) -> dict[str, np.ndarray]:
    return {path: v.numpy() for node in read_network(model).nodes for path, v in node.variables.items()}


def give(model: Any, values: dict[str, np.ndarray]) -> None:
    for node in read_network(model).nodes:
        for path, variable in node.variables.items():
            variable.assign(values[path])


def silenced(network: Network, whole: dict[str, np.ndarray], parts: Parts) -> dict[str, np.ndarray]:
    """What kernels take from channels that are gone, they take no more."""
    silent = {path: value.copy() for path, value in whole.items()}
    for node in network.nodes:
        path = f"{node.layer.name}/kernel"
        if isinstance(node.layer, (L.Conv1D, L.Conv2D, L.Dense)) and getattr(node.layer, "groups", 1) == 1:
            gone = np.setdiff1d(np.arange(whole[path].shape[-2]), parts[path][-2])
            silent[path][..., gone, :] = 0
    return silent


@pytest.mark.parametrize("seed", range(2000, 2008))
def test_random_networks_are_sliced(seed: int) -> None:
    model = Draw(seed).network()
    network = read_network(model)
    channels = channel_map(network)
    whole = values_of(model)
    x, _ = samples(network, seed)
    random = np.random.default_rng(seed)
    chosen = {slot for group in channels.groups for slot in group.slots[1:] if random.random() < 0.5}
    for removed in (frozenset[int](), frozenset(chosen)):
        narrow = cut(model, network, channels, removed)
        for path, value in values_of(narrow.model).items():
            where = np.ix_(*narrow.parts[path])
            np.testing.assert_array_equal(value, whole[path][where])
            put_back = whole[path].copy()
            put_back[where] = value
            np.testing.assert_array_equal(put_back, whole[path])
        give(model, silenced(network, whole, narrow.parts))
        np.testing.assert_allclose(narrow.model(x), model(x), rtol=1e-4, atol=1e-5)
        give(model, whole)
        assert size_of(read_network(narrow.model)) == size_without(network, channels, removed)


def test_a_width_is_the_leading_channels() -> None:
    model = build("small_cnn", (8, 8, 1), 4, filters=(5, 8))
    narrow = slice_width(model, 0.5)
    assert {path: v.shape for path, v in values_of(narrow.model).items() if "norm" not in path} == {
        "conv1/kernel": (3, 3, 1, 3),
        "conv2/kernel": (3, 3, 3, 4),
        "logits/kernel": (4, 4),
        "logits/bias": (4,),
    }
    assert [axis.tolist() for axis in narrow.parts["norm1/gamma"]] == [[0, 1, 2]]
    nested = slice_width(narrow.model, 0.5)
    assert nested.model.get_layer("conv1").filters == 2


def test_nested_models_stay_nested() -> None:
    model = build("mobilenet_v2", (32, 32, 3), 4, alpha=0.35, hidden=8)
    narrow = slice_width(model, 0.5).model
    assert [type(layer).__name__ for layer in narrow.layers] == [type(layer).__name__ for layer in model.layers]
    assert size_of(read_network(narrow)).parameters < 0.35 * size_of(read_network(model)).parameters


def shared() -> Any:
    inputs = keras.Input((8,))
    twice = L.Dense(6, activation="tanh", name="twice")
    x = twice(twice(L.Dense(6, name="first")(inputs)))
    return keras.Model(inputs, L.Dense(3, name="logits")(x), name="shared")


def test_a_layer_used_twice_stays_one_layer() -> None:
    narrow = slice_width(shared(), 0.5)
    assert {path: v.shape for path, v in values_of(narrow.model).items() if "kernel" in path} == {
        "first/kernel": (8, 3),
        "twice/kernel": (3, 3),
        "logits/kernel": (3, 3),
    }


def test_chosen_channels_are_those_of_the_file() -> None:
    narrow = slice_channels(shared(), {"first": [1, 4]})
    np.testing.assert_array_equal(narrow.parts["twice/kernel"][0], [1, 4])


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"first": [6]}, "layer 'first' has channels 0 to 5; 6 is not one of them"),
        ({"first": []}, "layer 'first' keeps no channel"),
        ({"first": [0], "twice": [1]}, "layers 'first' and 'twice' share channels and keep different ones"),
        ({"logits": [0, 1]}, "the channels of layer 'logits' cannot be removed"),
        ({"second": [0]}, "no layer is called 'second'"),
    ],
)
def test_channels_that_do_not_fit_are_refused(kept: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        slice_channels(shared(), kept)


@pytest.mark.parametrize("width", [0.0, -1.0, 1.1, float("nan")])
def test_a_width_out_of_range_is_refused(width: float) -> None:
    with pytest.raises(ExportError, match="it has to be above 0 and at most 1"):
        slice_width(shared(), width)


def test_the_bundle_of_a_slice_says_where_it_belongs(tmp_path: Path) -> None:
    model = build("mlp", (6,), 3, units=8, layers=2)
    whole = export(model, tmp_path / "whole", batch_size=4, measure=False)
    assert b"part_of" not in whole.manifest_bytes
    assert whole.manifest.parts == {}
    narrow = slice_channels(model, {"hidden1": [0, 1, 2, 6], "hidden2": [0, 1, 2, 3]})
    part = export(narrow.model, tmp_path / "part", batch_size=4, measure=False, part_of=narrow.part_of(whole.sha256))
    manifest = Bundle.load(part.path).manifest
    assert manifest.part_of is not None
    assert manifest.part_of.bundle == whole.sha256
    assert manifest.part_of.parts["hidden1/kernel"] == (None, ((0, 3), (6, 7)))
    assert manifest.where["hidden2/bias"] == (slice(0, 4),)
    assert set(manifest.where) == set(manifest.state) - {"logits/bias"}
    for path, value in part.initial().items():
        source = whole.initial()[path]
        np.testing.assert_array_equal(value, source[np.ix_(*manifest.parts[path])])
        np.testing.assert_array_equal(value, source[manifest.where[path]] if path in manifest.where else source)
    text = part.manifest_bytes.decode()
    for old, new, message in [
        ('"hidden1/bias": [', '"hidden9/bias": [', "part_of says nothing of hidden1/bias"),
        ('"part_of": {', '"part_of": {"more": 1,', "part_of: unknown key 'more'"),
        ("6,\n      7", "3,\n      2", r"part_of has ranges for hidden1/\w+ that are empty, or not in order"),
        ("6,\n      7", "6,\n      8", r"part_of has ranges for hidden1/\w+ that do not fit its shape"),
    ]:
        changed = "".join(text.split()) if old not in text else text
        old, new = ("".join(word.split()) if old not in text else word for word in (old, new))
        assert old in changed, old
        with pytest.raises(BundleFormatError, match=message):
            Manifest.from_json(changed.replace(old, new, 1).encode())


def test_a_part_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = build("mlp", (6,), 3, units=8, layers=1)
    part = slice_width(model, 0.5).part_of("0")
    with pytest.raises(ExportError, match="do not fit its shape"):
        export(slice_width(model, 0.25).model, tmp_path / "b", batch_size=2, part_of=part)
    with pytest.raises(ExportError, match="slice the whole network"):
        export(model, tmp_path / "b", batch_size=2, part_of=part, compression=Compression(channels=PruneChannels(0.5)))
    assert not (tmp_path / "b").exists()


def test_weights_are_taken_from_a_bundle(tmp_path: Path) -> None:
    model = build("mlp", (6,), 3, units=8, layers=1)
    bundle = export(model, tmp_path / "b", batch_size=2, measure=False)
    other = build("mlp", (6,), 3, units=8, layers=1)
    take_weights(other, bundle)
    for path, value in values_of(other).items():
        np.testing.assert_array_equal(value, bundle.initial()[path])
    with pytest.raises(ExportError, match=r"hidden1/kernel is \[6, 8\] in .* and \[6, 4\] in the model"):
        take_weights(build("mlp", (6,), 3, units=4, layers=1), bundle)
    with pytest.raises(ExportError, match="does not hold"):
        take_weights(build("mlp", (6,), 3, units=8, layers=2), bundle)
