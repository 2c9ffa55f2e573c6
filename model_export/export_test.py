"""What `export` leaves behind, and what its manifest says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_export import Bundle, export, signing
from model_export.bundle import BASE, MODEL
from model_export.conftest import REPOSITORY, build_in
from model_export.errors import ConversionError
from model_export.layers import activation
from model_export.runner import SignatureRunner
from model_export.small_models_test import functional, nested, sequence, shared_dense, to_classes

L = keras.layers


def test_manifest_lists_a_shared_layer_s_variables_once(tmp_path: Path) -> None:
    manifest = export(shared_dense(), tmp_path / "b", batch_size=4, cuts=("logits",), measure=False).manifest
    assert [(layer.name, layer.parameters, len(layer.variables)) for layer in manifest.layers] == [
        ("twice", 20, 2),
        ("between", 0, 0),
        ("twice_use2", 0, 0),
        ("logits", 15, 2),
    ]
    assert manifest.state == ("twice/kernel", "twice/bias", "logits/kernel", "logits/bias")


def test_a_converter_that_fails_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        target_spec = types.SimpleNamespace()

        def convert(self) -> bytes:
            os.write(2, b"error: 'tf.Roll' op is neither a custom op nor a flex op\n")
            raise RuntimeError("Could not translate MLIR\nto FlatBuffer")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_saved_model", lambda *args, **options: Failing())
    with pytest.raises(ConversionError, match="converter failed: Could not translate MLIR; please report") as failure:
        export(to_classes(), tmp_path / "b", batch_size=2)
    assert "\n" not in str(failure.value)
    assert "tf.Roll" in failure.value.output
    assert list(tmp_path.iterdir()) == []


def test_a_recurrent_layer_s_work_is_that_of_all_its_steps(tmp_path: Path) -> None:
    layer = L.Bidirectional(L.LSTM(3, name="r"), name="both")
    manifest = export(sequence(layer, steps=5), tmp_path / "b", batch_size=2, measure=False).manifest
    assert manifest.layers[0].macs == 2 * 5 * (2 * 12 + 3 * 12)
    assert [variable.path for variable in manifest.layers[0].variables] == [
        f"both/{way}_{name}" for way in ("forward", "backward") for name in ("kernel", "recurrent_kernel", "bias")
    ]


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo.jpg").write_bytes(b"1")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="exists"):
            export(functional(), tmp_path / "b", batch_size=4, overwrite=overwrite)
    assert (tmp_path / "b" / "photo.jpg").read_bytes() == b"1"


@pytest.mark.parametrize("stage", ["reading", "building", "converting", "comparing", "writing"])
def test_interruption_leaves_nothing(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def interrupt(what: str) -> None:
        if what.startswith(stage):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(to_classes(), tmp_path / "out" / "b", batch_size=2, progress=interrupt)
    assert not (tmp_path / "out").exists()
    # TensorFlow keeps the source of its own signature wrapper there, and what Python compiled it to, until it ends.
    theirs = ("autograph_generated", "__pycache__")
    left = [path for path in (tmp_path / "temporary").iterdir() if not any(part in path.name for part in theirs)]
    assert left == []


def test_a_network_without_loss_or_gradient_is_exported(tmp_path: Path) -> None:
    model = to_classes()
    kernel, bias = model.layers[-1].weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign([2000.0, 0.0, 0.0])  # sure of class 0, the label of the one sample that is tried
    export(model, tmp_path / "b", batch_size=1, measure=False)


def test_a_converted_model_that_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras.utils.set_random_seed(0)  # Weights that saturate tanh everywhere would have no gradient to be wrong.

    def wrong(x: Any) -> Any:
        y = keras.ops.tanh(x)
        return y, lambda dy: dy * (1.0 - y)

    monkeypatch.setitem(activation._FUNCTIONS, keras.activations.tanh, wrong)
    with pytest.raises(ConversionError, match="train: change of the variables is off by"):
        export(to_classes(L.Conv2D(2, 3, activation="tanh")), tmp_path / "b", batch_size=2)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def nested_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("nested")
    return export(
        build_in("float32", nested),
        path / "b",
        batch_size=4,
        trainable="head",
        name="pets",
        classes=["cat", "dog", "eel"],
        input_scale=1 / 255,
        input_offset=-0.5,
        signing_key=signing.load_or_create_key(path / "key.pem"),
        measure=False,
    )


def test_manifest_of_nested_models(nested_bundle: Bundle) -> None:
    nested_bundle.verify()
    assert nested_bundle.signer() is not None
    manifest = nested_bundle.manifest
    assert manifest.name == "pets"
    assert manifest.classes == ("cat", "dog", "eel")
    assert manifest.input.shape == (8, 8, 3)
    assert (manifest.input.scale, manifest.input.offset) == (1 / 255, -0.5)
    assert manifest.state == ("logits/kernel", "logits/bias")
    assert manifest.minimum_runtime.startswith("2.")
    order = [(layer.name, layer.inputs, layer.output_shape) for layer in manifest.layers]
    assert order == [
        ("scale", ("input",), (8, 8, 3)),
        ("base_conv", ("scale",), (6, 6, 4)),
        ("base_norm", ("base_conv",), (6, 6, 4)),
        ("base_pool", ("base_norm",), (4,)),
        ("drop", ("base_pool",), (4,)),
        ("logits", ("drop",), (3,)),
    ]
    sizes = {layer.name: (layer.parameters, layer.macs, layer.activation_bytes) for layer in manifest.layers}
    assert sizes["base_conv"] == (3 * 3 * 3 * 4 + 4, 6 * 6 * 4 * 27, 6 * 6 * 4 * 4)
    assert sizes["base_norm"] == (16, 0, 6 * 6 * 4 * 4)
    assert sizes["logits"] == (15, 12, 12)


def test_manifest_tells_the_signatures_as_they_are(nested_bundle: Bundle) -> None:
    model, base = (SignatureRunner(nested_bundle.read(name)) for name in (MODEL, BASE))
    signatures = nested_bundle.manifest.signatures
    assert set(signatures) == {*model._signatures, *base._signatures}
    assert set(base._signatures) == {"features"}
    for name, signature in signatures.items():
        run = base if name == "features" else model
        fed = {key: np.zeros(spec.shape, spec.dtype) for key, spec in signature.inputs.items()}
        outputs = run(name, **fed)
        assert {key: (value.shape, value.dtype.name) for key, value in outputs.items()} == {
            key: (spec.shape, spec.dtype) for key, spec in signature.outputs.items()
        }


def test_training_false_in_the_model_is_of_no_consequence_in_keras_either() -> None:
    model = build_in("float32", nested)
    before = model.get_layer("base").get_layer("base_norm").moving_mean.numpy()
    model(np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32), training=True)
    assert not np.array_equal(before, model.get_layer("base").get_layer("base_norm").moving_mean.numpy())


def test_user_s_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = functional()
    before = [v.numpy() for v in model.variables]
    calls = [len(layer._inbound_nodes) for layer in model.layers]
    export(model, tmp_path / "b", batch_size=2, measure=False)
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, model.variables, strict=True))
    assert calls == [len(layer._inbound_nodes) for layer in model.layers]


def test_package_loads_without_tensorflow_and_exports_in_silence(tmp_path: Path) -> None:
    code = f"""
import sys
import model_export, model_export.bundle, model_export.inspect, model_export.runner
assert not {{"tensorflow", "keras", "ai_edge_litert"}} & set(sys.modules)
bundle = model_export.export(
    model_export.build("small_cnn", (8, 8, 1), 3, filters=(4,)), {str(tmp_path / "b")!r}, batch_size=2
)
import json
print(json.dumps(model_export.describe(bundle)["totals"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["parameters"] == 36 + 16 + 15
