"""A small CNN trained compressed: accuracy, size and time of every technique at several degrees.

As in the IoT paper (Zhang 2021, section 5), the local model is compressed from the global one and then trained in that
form. Here the global model is the zoo's ``small_cnn`` (8, 16 and 32 filters) after five epochs on 300 of scikit-learn's
digits; it is exported under each option and trained for six more epochs on 1,137 others, with momentum 0.9 and
learning rate 0.02, in batches of 16. Accuracy is on 360 further digits: at once after compression, and after training;
means over the seeds.

* initial: bytes of ``initial.safetensors``, what the weights take in narrow storage;
* model: bytes of ``model.tflite``;
* step: median time of a training step with one thread, as a ratio to that of the plain export in the same run.

    .venv/bin/python benchmarks/compressed_training.py --seeds 3
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from edge_client import Trainer  # noqa: E402
from model_export import Sgd, build, export  # noqa: E402
from model_export.bundle import INITIAL, MODEL  # noqa: E402
from model_export.compression import Cluster, Compression, Prune, PruneChannels, Quantize  # noqa: E402

BATCH = 16


def _all(format: str, **options: Any) -> Compression:
    return Compression(quantize=Quantize(format, format, format, **options))


VARIANTS: dict[str, Compression] = {
    "plain": Compression(),
    "pruned 50 %": Compression(prune=Prune(0.5)),
    "pruned 80 %": Compression(prune=Prune(0.8)),
    "pruned 95 %": Compression(prune=Prune(0.95)),
    "pruned 80 %, globally": Compression(prune=Prune(0.8, "global")),
    "25 % of the channels removed": Compression(channels=PruneChannels(0.25)),
    "50 % of the channels removed": Compression(channels=PruneChannels(0.5)),
    "float24 throughout": _all("float24"),
    "float16 throughout": _all("float16"),
    "bfloat16 throughout": _all("bfloat16"),
    "bfloat16 throughout, stochastic": _all("bfloat16", stochastic=True),
    "int8 weights": Compression(quantize=Quantize("int8")),
    "int8 weights, stochastic": Compression(quantize=Quantize("int8", stochastic=True)),
    "int8 throughout, stochastic": _all("int8", stochastic=True),
    "int4 weights": Compression(quantize=Quantize("int4")),
    "int4 weights, stochastic": Compression(quantize=Quantize("int4", stochastic=True)),
    "64 clusters": Compression(cluster=Cluster(64)),
    "16 clusters": Compression(cluster=Cluster(16)),
    "16 clusters, sums": Compression(cluster=Cluster(16, "sum")),
    "4 clusters": Compression(cluster=Cluster(4)),
    "pruned 50 %, 16 clusters in float16": Compression(Prune(0.5), Quantize("float16"), Cluster(16)),
    "pruned 80 %, int8, stochastic": Compression(Prune(0.8), Quantize("int8", stochastic=True)),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = (digits.images[order] / 16).astype(np.float32)[..., None]
    y = digits.target[order].astype(np.int32)
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in VARIANTS}
    sizes = {}
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        model = build("small_cnn", (8, 8, 1), 10, filters=(8, 16, 32))
        for name, compression in VARIANTS.items():
            with tempfile.TemporaryDirectory() as folder:
                sgd = Sgd(momentum=0.9)
                bundle = export(model, Path(folder) / "b", batch_size=BATCH, optimizer=sgd, compression=compression)
                sizes[name] = tuple(bundle.manifest.files[file].bytes for file in (INITIAL, MODEL))
                trainer = Trainer(bundle, num_threads=1)
            if name == "plain" and not rows["plain"][seed:]:
                _epochs(trainer, x[:300], y[:300], 5, seed)
                weights = trainer.weights()
                for layer in model.layers:
                    for variable in layer.weights:
                        variable.assign(weights[f"{layer.name}/{variable.name}"])
            before = trainer.evaluate(x[1437:], y[1437:])[1]
            step_ms = _epochs(trainer, x[300:1437], y[300:1437], 6, seed + 100)
            rows[name].append((before, trainer.evaluate(x[1437:], y[1437:])[1], step_ms))
            print(f"seed {seed}: {name}: {rows[name][-1]}", file=sys.stderr, flush=True)
    print("| variant | at once | after training | initial, bytes | model, bytes | step |\n|---|---|---|---|---|---|")
    for name, found in rows.items():
        before, after, _ = np.mean(found, axis=0)
        ratio = statistics.median(row[2] / plain[2] for row, plain in zip(found, rows["plain"]))
        initial, whole = sizes[name]
        print(f"| {name} | {before:.3f} | {after:.3f} | {initial:,} | {whole:,} | {ratio:.2f} |")


def _epochs(trainer: Trainer, x: np.ndarray, y: np.ndarray, epochs: int, seed: int) -> float:
    """Train; return the median step in milliseconds."""
    times = []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(y))
        for start in range(0, len(y), BATCH):
            part = order[start : start + BATCH]
            began = time.perf_counter()
            trainer.train_step(x[part], y[part], 0.02, seed=len(times))
            times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    main()
