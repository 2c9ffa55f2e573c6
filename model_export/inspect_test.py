"""What `pocketfleet inspect` shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_export import Sgd, build, describe, export, render, signing
from model_export.bundle import MODEL, Bundle
from model_export.errors import BundleAltered


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("inspect")
    return export(
        build("small_cnn", (8, 8, 1), 12, filters=(4, 8)),
        folder / "b",
        batch_size=2,
        trainable="conv2",
        optimizer=Sgd(momentum=0.9),
        signing_key=signing.load_or_create_key(folder / "key.pem"),
    )


def test_description_is_plain_json(bundle: Bundle) -> None:
    description = describe(bundle)
    assert json.loads(json.dumps(description)) == description
    states = {layer["name"]: layer["state"] for layer in description["layers"]}
    assert (states["conv1"], states["conv2"], states["norm2"]) == ("frozen", "trained", "trained")
    assert description["totals"]["parameters"] == sum(layer["parameters"] for layer in description["layers"])
    assert description["totals"]["trained_parameters"] < description["totals"]["parameters"]
    assert description["ops"]["BATCH_MATMUL"] > 0
    assert description["base_format"] == "float32"
    assert description["base_ops"]["CONV_2D"] > 0
    assert description["signed_by"].startswith("SHA256:")
    assert description["files"][MODEL] == len(bundle.read(MODEL))


def test_rendering_is_a_table(bundle: Bundle) -> None:
    text = render(describe(bundle))
    lines = text.splitlines()
    (conv2,) = (line for line in lines if line.startswith("conv2"))
    assert conv2.split() == ["conv2", "Conv2D", "trained", "4×4×8", "288", "4,608", "512"]
    assert "12: 0, 1, 2, 3, …, 11" in text
    assert "SGD, momentum 0.9" in text
    assert max(map(len, lines[11:-3])) < 120


def test_altered_bundle_is_not_described(bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in bundle.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    model = bytearray((copy / MODEL).read_bytes())
    model[-1] ^= 1
    (copy / MODEL).write_bytes(model)
    with pytest.raises(BundleAltered, match=MODEL):
        describe(Bundle.load(copy))
