"""Networks drawn at random from all supported layers: every change of a step is Keras's, and so it is when converted.

``POCKETFLEET_RANDOM_NETWORKS=400 POCKETFLEET_RANDOM_CONVERTED=300`` tries more of them; a failure names its seed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_export import export
from model_export.bundle import MODEL
from model_export.conftest import Elsewhere, play_here
from model_export.draw_networks_test import CLASSES, TOKENS, Draw
from model_export.network import INPUT, Network, read_network
from model_export.optimizers import update_rule
from model_export.options import Optimizer
from model_export.reference import Reference
from model_export.training import Batch, gradient_step

SAMPLES = 5
RATE = 0.1
TRIED = int(os.environ.get("POCKETFLEET_RANDOM_NETWORKS", "24"))
CONVERTED = int(os.environ.get("POCKETFLEET_RANDOM_CONVERTED", "3"))
FIRST_CONVERTED = 1000
"""Other networks than those that are not converted."""


def samples(network: Network, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    shape = (SAMPLES, *network.input_shape)
    tokens = isinstance(network.nodes[0].layer, keras.layers.Embedding)
    x = random.integers(TOKENS, size=shape) if tokens else random.normal(size=shape)
    return x.astype(np.float32), (np.arange(SAMPLES) % CLASSES).astype(np.int32)


class Expected:
    """One step by Keras, in float64 and in float32."""

    def __init__(self, network: Network, x: np.ndarray, y: np.ndarray, optimizer: Optimizer) -> None:
        references = [Reference(network, dtype) for dtype in ("float64", "float32")]
        self.before = references[1].values
        self.loss, _ = (reference.step(x, y, RATE, optimizer, first=0) for reference in references)
        self._exact, self._rounded = (reference.values for reference in references)

    def accept(self, loss: float, found: dict[str, np.ndarray]) -> None:
        """Assert that a step is as right as float32 lets it be."""
        assert loss == pytest.approx(self.loss, rel=1e-5, abs=1e-6)
        whole = np.sqrt(sum(np.sum((self._exact[path] - value) ** 2) for path, value in self.before.items()))
        for path, value in self.before.items():
            exact = self._exact[path]
            error = np.linalg.norm(found[path] - exact)
            allowed = 10 * np.linalg.norm(self._rounded[path] - exact) + 1e-4 * np.linalg.norm(exact - value)
            assert error <= allowed + 1e-6 * whole, f"{path}: {error:.3g} of {np.linalg.norm(exact - value):.3g}"


@pytest.mark.parametrize("seed", range(TRIED))
def test_every_change_is_keras_s(seed: int) -> None:
    draw = Draw(seed)
    network, optimizer = read_network(draw.network()), draw.optimizer()
    x, y = samples(network, seed)
    expected = Expected(network, x, y, optimizer)
    batch = Batch(tf.constant(y), tf.ones(SAMPLES), tf.constant(RATE), step=tf.constant(1.0))
    variables = {path: tf.constant(value) for path, value in expected.before.items()}
    slots = {path: {slot: tf.zeros_like(v) for slot in update_rule(optimizer).slots} for path, v in variables.items()}
    given = {INPUT: tf.constant(x)}
    step = gradient_step(network, given, variables, slots, {}, batch, optimizer, start=0, first=0)
    expected.accept(float(step.loss), {**expected.before, **{path: v.numpy() for path, v in step.variables.items()}})


@pytest.mark.parametrize("seed", range(FIRST_CONVERTED, FIRST_CONVERTED + CONVERTED))
def test_every_change_is_keras_s_when_converted(seed: int, elsewhere: Optional[Elsewhere], tmp_path: Path) -> None:
    """On LiteRT, and every fourth network on the older runtime, too."""
    draw = Draw(seed)
    model, optimizer = draw.network(), draw.optimizer()
    network = read_network(model)
    x, y = samples(network, seed)
    bundle = export(model, tmp_path / "b", batch_size=SAMPLES, optimizer=optimizer, measure=False)
    expected = Expected(network, x, y, optimizer)
    fed: dict[str, Any] = {"x": x, "y": y, "w": np.ones(SAMPLES, np.float32), "learning_rate": np.float32(RATE)}
    for play in (play_here, elsewhere if seed % 4 == 0 else None):
        if play is not None:
            step, got = play(bundle.read(MODEL), [("train", fed), ("get", {})])
            expected.accept(float(step["loss"]), dict(zip(bundle.manifest.state, got.values(), strict=True)))
