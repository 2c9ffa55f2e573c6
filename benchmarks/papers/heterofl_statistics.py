"""Whose batch-norm statistics the whole network needs, where half of the devices train one of half the width.

Diao, Ding and Tarokh, "HeteroFL" (ICLR 2021), section 3, recompute the statistics of the global model over all data
(static batch norm). Devices here keep moving statistics; this compares what can be done with them, by simulation on a
part of CIFAR-10: averaged over all devices, or over those with the whole network (``[strategy] statistics``), each
beside the paper's way for the same weights: over all data, here in one place.

What is done is kept under ``--folder``, and a call that was interrupted goes on there. The data is
``cifar10_jpeg.npz`` under ``data/`` in the folder that POCKETFLEET_SHARED names, or in ``../shared``.

    .venv/bin/python benchmarks/papers/heterofl_statistics.py --seeds 2
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import keras
import numpy as np

from benchmarks.papers.cases import CLASSES, ROOT, CaseRun, cifar10, cifar10_file, mean_and_range, run_case
from model_export import export
from model_export.width import slice_width
from model_export.zoo import build
from python_server.run_reader import RunReader

ROUNDS, TRAIN, TEST = 15, 2000, 2000
EXPERIMENT = """\
name = "statistics"
seed = {seed}
rounds = {rounds}
[model]
bundle = "seed{seed}.bundle"
[data]
test = "test.npz"
[train]
epochs = 1
learning_rate = {rate}
{strategy}
[simulation]
devices = 8
data = "train.npz"
partition = "iid"
[[simulation.profiles]]
name = "strong"
step_ms = 10
[[simulation.profiles]]
name = "weak"
step_ms = 10
"""
VARIANT = """
[[variants]]
name = "half"
bundle = "seed{seed}-half.bundle"
[[groups]]
name = "weak"
processor = "weak"
variant = "half"
"""
CASES = {
    "over all devices": '[strategy]\nname = "heterofl"\nstatistics = "all"\n' + VARIANT,
    "over the whole networks": '[strategy]\nname = "heterofl"\nstatistics = "whole"\n' + VARIANT,
    "no narrow network (FedAvg)": "",
}
LAST = range(ROUNDS - 4, ROUNDS + 1)


def prepare(folder: Path, seed: int) -> None:
    """Make bundles and data, unless they are there."""
    cifar10_file(folder / "train.npz", "train", TRAIN)
    cifar10_file(folder / "test.npz", "test", TEST)
    if not (folder / f"seed{seed}-half.bundle").exists():
        keras.utils.set_random_seed(seed)
        whole = build("small_cnn", (32, 32, 3), CLASSES)
        settings: dict[str, Any] = {"batch_size": 16, "input_scale": 1 / 255, "measure": False}
        bundle = export(whole, folder / f"seed{seed}.bundle", **settings)
        narrow = slice_width(whole, 0.5)
        export(narrow.model, folder / f"seed{seed}-half.bundle", part_of=narrow.part_of(bundle.sha256), **settings)


def recomputed(run: CaseRun) -> float:
    """Return the accuracy of a run's last weights, as `settled` does, with statistics over all training images."""
    x, _ = cifar10("train", TRAIN)
    test_x, test_y = cifar10("test", TEST)
    model = build("small_cnn", (32, 32, 3), CLASSES)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the statistics become those of the one batch
    found = []
    for number in LAST:
        with RunReader(run.path) as reader:
            weights = reader.weights(number)
        for variable in model.variables:
            if variable.path in weights:
                variable.assign(weights[variable.path])
        model(x.astype(np.float32) / 255, training=True)
        logits = model.predict(test_x.astype(np.float32) / 255, batch_size=500, verbose=0)
        found.append(float(np.mean(np.argmax(logits, 1) == test_y)))
    return statistics.mean(found)


def settled(run: CaseRun) -> float:
    """Return the mean accuracy of the last rounds: at a constant rate a single one goes up and down by points."""
    return statistics.mean(run.accuracies[number] for number in LAST)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "papers" / "statistics", help="%(default)s")
    options = parser.parse_args()
    folder = options.folder.resolve()
    kept: dict[str, list[float]] = {}
    over_all: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        prepare(folder, seed)
        for case, text in CASES.items():
            strategy = text.format(seed=seed)
            experiment = EXPERIMENT.format(seed=seed, rounds=ROUNDS, rate=options.learning_rate, strategy=strategy)
            run = run_case(folder, f"{case.split(' (')[0].replace(' ', '-')}-seed{seed}", experiment)
            kept.setdefault(case, []).append(settled(run))
            over_all.setdefault(case, []).append(recomputed(run))
    print(f"{options.seeds} seeds, accuracy, mean of the last {len(LAST)} rounds")
    print("| statistics | moving, as averaged | the same weights, over all data |\n|---|---|---|")
    for case in CASES:
        print(f"| {case} | {mean_and_range(kept[case])} | {mean_and_range(over_all[case])} |")


if __name__ == "__main__":
    main()
