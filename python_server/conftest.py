"""Flower warns about one of its own dependencies when it is imported; our warnings are errors, that one is not ours."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import pytest

from model_export.bundle import INITIAL
from model_export.costs import Costs, Measured, Measurement, StepSize
from model_export.manifest import FORMAT, FileEntry, InputSpec, Layer, Manifest, Signature, Variable
from python_server.submodels import WHOLE, Submodel
from python_server.variants import Variant

if importlib.util.find_spec("flwr"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import flwr.superlink.grid  # noqa: F401

LAYERS = ("one", "two", "three")


def a_variant(name: str, width: int, *, measured: bool = True, **changes: Any) -> Variant:
    """Return a variant whose costs grow with its width: memory 3, 2 and 1 MB times it, ten milliseconds a MB."""
    signatures = {"train": 3, "train_from_two": 2, "train_from_three": 1}
    layers = tuple(
        Layer(
            layer,
            "Dense",
            True,
            (),
            (width,),
            "float32",
            (Variable(f"{layer}/kernel", (width, 2), "float32", True), Variable(f"{layer}/m", (2,), "float32", False)),
            parameters=100 * width,
            macs=1000 * width,
            activation_bytes=4 * width,
        )
        for layer in LAYERS
    )
    costs = Costs(
        {key: StepSize(share * width, share * width) for key, share in signatures.items()},
        Measurement(
            "a runtime",
            1,
            "a machine",
            0,
            {key: Measured(share * width * 10**6, 10.0 * share * width) for key, share in signatures.items()},
        )
        if measured
        else None,
    )
    values: dict[str, Any] = {
        "format": FORMAT,
        "name": name or "whole",
        "versions": {},
        "minimum_runtime": "",
        "input": InputSpec((2,), "float32", 1.0, 0.0),
        "classes": ("a", "b"),
        "batch_size": 10,
        "trainable": "all",
        "base_format": "",
        "optimizer": {"name": "sgd", "proximal": True},
        "cuts": ("two", "three"),
        "state": tuple(f"{layer}/{each}" for layer in LAYERS for each in ("kernel", "m")),
        "layers": layers,
        "signatures": {
            key: Signature({}, {}, tuple(f"{layer}/kernel" for layer in LAYERS[-share:]))
            for key, share in signatures.items()
        },
        "compression": {},
        "costs": costs,
        "files": {INITIAL: FileEntry("", 4 * width)},
    }
    submodel = Submodel(name, f"sha-{name}") if name else WHOLE
    return Variant(name, f"sha-{name}", Manifest(**{**values, **changes}), submodel)


@pytest.fixture
def variants() -> dict[str, Variant]:
    """Return the whole model of width 8, and variants of half and a quarter of it."""
    return {name: a_variant(name, width) for name, width in (("", 8), ("half", 4), ("quarter", 2))}
