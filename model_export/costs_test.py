"""Costs of training steps: what the manifest says of them, and what is chosen by them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Optional

import keras
import pytest

from model_export import Bundle, Sgd, build, export
from model_export.bundle import MANIFEST, MODEL
from model_export.costs import Costs, Measured, Measurement
from model_export.errors import BundleFormatError, DoesNotFitError, ExportError
from model_export.exporter import _size_of_step
from model_export.manifest import Manifest
from model_export.measure import machine, measure
from model_export.network import read_network

BATCH = 32
THIRD = "stage3_block1_conv1"
CUTS = ("logits", "conv2")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Measured, whole and its last third."""
    path = tmp_path_factory.mktemp("costs") / "b"
    return export(build("resnet20", (32, 32, 3), 10), path, batch_size=BATCH, cuts=(THIRD,))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Measured; its cuts are not in layer order."""
    path = tmp_path_factory.mktemp("small") / "b"
    model = build("small_cnn", (8, 8, 1), 3, filters=(4, 8))
    return export(model, path, batch_size=2, cuts=CUTS, optimizer=Sgd(momentum=0.9))


def of(manifest: Manifest, cut: Optional[str]) -> str:
    return manifest.training_signature(cut)


def test_resnet20_in_parts_has_the_sizes_of_the_slides() -> None:
    """InclusiveFL, table 1: batches of 32; of activations, the outputs of convolutions and dense layers are counted."""
    network = read_network(build("resnet20", (32, 32, 3), 10, project_first=True))
    found = []
    for first in (0, network.index("stage2_block1_conv1"), network.index(THIRD)):
        counted = [n for n in network.nodes[first:] if isinstance(n.layer, (keras.layers.Conv2D, keras.layers.Dense))]
        activations = sum(math.prod(node.output_shape) for node in counted)
        found.append((_size_of_step(network, first, 32).trained_parameters, 32 * activations))
    assert found == [(272_762, 6_947_136), (257_994, 2_752_832), (206_346, 917_824)]
    # "Capacity" is the share of both together.
    assert [round(sum(part) / sum(found[0]), 2) for part in found] == [1.00, 0.42, 0.16]


def test_size_of_a_step_counts_from_the_cut(resnet: Bundle) -> None:
    sizes = resnet.manifest.costs.signatures
    names = [layer.name for layer in resnet.manifest.layers]
    outputs = [BATCH * layer.activation_bytes for layer in resnet.manifest.layers]
    entering = BATCH * 4 * 16 * 16 * 32
    assert sizes[f"train_from_{THIRD}"].activation_bytes == sum(outputs[names.index(THIRD) :]) + entering
    assert sizes["train"].activation_bytes == sum(outputs) + BATCH * 4 * 32 * 32 * 3
    assert sizes["train"].trained_parameters == 272_474


def test_memory_of_a_step_falls_with_the_cut(resnet: Bundle) -> None:
    measured = resnet.manifest.costs.measured
    assert measured is not None
    whole, third = (measured.signatures[name].memory_bytes for name in ("train", f"train_from_{THIRD}"))
    loaded = measured.loaded_bytes
    assert third - loaded <= 0.3 * (whole - loaded), (third, whole, loaded)
    # No step can do without the file and its variables.
    assert loaded < third < whole
    assert third > resnet.manifest.files[MODEL].bytes + 4 * 272_474
    assert measured.threads == 1
    assert measured.machine == machine()
    assert measured.runtime.split()[0] in {"ai-edge-litert", "tensorflow"}


@pytest.fixture
def manifest(small: Bundle) -> Manifest:
    """The manifest with round figures."""
    manifest = small.manifest
    signatures = {"train": Measured(int(100e6), 40.0)}
    signatures[of(manifest, "conv2")] = Measured(int(60e6), 30.0)
    signatures[of(manifest, "logits")] = Measured(int(20e6), 10.0)
    measured = Measurement("runtime 1", 1, "a machine", 10**6, signatures)
    return dataclasses.replace(manifest, costs=Costs(manifest.costs.signatures, measured))


@pytest.mark.parametrize(
    ("limits", "cut"),
    [
        ({}, None),
        ({"memory_mb": 100}, None),
        ({"memory_mb": 99.9}, "conv2"),
        ({"memory_mb": 59.9}, "logits"),
        ({"memory_mb": 20}, "logits"),
        ({"step_ms": 40}, None),
        ({"step_ms": 39}, "conv2"),
        ({"step_ms": 12}, "logits"),
        ({"memory_mb": 1000, "step_ms": 29}, "logits"),
        ({"step_ms": 120, "times_slower": 3}, None),
        ({"step_ms": 100, "times_slower": 3}, "conv2"),
        ({"step_ms": 20, "times_slower": 0.5}, None),
        ({"memory_mb": 99, "times_slower": 0.1}, "conv2"),
    ],
)
def test_largest_part_that_fits(manifest: Manifest, limits: dict[str, float], cut: Optional[str]) -> None:
    assert manifest.cut_for(**limits) == cut


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"memory_mb": 19},
            r"within 19 MB: the least memory is 20\.0 MB \(from logits on\), the least time of a step "
            r"10 ms \(from logits on\); export with a cut nearer to the end",
        ),
        ({"memory_mb": 50, "step_ms": 20, "times_slower": 2.5}, "within 50 MB and 20 ms a step: .* 25 ms"),
    ],
)
def test_the_smallest_need_is_named_when_nothing_fits(
    manifest: Manifest, limits: dict[str, float], message: str
) -> None:
    with pytest.raises(DoesNotFitError, match=message):
        manifest.cut_for(**limits)


@pytest.mark.parametrize("name", ["memory_mb", "step_ms", "times_slower"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_are_above_zero(manifest: Manifest, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}; it has to be above 0"):
        manifest.cut_for(**{name: value})


@pytest.fixture(scope="module")
def unmeasured(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("unmeasured") / "b"
    model = build("small_cnn", (8, 8, 1), 3, filters=(4, 8))
    return export(model, path, batch_size=2, trainable="conv2", cuts=("logits",), measure=False)


def test_bundle_that_was_not_measured_says_so(unmeasured: Bundle) -> None:
    manifest = Bundle.load(unmeasured.path).manifest
    assert manifest.costs.measured is None
    assert manifest.costs.signatures["train_head"].trained_parameters == 3 * 3 * 4 * 8 + 2 * 8 + 8 * 3 + 3
    assert manifest.costs.signatures["train_from_logits"].trained_parameters == 8 * 3 + 3
    with pytest.raises(DoesNotFitError, match="exported without measuring; export it again with measure=True"):
        manifest.cut_for(memory_mb=1e6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda costs: costs.pop("measured"), "costs: missing key 'measured'"),
        (lambda costs: costs["signatures"].pop("train"), "costs are not those of the training signatures"),
        (lambda costs: costs["signatures"]["train"].update(joules=1), "unknown key 'joules'"),
        (lambda costs: costs["measured"]["signatures"].pop("train"), "costs are not those of the training signatures"),
        (lambda costs: costs["measured"]["signatures"]["train"].update(step_ms=0), "step_ms is not a number above 0"),
        (lambda costs: costs["measured"]["signatures"]["train"].update(memory_bytes=-1), "not a natural number"),
    ],
)
def test_manifest_errors_name_the_key(small: Bundle, change: object, message: str) -> None:
    raw = json.loads((small.path / MANIFEST).read_text())
    change(raw["costs"])  # type: ignore[operator]
    with pytest.raises(BundleFormatError, match=message):
        Manifest.from_json(json.dumps(raw).encode())


def test_export_that_cannot_measure_says_how_to_do_without(unmeasured: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot measure a step of train_head: .*; export without measuring"):
        measure(b"no model", unmeasured.manifest.signatures, ["train_head"])
