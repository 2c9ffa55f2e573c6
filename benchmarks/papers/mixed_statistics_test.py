"""What is changed in a global model to see what its accuracy hangs on."""

from __future__ import annotations

import numpy as np

from benchmarks.papers.mixed_compression import Problem, network
from benchmarks.papers.mixed_statistics import accuracies


def test_each_accuracy_is_of_one_change() -> None:
    model = network(Problem(10, 1, 1, 1, 0.1, 1, 0.1, (4,)), 0)
    x = (
        np.random.default_rng(0).uniform(size=(60, 32, 32, 3)).astype(np.float32)
        * np.linspace(0, 1, 60)[:, None, None, None]
    )
    labels = np.argmax(model(x, training=True).numpy(), -1)  # by the statistics of these very samples
    assert len(set(labels)) > 1
    weights = {f"{layer.name}/{v.name}": v.numpy() for layer in model.layers for v in layer.weights}
    weights["norm1/moving_mean"] = np.full_like(weights["norm1/moving_mean"], 1e3)
    weights["logits/bias"] = np.arange(10, dtype=np.float32) * 1e-6
    unheld = {"logits/kernel": np.ones_like(weights["logits/kernel"], bool)}
    wrong, anew, zeroed = accuracies(model, weights, unheld, x, (x, labels))
    assert anew == 1.0
    assert wrong < 1.0
    assert zeroed == np.mean(labels == 9)
    assert model.get_layer("norm1").momentum == 0.9
