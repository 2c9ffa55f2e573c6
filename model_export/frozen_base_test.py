"""Frozen bases in every format, on both runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model_export import export
from model_export.bundle import BASE, MODEL
from model_export.check import CheckedBase, check_against_keras
from model_export.conftest import Play, build_in
from model_export.errors import ConversionError, ExportError
from model_export.frozen_base import FrozenBase, calibration_input
from model_export.network import read_network
from model_export.options import Sgd

L = keras.layers
PIXELS = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3)).astype(np.uint8)


def network() -> Any:
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Conv2D(16, 3, padding="same", use_bias=False, name="conv"),
            L.BatchNormalization(name="norm"),
            L.ReLU(6.0, name="relu"),
            L.DepthwiseConv2D(3, padding="same", name="depthwise"),
            L.GlobalAveragePooling2D(name="pool"),
            L.Dense(4, name="logits"),
        ]
    )


@pytest.mark.parametrize(("base_format", "allowed"), [("float32", 1e-6), ("float16", 2e-3), ("int8", 0.1)])
def test_formats_compute_the_features_on_every_runtime(base_format: str, allowed: float, play: Play) -> None:
    model = build_in("float32", network)
    read = read_network(model)
    samples = calibration_input(PIXELS if base_format == "int8" else None, base_format, read, 4, 1 / 255, 0.0)
    content = FrozenBase(read, 4, read.index("logits")).convert(base_format, samples)
    x = PIXELS[:4].astype(np.float32) / 255
    (found,) = play(content, [("features", {"x": x})])
    expected = keras.Model(model.inputs[0], model.get_layer("pool").output)(x).numpy()
    error = np.linalg.norm(found["features"] - expected) / np.linalg.norm(expected)
    assert found["features"].dtype == np.float32
    assert error < allowed
    # A format that changed nothing at all would not be that format.
    assert base_format == "float32" or error > 1e-6


def test_export_rounds_the_base_alone(tmp_path: Path) -> None:
    model = build_in("float32", network)
    options: dict[str, Any] = {"trainable": "head", "base_format": "float16", "input_scale": 1 / 255, "measure": False}
    bundle = export(model, tmp_path / "b", batch_size=4, **options)
    assert bundle.manifest.base_format == "float16"
    np.testing.assert_array_equal(bundle.initial()["logits/kernel"], model.get_layer("logits").kernel.numpy())
    # A base of another network is found out.
    other = read_network(build_in("float32", network))
    other.nodes[0].layer.set_weights([-w for w in other.nodes[0].layer.get_weights()])
    x = PIXELS[:4].astype(np.float32) / 255
    base = CheckedBase(bundle.read(BASE), other.index("logits"), "float16")
    with pytest.raises(ConversionError, match="features of the float16 base"):
        check_against_keras(bundle.read(MODEL), other, {}, bundle.manifest.state, Sgd(), x=x, base=base)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_format": "float16"}, "trainable='all' leaves no frozen base"),
        ({"trainable": "head", "base_format": "int4"}, "one of float32, float16, int8"),
        ({"trainable": "head", "base_format": "int8"}, "needs calibration"),
        ({"trainable": "head", "base_format": "int8", "calibration": PIXELS[:, :4]}, r"\[4, 8, 3\], the network takes"),
        ({"trainable": "head", "base_format": "int8", "calibration": np.float32(1)}, r"are \[\], the network takes"),
        (
            {"trainable": "head", "base_format": "int8", "calibration": PIXELS.astype(str)},
            "holds <U.*; it has to be num",
        ),
        ({"trainable": "head", "calibration": PIXELS}, "needs none"),
        ({"trainable": "head", "base_format": "int8", "calibration": PIXELS * np.nan}, "infinite or not a number"),
    ],
)
def test_options_without_sense_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export(build_in("float32", network), tmp_path / "b", batch_size=4, **options)
    assert not list(tmp_path.iterdir())
