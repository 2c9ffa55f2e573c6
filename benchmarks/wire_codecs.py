"""Accuracy by codec, and by what is coded: an update's weights, or their difference to what was sent.

    python benchmarks/wire_codecs.py > wire_codecs.md

Four clients of 300 digits each train a small CNN for some rounds, in one process, with FedAvg's mean in float64. Each
line is the mean over some seeds; the bytes are those of one direction and client, as they are packed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from edge_client.data import Dataset
from edge_client.trainer import Trainer
from model_export import codecs
from model_export.tensors import pack

CLIENTS, SAMPLES = 4, 300


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.02)
    options = parser.parse_args()
    x, y = _digits()
    with tempfile.TemporaryDirectory() as folder:
        trainers = [Trainer(_bundle(Path(folder), seed), num_threads=1) for seed in range(options.seeds)]
        starts = [trainer.bundle.initial() for trainer in trainers]
    print("| codec | bytes | accuracy, difference coded | accuracy, weights coded |\n|---|---|---|---|", flush=True)
    for codec in ("float32", "float16", "bfloat16", "int8", "clusters16"):
        found = {}
        for difference in (True, False):
            runs = [
                _run(trainer, start, x, y, codec, difference, options.rounds, options.learning_rate)
                for trainer, start in zip(trainers, starts)
            ]
            found[difference] = np.mean(runs)
        size = len(pack(codecs.encode(starts[0], codec)))
        print(f"| {codec} | {size:,} | {found[True]:.2%} | {found[False]:.2%} |", flush=True)


def _run(
    trainer: Trainer,
    start: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    codec: str,
    difference: bool,
    rounds: int,
    learning_rate: float,
) -> float:
    """Return the accuracy of the global weights after some rounds."""
    weights = start
    specs = {path: (value.shape, value.dtype.name) for path, value in weights.items()}
    shards = [Dataset(x[i : i + SAMPLES], y[i : i + SAMPLES], "") for i in range(0, CLIENTS * SAMPLES, SAMPLES)]
    for number in range(rounds):
        held = codecs.decode(codecs.encode(weights, codec), specs)
        base = held if difference else None
        total = {path: np.zeros(value.shape) for path, value in weights.items()}
        for place, shard in enumerate(shards):
            trainer.set_weights(held)
            trainer.fit(shard, 1, learning_rate=learning_rate, seed=100 * number + place)
            update = codecs.decode(codecs.encode(trainer.weights(), codec, base), specs, base)
            for path, value in update.items():
                total[path] += value
        weights = {path: (value / CLIENTS).astype(np.float32) for path, value in total.items()}
    trainer.set_weights(weights)
    return trainer.evaluate(x[CLIENTS * SAMPLES :], y[CLIENTS * SAMPLES :])[1]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return np.round(data.images * (255 / 16)).astype(np.uint8)[order][..., None], data.target[order].astype(np.int32)


def _bundle(folder: Path, seed: int) -> Path:
    import keras

    from model_export import Sgd, export
    from model_export.zoo.small_cnn import small_cnn

    keras.utils.set_random_seed(seed)
    model = small_cnn((8, 8, 1), 10, filters=(16, 32, 32))
    path = folder / str(seed)
    export(model, path, batch_size=16, optimizer=Sgd(momentum=0.9), input_scale=1 / 255, measure=False)
    return path


if __name__ == "__main__":
    main()
