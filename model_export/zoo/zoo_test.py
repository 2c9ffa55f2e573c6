"""The architectures export, and take weights from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model_export import ARCHITECTURES, build
from model_export.errors import ExportError, ModelFileError
from model_export.network import read_network
from model_export.suffix import first_trained
from model_export.zoo.pretrained import load_npz

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "zoo.md"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_can_be_exported(name: str) -> None:
    shape = {"sensor_cnn": (128, 6), "sensor_lstm": (24, 6), "keyboard_lstm": (10,)}.get(name, (32, 32, 3))
    network = read_network(build(name, shape, 7))
    assert network.classes == 7
    assert network.input_shape == shape
    head = network.nodes[first_trained(network, "head") :]
    assert all(type(node.layer) is keras.layers.Dense for node in head)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_is_documented_and_in_the_table(name: str) -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("| `") and f"`{name}`" in line.split("|")[1])
    assert all(f"`{option}`" in row for option in ARCHITECTURES[name].options)
    assert any(line.startswith(f"| **{name}**, ") for line in lines)


def test_small_cnn_options() -> None:
    model = build("small_cnn", (8, 8, 1), 3, filters=(4, 8), dropout=0.3)
    assert [layer.name for layer in model.layers if layer.weights] == ["conv1", "norm1", "conv2", "norm2", "logits"]
    assert model.get_layer("dropout").rate == 0.3


def test_mobilenet_head() -> None:
    assert build("mobilenet_v2", (32, 32, 3), 5, alpha=0.35).get_layer("hidden").units == 128
    without = build("mobilenet_v2", (32, 32, 3), 5, alpha=0.35, hidden=0)
    assert [layer.name for layer in without.layers if isinstance(layer, keras.layers.Dense)] == ["logits"]


@pytest.mark.parametrize(("name", "twin"), [("small", "MobileNetV3Small"), ("large", "MobileNetV3Large")])
@pytest.mark.parametrize("alpha", [1.0, 0.75])
def test_mobilenet_v3_computes_what_keras_applications_computes(name: str, twin: str, alpha: float) -> None:
    theirs = getattr(keras.applications, twin)(
        (64, 64, 3), alpha=alpha, include_top=False, weights=None, pooling="avg", include_preprocessing=False
    )
    (ours,) = (
        layer
        for layer in build(f"mobilenet_v3_{name}", (64, 64, 3), 5, alpha=alpha).layers
        if isinstance(layer, keras.Model)
    )
    random = np.random.default_rng(0)
    for layer in theirs.layers:
        if layer.weights:
            values = [w + random.uniform(0, 0.2, w.shape).astype(np.float32) for w in layer.get_weights()]
            layer.set_weights(values)
            ours.get_layer(layer.name).set_weights(values)
    assert ours.count_params() == theirs.count_params()
    x = random.normal(size=(2, 64, 64, 3)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(theirs(x, training=False))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours(x, training=False)), expected, rtol=1e-3, atol=1e-4)


def parameters(model: Any) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def test_resnet20_is_the_papers_but_for_the_shortcuts() -> None:
    # He et al., table 6: 0.27 M. Two 1x1 convolutions with batch norm in place of zero padding: 16*32 + 32*64 + 4*48.
    assert parameters(build("resnet20", (32, 32, 3), 10)) == 269_722 + 2_560 + 192
    assert build("resnet20", (32, 32, 3), 10, width=0.5).get_layer("stage3_block1_conv1").filters == 32
    assert [build("resnet20", (32, 32, 3), 10, blocks=n).name for n in (1, 2, 3)] == ["resnet8", "resnet14", "resnet20"]


def test_resnet18_has_the_usual_size() -> None:
    assert parameters(build("resnet18", (32, 32, 3), 10)) == 11_173_962


@pytest.mark.parametrize(("width", "millions"), [(0.5, 1.366792), (1.0, 2.278604)])
def test_shufflenet_v2_has_the_papers_size(width: float, millions: float) -> None:
    # Table 8 of the paper: 1.4 M and 2.3 M; to the last parameter those of the reference implementation.
    assert parameters(build("shufflenet_v2", (224, 224, 3), 1000, width=width)) == round(millions * 1e6)


def test_mlp_is_the_iot_papers() -> None:
    model = build("mlp", (4,), 2)
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [10] * 5 + [2]
    assert model.get_layer("hidden5").activation is keras.activations.sigmoid


def test_sensor_lstm_reads_one_way_or_both() -> None:
    assert read_network(build("sensor_lstm", (24, 6), 3)).nodes[-2].output_shape == (64,)
    both = read_network(build("sensor_lstm", (24, 6), 3, units=(16, 8), bidirectional=True))
    assert [node.output_shape for node in both.nodes] == [(24, 32), (16,), (3,)]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            ("resnet", (32, 32, 3), 5),
            {},
            "no architecture is called 'resnet'; there are keyboard_lstm, mlp, mobilenet_v1, ",
        ),
        (("small_cnn", (32, 32, 3), 5), {"width": 2}, "small_cnn has no option 'width'; it has filters, dropout"),
        (("resnet20", (32, 32, 3), 5), {"blocks": 0}, r"resnet20 cannot be built for input .*: blocks is 0"),
        (("resnet20", (32, 32, 3), 5), {"width": 0}, r"resnet20 cannot be built for input .*: width is 0"),
        (("shufflenet_v2", (32, 32, 3), 5), {"width": 0.7}, r"width is 0.7; the paper has 0.5, 1.0, 1.5, 2.0"),
        (("sensor_cnn", (32, 32, 3), 5), {}, r"sensor_cnn cannot be built .* readings by channels"),
        (("sensor_lstm", (32, 32, 3), 5), {}, r"sensor_lstm cannot be built .* readings by channels"),
        (("sensor_lstm", (8, 3), 5), {"units": ()}, "units needs the size of at least one layer"),
        (("keyboard_lstm", (32, 32, 3), 5), {}, r"keyboard_lstm cannot be built .* a row of words"),
        (("mobilenet_v2", (8, 8, 3), 5), {}, r"mobilenet_v2 cannot be built for input \[8, 8, 3\]"),
        (("mobilenet_v2", (32, 32, 3), 5), {"alpha": -1}, "mobilenet_v2 cannot be built .*: alpha is -1;"),
        (("mlp", (4,), 5), {"layers": -1}, "mlp cannot be built .*: layers is -1; there cannot be less than none"),
        (
            ("small_cnn", (2, 2, 3), 5),
            {},
            r"small_cnn cannot be built for input \[2, 2, 3\] and 5 classes: MaxPooling2D: \w+ .*(size|negative)",
        ),
        (("mobilenet_v2", (32, 32, 3), 5), {"weights": "/none.npz"}, "/none.npz: no such weight file"),
    ],
)
def test_wrong_arguments(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        build(*arguments, **options)


def tiny() -> Any:
    layers = [keras.layers.DepthwiseConv2D(3, name="d"), keras.layers.BatchNormalization(name="n")]
    return keras.Sequential([keras.Input((4, 4, 2)), *layers])


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        f"{layer.name}/{v.name}": random.normal(size=v.shape).astype(np.float32)
        for layer in model.layers
        for v in layer.weights
    }


def test_npz_sets_every_variable(tmp_path: Path) -> None:
    model = tiny()
    arrays = arrays_of(model)
    older = {("d/depthwise_kernel" if name == "d/kernel" else name): value for name, value in arrays.items()}
    for content in (arrays, older):
        np.savez(tmp_path / "w.npz", **content)  # type: ignore[arg-type]
        model = tiny()
        load_npz(model, tmp_path / "w.npz")
        for layer in model.layers:
            for variable in layer.weights:
                np.testing.assert_array_equal(variable.numpy(), arrays[f"{layer.name}/{variable.name}"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n/gamma": None}, "w.npz has no array n/gamma"),
        ({"n/beta": np.zeros(3, np.float32)}, r"n/beta has shape \[3\], the model needs \[2\]"),
    ],
)
def test_npz_that_does_not_fit_changes_nothing(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = tiny()
    before = [v.numpy() for v in model.weights]
    arrays = {name: value for name, value in {**arrays_of(model), **change}.items() if value is not None}
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ModelFileError, match=message):
        load_npz(model, tmp_path / "w.npz")
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, model.weights, strict=True))


def test_not_an_npz(tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(b"PK but not really")
    with pytest.raises(ModelFileError, match="w.npz is not an .npz file"):
        load_npz(tiny(), tmp_path / "w.npz")


def test_failed_download_says_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise Exception("URL fetch failure on https://example.org: None -- no route")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    with pytest.raises(ModelFileError, match="cannot be downloaded: URL fetch failure .*; give an .npz file instead"):
        build("mobilenet_v2", (96, 96, 3), 5, weights="imagenet")
