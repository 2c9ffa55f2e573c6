"""Why masks-aware aggregation fails a CNN: final global models of `mixed_compression.py` with one thing changed each.

A device's batch-norm statistics are those of its compressed network; the server evaluates the whole one, with all
weights. Under aware aggregation a weight that no device holds stays at its initial value, under naive it goes to zero.
So for each finished run of FedAvg on ``cnn``, accuracy on the server's test images

* as the run has it;
* with statistics computed anew, on the training images and with the global weights;
* with the weights that no device holds set to zero, and the devices' statistics.

    .venv/bin/python benchmarks/papers/mixed_statistics.py --write docs/papers.md
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np

from benchmarks.papers.cases import finished_case, mean_and_range
from benchmarks.papers.mixed_compression import (
    FLEETS,
    PAPER,
    SMALL,
    Case,
    Problem,
    bundle_name,
    cases,
    experiment,
    network,
)
from benchmarks.papers.script import arguments, parsed, show
from model_export import tensors
from model_export.bundle import Bundle
from python_server.variants import load_variant

__all__ = ["accuracies", "main", "never_held"]

COLUMNS = ("as it is", "statistics anew", "weights that nobody holds at zero")


def never_held(case: Case, problem: Problem, seed: int, folder: Path) -> dict[str, np.ndarray]:
    """Return a mask of the weights that all devices of a fleet have pruned, by variable; empty if there are none."""
    whole = Bundle.load(folder / bundle_name(case, "whole", problem, seed))
    masks = []
    for kind in dict.fromkeys(FLEETS[case.fleet]):
        bundle = Bundle.load(folder / bundle_name(case, kind, problem, seed))
        masks.append(load_variant(kind, bundle, whole).submodel.masks)
    return {path: ~np.any([mask[path] for mask in masks], axis=0) for path in masks[0] if all(path in m for m in masks)}


def accuracies(
    model: Any, weights: dict[str, np.ndarray], unheld: dict[str, np.ndarray], train: np.ndarray, test: Any
) -> tuple[float, float, float]:
    """Return the accuracies that the columns name.

    Parameters
    ----------
    model
        A Keras network; its variables are overwritten.
    weights
        Its variables by path.
    unheld
        Masks of the weights that nobody holds.
    train
        Samples that statistics are computed on.
    test
        Samples and labels.
    """
    import keras

    def evaluated(values: dict[str, np.ndarray], *, anew: bool = False) -> float:
        norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
        for layer in model.layers:
            for variable in layer.weights:
                variable.assign(values[f"{layer.name}/{variable.name}"])
        if anew:
            before = [layer.momentum for layer in norms]
            for layer in norms:
                layer.momentum = 0.0  # the statistics of one batch, which is all samples
            model(train, training=True)
            for layer, momentum in zip(norms, before):
                layer.momentum = momentum
        return float(np.mean(np.argmax(model.predict(test[0], batch_size=250, verbose=0), -1) == test[1]))

    zeroed = {path: np.where(unheld[path], 0, value) if path in unheld else value for path, value in weights.items()}
    return evaluated(weights), evaluated(weights, anew=True), evaluated(zeroed)


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    options = parsed(arguments(__doc__, "mixed_compression"), words)
    options.table = True
    problem = (PAPER if options.paper else SMALL)["cnn"]
    found: dict[Case, list[tuple[float, float, float]]] = {}
    data = {part: np.load(options.folder / f"cnn-{part}.npz") for part in ("train", "test")}
    x, test_x = ((data[part]["x"] / 255).astype(np.float32) for part in ("train", "test"))
    for seed in range(options.seeds):
        for case in (case for case in cases(["cnn"]) if case.form == "fedavg"):
            run = finished_case(options.folder, case.key(seed), experiment(case, problem, seed))
            if run is None:
                continue
            last = max((run.path / "weights").glob("*.safetensors"))
            values = {path: np.asarray(value) for path, value in tensors.unpack(last.read_bytes()).items()}
            unheld = never_held(case, problem, seed, options.folder)
            result = accuracies(network(problem, seed), values, unheld, x, (test_x, data["test"]["y"]))
            print(case.key(seed), result, flush=True)
            found.setdefault(case, []).append(result)
    rows = [
        {
            "devices": case.fleet,
            "aggregation": "–" if case.fleet == "whole" else case.aggregation,
            **{column: mean_and_range(values) for column, values in zip(COLUMNS, zip(*results))},
            "seeds": str(len(results)),
        }
        for case, results in found.items()
    ]
    show({"mixed-statistics": rows}, options.write)


if __name__ == "__main__":
    main()
