from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.bundle import Bundle
from model_export.part import PartOf
from python_server.errors import ExperimentError
from python_server.model import BundleModel
from python_server.submodels import WHOLE
from python_server.variants import load_variant, whole_model


def test_a_slice_knows_where_it_belongs(digits_bundle: Path, digits_half: Path) -> None:
    whole, half = Bundle.load(digits_bundle), Bundle.load(digits_half)
    variant = load_variant("half", half, whole)
    extracted = variant.submodel.extract(whole.initial())
    initial = half.initial()
    assert list(extracted) == list(initial)
    for path, value in initial.items():
        np.testing.assert_array_equal(extracted[path], value)
    assert variant.submodel.bundle == half.sha256
    assert variant.size < whole_model(whole).size
    assert variant.title == "variant 'half'"


def test_the_model_offers_its_bundles(digits_bundle: Path, digits_half: Path) -> None:
    whole, half = Bundle.load(digits_bundle), Bundle.load(digits_half)
    model = BundleModel(digits_bundle, variants={"half": digits_half})
    assert list(model.variants) == ["", "half"]
    assert model.variants[""].submodel is WHOLE
    assert model.packed_bundle(half.sha256) == half.zipped()
    assert model.packed_bundle() == whole.zipped()
    assert model.trained("conv3", half.sha256) == model.trained("conv3")
    held = model.held(half.initial(), half.sha256)
    assert {path: value.shape for path, value in held.items()} == {p: v.shape for p, v in half.initial().items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part_of": "another"}, r"is part of another bundle \(another\) than model.bundle"),
        ({"classes": ("x",)}, "has another input or other classes than model.bundle"),
        ({"path": "conv9/kernel"}, "variant 'half' has a variable 'conv9/kernel', which the global model does not"),
        ({"shape": (3, 3, 1, 5)}, r"'conv1/kernel' has shape \[3, 3, 1, 5\], but its part .* has \[3, 3, 1, 4\]"),
        ({"runs": ((2, 4), (7, 9))}, r"'conv1/kernel' takes indices that the global model's \[3, 3, 1, 8\] does not"),
        ({"runs": ((6, 10),)}, r"'conv1/kernel' has shape \[3, 3, 1, 4\], but its part .* has \[3, 3, 1, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    digits_bundle: Path, digits_half: Path, change: Mapping[str, Any], message: str
) -> None:
    whole, half = Bundle.load(digits_bundle), Bundle.load(digits_half)
    manifest = half.manifest
    part = manifest.part_of
    assert part is not None
    first = next(i for i, layer in enumerate(manifest.layers) if layer.name == "conv1")
    layer = manifest.layers[first]
    kernel = layer.variables[0]
    assert kernel.path == "conv1/kernel"
    if "part_of" in change:
        manifest = replace(manifest, part_of=PartOf(change["part_of"], part.parts))
    if "classes" in change:
        manifest = replace(manifest, classes=change["classes"])
    if "runs" in change:
        axes = (*part.parts[kernel.path][:-1], change["runs"])
        manifest = replace(manifest, part_of=PartOf(part.bundle, {**part.parts, kernel.path: axes}))
    if "path" in change or "shape" in change:
        kernel = replace(kernel, **change)
        layers = list(manifest.layers)
        layers[first] = replace(layer, variables=(kernel, *layer.variables[1:]))
        state = tuple(kernel.path if path == "conv1/kernel" else path for path in manifest.state)
        parts = {kernel.path if path == "conv1/kernel" else path: axes for path, axes in part.parts.items()}
        manifest = replace(manifest, layers=tuple(layers), state=state, part_of=PartOf(part.bundle, parts))
    with pytest.raises(ExperimentError, match=message):
        load_variant("half", replace(half, manifest=manifest), whole)


def test_another_network_is_no_variant(digits_bundle: Path, head_bundle: Path) -> None:
    with pytest.raises(
        ExperimentError, match=r"variant 'head' .* is another network than model.bundle: .* stands for 'conv3'"
    ):
        BundleModel(digits_bundle, variants={"head": head_bundle})
