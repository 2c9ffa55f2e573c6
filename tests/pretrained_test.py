"""Real images and a real pretrained base: a head trained from its features learns what the base knows."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_client.data import Dataset
from edge_client.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POCKETFLEET_SHARED", ROOT.parent / "shared")) / "data"
SIZE = 96

pytestmark = pytest.mark.skipif(
    not (DATA / "office31_224.zip").exists(),
    reason=f"REAL DATA ABSENT: no Office-31 and MobileNetV2 weights in {DATA}; set POCKETFLEET_SHARED to test on them",
)


@pytest.fixture(scope="module")
def office31() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        specification = importlib.util.spec_from_file_location("office31", ROOT / "benchmarks" / "office31.py")
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_head_on_a_pretrained_base_learns_office31(office31: Any, tmp_path: Path) -> None:
    names = office31.prepare_clients(tmp_path, "webcam", SIZE, seed=0)
    assert len(names) == 31
    office31.export_bundle(tmp_path / "bundle", names, SIZE, seed=0)
    trainer = Trainer(tmp_path / "bundle", num_threads=2)
    assert trainer.manifest.classes == tuple(names)
    parts = [np.load(tmp_path / f"client_{number}.npz") for number in range(10)]
    train = Dataset(np.concatenate([p["x"] for p in parts]), np.concatenate([p["y"] for p in parts]), "webcam")
    with np.load(tmp_path / "test.npz") as file:
        test_x, test_y = file["x"], file["y"]
    assert (len(train), len(test_y)) == (636, 159)

    # The features are those of the pretrained network itself, to the rounding of float32.
    import keras

    from model_export.zoo.pretrained import load_npz

    base = keras.applications.MobileNetV2((SIZE, SIZE, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
    load_npz(base, DATA / "mobilenet_v2_035_224_notop_f32.npz")
    expected = base.predict(test_x[:8] / np.float32(127.5) - 1, verbose=0)
    np.testing.assert_allclose(trainer.features(test_x[:8]), expected, atol=2e-3 * np.abs(expected).max())

    before = trainer.evaluate(test_x, test_y)[1]
    trainer.fit(train, 20, learning_rate=0.01, seed=1)
    loss, accuracy = trainer.evaluate(test_x, test_y)
    assert before < 0.15
    # Guessing gives 0.03, and features of a base with random weights 0.62 (at 224 pixels; see the data.s SOURCES.md).
    assert accuracy > 0.85
    assert np.isfinite(loss)
