"""What `pocketfleet inspect` shows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from model_export import Sgd, build, describe, export, render, signing
from model_export.bundle import MODEL, Bundle, write_bundle
from model_export.errors import BundleAltered
from model_export.inspect import groups


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("inspect")
    return export(
        build("small_cnn", (8, 8, 1), 12, filters=(4, 8)),
        folder / "b",
        batch_size=2,
        trainable="conv2",
        cuts=("logits",),
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
    (conv2,) = (line for line in lines if line.startswith("conv2") and "Conv2D" in line)
    assert conv2.split() == ["conv2", "Conv2D", "trained", "4×4×8", "288", "4,608", "512"]
    assert "12: 0, 1, 2, 3, …, 11" in text
    assert "SGD, momentum 0.9" in text
    assert max(map(len, lines[11:-3])) < 120
    assert "\x1b" not in render({**describe(bundle), "name": "\x1b]0;mine\x07\x1b[2J", "classes": ["\x1b[8m"]})


def test_parts_and_bars(bundle: Bundle) -> None:
    description = describe(bundle)
    parts = {part["signature"]: part for part in description["parts"]}
    assert list(parts) == ["train_head", "train_from_logits"]
    assert parts["train_from_logits"]["cut"] == "logits"
    assert parts["train_from_logits"]["trained_parameters"] == 8 * 12 + 12
    assert parts["train_head"]["memory_bytes"] > 0
    assert parts["train_head"]["step_ms"] > 0
    lines = render(description).splitlines()
    assert any(line.startswith("measured at export: ai-edge-litert ") for line in lines)
    (cut,) = (i for i, line in enumerate(lines) if "─ cut logits" in line)
    assert lines[cut + 1].startswith("logits")
    bars = [line for line in lines if line.startswith("conv2") and "%" in line]
    parameters = 288 / description["totals"]["parameters"]
    assert f"{parameters:.1%}" in bars[0]
    # A bar is 16 cells for the whole.
    assert bars[0].split()[1].count("█") == int(parameters * 16 + 1 / 16)


def test_layers_are_grouped_up_to_the_cuts() -> None:
    layers = [{"name": f"l{i}", "parameters": i, "macs": 1, "activation_bytes": 2} for i in range(10)]
    found = groups({"layers": layers, "cuts": ["l4"]}, most=4)
    assert [(row["name"], row["cut"], row["parameters"]) for row in found] == [
        ("l0 +2", None, 3),
        ("l3", None, 3),
        ("l4 +2", "l4", 15),
        ("l7 +2", None, 24),
    ]
    assert sum(row["activation_bytes"] for row in found) == 20


def test_bundle_that_was_not_measured_says_so(bundle: Bundle, tmp_path: Path) -> None:
    costs = dataclasses.replace(bundle.manifest.costs, measured=None)
    manifest = dataclasses.replace(bundle.manifest, costs=costs)
    bare = write_bundle(tmp_path / "b", manifest, {name: bundle.read(name) for name in bundle.manifest.files})
    text = render(describe(bare))
    assert "memory and time were not measured at export" in text
    assert describe(bare)["parts"][0]["memory_bytes"] is None


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
