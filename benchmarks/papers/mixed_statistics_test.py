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
    unheld = {"logits/kernel": np.ones_like(weights["logits/kernel"], bool)}
    wrong, anew, zeroed = accuracies(model, weights, unheld, x, (x, labels))
    constant = np.mean(labels == 0)  # what is left when nothing passes the first layer, or the last
    assert wrong == zeroed == constant
    assert anew > 0.9 > constant
    assert model.get_layer("norm1").momentum == 0.9
